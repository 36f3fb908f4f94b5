"""Presets: YAML files with a model, a method and hyperparameters, and what they were measured to do."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.errors import UserError, from_validation
from core.schema import DataSpec, MappingSpec, ModelSpec, Part, PromptSpec, RunSpec, TrainingSpec
from core.spec_files import read_yaml

PRESETS_FOLDER = Path(__file__).resolve().parents[1] / "presets"
DEFAULT_PRESET = "quickstart-minilm"


class Measured(Part):
    """One line of the measured table; each was printed by the script it names."""

    data: str = Field(description="The data set, its train and test rows.")
    metric: str
    value: float
    baseline: float | None = Field(default=None, description="TF-IDF with logistic regression on the same rows.")
    seconds: float = Field(description="The whole run, baselines and evaluation included, in seconds of wall time.")
    machine: str
    date: str
    script: str


class Preset(Part):
    name: str
    title: str
    purpose: str = Field(description="One line: what it is for.")
    group: Literal["small", "encoder", "llm"]
    parameters: int = Field(description="Weights in the model, without the new head.")
    download_bytes: int = Field(description="What is downloaded at first use, in bytes; 0 for a packaged model.")
    longest: int = Field(description="Most tokens of a text that the model reads.")
    config: dict[str, int | bool | str] = Field(
        description="As much of the model's published config.json as its sizes follow from (core/models/sizes.py)."
    )
    needs_gpu: bool = False
    notes: str = Field(default="", description="Where the settings come from, and what was changed and why.")
    measured: tuple[Measured, ...] = ()
    model: ModelSpec
    prompt: PromptSpec = PromptSpec()
    training: TrainingSpec


def load_presets(folder: Path = PRESETS_FOLDER) -> dict[str, Preset]:
    """Every preset by name: the default first, then by group and size. Raises UserError for a faulty file."""
    return dict(_read_all(tuple((path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.yaml")))))


@lru_cache(maxsize=4)
def _read_all(files: tuple[tuple[Path, int], ...]) -> dict[str, Preset]:
    """Read once for each state of the files: the page asks for a preset at every setting that it shows."""
    presets = [_read(path) for path, _ in files]
    groups = ("small", "encoder", "llm")
    presets.sort(key=lambda preset: (preset.name != DEFAULT_PRESET, groups.index(preset.group), preset.parameters))
    return {preset.name: preset for preset in presets}


def find_preset(name: str) -> Preset:
    """Raises UserError where there is none of that name."""
    presets = load_presets()
    if name not in presets:
        raise UserError(f"There is no preset '{name}'.", "preset", f"Choose one of: {', '.join(presets)}.")
    return presets[name]


def wants_gpu(preset_name: str, source: str) -> bool:
    """Whether this is a preset for NVIDIA GPUs with its own model: with a small one of somebody's own it trains on a
    processor as well."""
    preset = load_presets().get(preset_name)
    return preset is not None and preset.needs_gpu and source == preset.model.source


def preset_spec(preset: Preset, data: DataSpec, mapping: MappingSpec) -> RunSpec:
    """A run of this preset on these data, everything else at its default."""
    return RunSpec(
        preset=preset.name,
        data=data,
        mapping=mapping,
        model=preset.model,
        prompt=preset.prompt,
        training=preset.training,
    )


def _read(path: Path) -> Preset:
    content = read_yaml(path)
    try:
        preset = Preset.model_validate(content)
    except ValidationError as error:
        raise from_validation(error, f"presets/{path.name}") from error
    if preset.name != path.stem:
        raise UserError(
            f"presets/{path.name} is named '{preset.name}' inside.", path.name, "Give file and preset the same name."
        )
    return preset

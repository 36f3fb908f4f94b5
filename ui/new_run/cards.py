"""The presets as cards: what each is for, how large it is, what it was measured to do, whether it can run here."""

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType

from core.durations import duration
from core.errors import UserError
from core.models.source import Source, check_source
from core.presets import Measured, Preset
from ui.words import percent, size

GROUPS = {
    "small": "Small and quick (any computer)",
    "encoder": "Encoders",
    "llm": "Language models (GPU)",
}
NO_MISFITS: Mapping[str, str] = MappingProxyType({})
NO_FORECASTS: Mapping[str, tuple[str, bool]] = MappingProxyType({})
WITHOUT_GPU = (
    "Take a small model or an encoder; or choose one of these for its settings and give the folder of a small language "
    "model as the pretrained model: that trains on the processor."
)
WHERE = {
    "packaged": "Comes with the installation",
    "folder": "On this computer",
    "cached": "Downloaded already",
}


def availability(preset: Preset, has_gpu: bool) -> Source | UserError:
    """Where the preset's model is, or why it cannot run here; the hub is asked, for some seconds at most."""
    if preset.needs_gpu and not has_gpu:
        return UserError("It needs an NVIDIA GPU, and this computer shows none.", "GPU", WITHOUT_GPU)
    try:
        return check_source(preset.model)
    except UserError as error:
        return error


def cards_html(
    presets: Sequence[Preset],
    chosen: str,
    found: dict[str, Source | UserError],
    *,
    has_gpu: bool,
    checking: bool = False,
    misfits: Mapping[str, str] = NO_MISFITS,
    forecasts: Mapping[str, tuple[str, bool]] = NO_FORECASTS,
) -> str:
    """A group of cards after the other. found: preset's name -> where its model is, for those that were looked for.

    misfits: preset's name -> why it cannot learn from the data, for those that cannot. forecasts: preset's name -> what
    it takes, in words, and whether that is there.
    """
    parts = []
    for group, title in GROUPS.items():
        members = [preset for preset in presets if preset.group == group]
        if members:
            cards = "".join(
                _card(
                    preset,
                    preset.name == chosen,
                    _takes(*forecasts[preset.name]) if preset.name in forecasts else "",
                    _status(preset, found.get(preset.name), misfits, has_gpu=has_gpu, checking=checking),
                )
                for preset in members
            )
            parts.append(
                f'<h3>{title}</h3><div class="presets" role="radiogroup" aria-label="{escape(title)}">{cards}</div>'
                + _what_to_do(members, found)
            )
    return "".join(parts)


def _what_to_do(presets: Sequence[Preset], found: dict[str, Source | UserError]) -> str:
    """What helps where presets of a group cannot run; said once for all of them."""
    answers = [found.get(preset.name) for preset in presets]
    todos = dict.fromkeys(answer.todo for answer in answers if isinstance(answer, UserError))
    return "".join(f'<p class="preset-note">{escape(todo)}</p>' for todo in todos)


def _takes(words: str, fits: bool) -> str:
    return f'<span class="facts takes{"" if fits else " too-much"}">{escape(words)}</span>'


def _card(preset: Preset, is_chosen: bool, takes: str, status: str) -> str:
    measured = "".join(f"<li>{_measured(line)}</li>" for line in preset.measured[:2])
    return (
        f'<button type="button" role="radio" aria-checked="{"true" if is_chosen else "false"}" class="preset" '
        f'data-key="{escape(preset.name)}"><strong>{escape(preset.title)}</strong><span>{escape(preset.purpose)}</span>'
        f'<span class="facts"><b>{count_words(preset.parameters)}</b> weights · {_download(preset)}</span>{takes}'
        + (f'<ul class="measured">{measured}</ul>' if measured else "")
        + status
        + "</button>"
    )


def _download(preset: Preset) -> str:
    return f"{size(preset.download_bytes)} to download once" if preset.download_bytes else "nothing to download"


def _status(
    preset: Preset, found: Source | UserError | None, misfits: Mapping[str, str], *, has_gpu: bool, checking: bool
) -> str:
    if preset.name in misfits:
        return f'<span class="cannot">Not for these data: {escape(misfits[preset.name])}.</span>'
    if isinstance(found, UserError):
        return f'<span class="cannot">Cannot run now: {escape(found.what)}</span>'
    if found is None:
        return '<span class="where">Looking for the model…</span>' if checking else '<span class="where"></span>'
    slow = preset.group == "encoder" and preset.parameters > 50e6 and not has_gpu
    where = WHERE.get(found.kind, "The model hub has it")
    return f'<span class="where can">{where}{"; slow without a GPU" if slow else ""}</span>'


def _measured(line: Measured) -> str:
    beside = f", TF-IDF {percent(line.baseline)}" if line.baseline is not None else ""
    figure = f"{percent(line.value)} {line.metric.replace('_', ' ')} on {line.data}{beside}"
    return escape(f"{figure}; {duration(line.seconds)} on {line.machine}")


def count_words(number: int) -> str:
    """`22.7 M`, `1.1 B`."""
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"

"""A model with a small web service over it: FastAPI over ONNX Runtime for encoders, over transformers for the others.

Its files are core/export/recipes with their imports made local, and the two files of core/ that they use. Nothing of
Tunedesk is needed where it runs. Heavy through what makes the model.
"""

from dataclasses import replace
from pathlib import Path

import core.decision
import core.text_template
from core.export.bundle import copy_model
from core.export.onnx import write_onnx
from core.export_formats import Exported, Tell
from core.model_facts import ModelFacts
from core.workspace import RunFolder

RECIPES = Path(__file__).parent / "recipes"
REQUIREMENTS = {
    "encoder": ("fastapi", "uvicorn", "numpy", "pydantic", "tokenizers", "onnxruntime"),
    "causal": ("fastapi", "uvicorn", "numpy", "pydantic", "transformers", "torch"),
}


def write_server(folder: RunFolder, facts: ModelFacts, place: Path, texts: list[str], tell: Tell) -> Exported:
    """Write model, server.py and what it needs to the folder `place`. Raises UserError as the model's format does."""
    if facts.family == "encoder":
        exported = write_onnx(folder.model, facts, place, "float32", texts, tell)
    else:
        tell(0, 0, "copying the model")
        exported = copy_model(folder, place)
    write_recipe(facts, place)
    return replace(exported, format="server", precision="")


def write_recipe(facts: ModelFacts, place: Path) -> None:
    """server.py, service.py, what they import, and requirements.txt."""
    own = "encoder_server.py" if facts.family == "encoder" else "language_model_server.py"
    for source, name in (
        (RECIPES / own, "server.py"),
        (RECIPES / "service.py", "service.py"),
        (Path(str(core.decision.__file__)), "decision.py"),
        (Path(str(core.text_template.__file__)), "text_template.py"),
    ):
        content = source.read_text(encoding="utf-8")
        local = content.replace("from core.export.recipes.", "from ").replace("from core.", "from ")
        (place / name).write_text(local, encoding="utf-8")
    more = [*(["peft"] if facts.is_adapter else []), *(["bitsandbytes"] if facts.is_four_bits else [])]
    (place / "requirements.txt").write_text("\n".join([*REQUIREMENTS[facts.family], *more, ""]), encoding="utf-8")

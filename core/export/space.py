"""A Space: the exported model with a small Gradio app beside it that classifies, ready for the hub or any computer.

For encoders. A language model needs a GPU, which a free Space does not have, so none is written for it. The app holds
nothing of Tunedesk; it is started and asked once before it is published.
"""

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from core.decision import AS_IT_IS
from core.errors import UserError
from core.export.base import base_license
from core.export.bundle import CARD_NAME, export_folder
from core.export.loading import OWN_CODE, loading_code
from core.export.markdown import plain
from core.model_facts import MODEL_FACTS_FILE, ModelFacts, read_model_facts, run_model_facts
from core.schema import LabelKind
from core.text_template import template_pieces
from core.workspace import RunFolder

APP_NAME, REQUIREMENTS_NAME, MODEL_CARD_NAME = "app.py", "requirements.txt", "MODEL_CARD.md"
START_SECONDS = 180
ANSWER_SECONDS = 120
TRIAL_TEXT = "A text to see whether the app answers."
OWN_NAMES = {APP_NAME, REQUIREMENTS_NAME, MODEL_CARD_NAME}


def write_space(folder: RunFolder, to: Path) -> Path:
    """Write model, app and the Space's README.md to the folder `to`; an earlier one there is replaced.

    Raises UserError where the run's model is not an encoder, or as export_folder does.
    """
    facts = run_model_facts(folder)
    if facts.family != "encoder":
        raise UserError(
            f"A Space for {facts.name} needs a GPU: it is a language model.",
            folder.id,
            "Publish the model alone; its card says how to load it.",
        )
    if (to / MODEL_FACTS_FILE).is_file() and (to / MODEL_CARD_NAME).is_file():  # a Space of before
        for name in OWN_NAMES:
            (to / name).unlink(missing_ok=True)
    export_folder(folder, to)
    (to / CARD_NAME).rename(to / MODEL_CARD_NAME)
    (to / APP_NAME).write_text(app_code(facts), encoding="utf-8")
    (to / REQUIREMENTS_NAME).write_text(_requirements(), encoding="utf-8")
    (to / CARD_NAME).write_text(_readme(facts), encoding="utf-8")
    return to


def try_space(space: Path) -> dict[str, Any]:
    """Start the app as it would run on the hub and ask it one text. Returns class -> probability.

    In a process of its own without the hub and without its token. Raises UserError with the end of what the app said
    where it does not answer.
    """
    facts = read_model_facts(space)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secrets = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in secrets} | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    log = space.with_name(f"{space.name}.log")
    try:
        with log.open("wb") as output:
            app = subprocess.Popen(
                [sys.executable, APP_NAME],
                cwd=space,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            return _asked(app, f"http://127.0.0.1:{port}", [TRIAL_TEXT] * len(facts.text_columns))
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError) as error:
            end = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-400:]
            raise UserError(
                f"The Space's app does not answer ({error or type(error).__name__}): {end}",
                str(space / APP_NAME),
                "Nothing was published. Correct what it says, or publish the model without a Space.",
            ) from error
        finally:
            app.kill()
            app.wait()
    finally:
        log.unlink(missing_ok=True)


def _asked(app: subprocess.Popen[bytes], address: str, cells: list[str]) -> dict[str, Any]:
    """One call through the app's own interface: first an id, then the answer as a stream of events."""
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client:
        while True:
            try:
                client.get(f"{address}/config").raise_for_status()
                break
            except httpx.HTTPError:
                if app.poll() is not None or time.monotonic() > deadline:
                    raise TimeoutError("it did not start") from None
                time.sleep(0.3)
        call = client.post(f"{address}/gradio_api/call/classify", json={"data": cells}).raise_for_status()
        events = client.get(f"{address}/gradio_api/call/classify/{call.json()['event_id']}").raise_for_status().text
    if "event: complete" not in events:
        raise ValueError("it failed on a text")
    answer = json.loads(events.split("event: complete\ndata: ", 1)[1].splitlines()[0])
    return {entry["label"]: entry["confidence"] for entry in answer[1]["confidences"]}


def app_code(facts: ModelFacts) -> str:
    """app.py: loads the model that lies beside it."""
    names = ", ".join(f"cell_{number}" for number in range(len(facts.text_columns)))
    boxes = ", ".join(
        f"gr.Textbox(label={json.dumps(name, ensure_ascii=False)}, lines=3)" for name in facts.text_columns
    )
    return f'''"""A text goes in, its class comes out. Made with Tunedesk; needs nothing of it."""

from pathlib import Path

import gradio as gr
{_setup(facts)}

def classify({names}):
    """Words for people, and class -> probability."""
    text = {_text(facts)}
    if not text:
        raise gr.Error("Write a text first.")
    found = probabilities(text)
{_words(facts)}
    return said, found


app = gr.Interface(
    classify,
    [{boxes}],
    [gr.Textbox(label="Class"), gr.Label(label="How sure", num_top_classes={min(len(facts.labels), 10)})],
    title={json.dumps(facts.name, ensure_ascii=False)},
    api_name="classify",
    flagging_mode="never",
)

if __name__ == "__main__":
    app.launch()
'''


def _setup(facts: ModelFacts) -> str:
    """From the imports to `probabilities(text)`: class -> probability, at the temperature that was fitted."""
    heat = facts.decision.temperature
    tempered = (
        f"""    found = {{label: share ** (1 / {heat}) for label, share in found.items()}}
    total = sum(found.values())
    found = {{label: share / total for label, share in found.items()}}
"""
        if heat != 1
        else ""
    )
    if facts.head != "model":
        return _own_head(facts) + tempered + "    return found\n"
    trust = ", trust_remote_code=True" if facts.architecture == OWN_CODE else ""
    return f"""from transformers import pipeline

HERE = str(Path(__file__).resolve().parent)
classifier = pipeline("text-classification", model=HERE, truncation=True{trust})


def probabilities(text):
    found = {{entry["label"]: entry["score"] for entry in classifier(text, top_k=None)}}
{tempered}    return found
"""


def _own_head(facts: ModelFacts) -> str:
    """The card's own lines, with those that read one text as a function."""
    plain_facts = replace(facts, decision=AS_IT_IS, text_columns=("text",), text_template="", backslash_is_space=False)
    lines = loading_code(plain_facts, "HERE").replace('"HERE"', "str(Path(__file__).resolve().parent)").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("text ="))
    end = next(number for number, line in enumerate(lines) if line.startswith("found ="))
    setup = "\n".join(line for line in lines[:start] if not line.startswith("#"))
    body = "\n".join(f"    {line}" for line in lines[start + 1 : end + 1])
    return f"{setup}\n\n\ndef probabilities(text):\n{body}\n"


def _text(facts: ModelFacts) -> str:
    """An expression for the text that the model reads, made of the cells as in training (joined_text)."""
    clean = '.replace("\\\\", " ").strip()' if facts.backslash_is_space else ""
    cells = [f"cell_{number}.strip(){clean}" for number in range(len(facts.text_columns))]
    if facts.text_template:
        by_name = dict(zip(facts.text_columns, cells, strict=True))
        pieces = [
            by_name[words] if is_column else json.dumps(words, ensure_ascii=False)
            for words, is_column in template_pieces(facts.text_template)
        ]
        return " + ".join(pieces)
    if len(cells) == 1:
        return cells[0]
    return f"{json.dumps(facts.joiner, ensure_ascii=False)}.join(cell for cell in [{', '.join(cells)}] if cell)"


def _words(facts: ModelFacts) -> str:
    """Lines that make `said` of `found`."""
    if facts.label_kind == "multi":
        least = json.dumps(dict(zip(facts.labels, facts.thresholds, strict=True)), ensure_ascii=False)
        return (
            f"    least = {least}\n"
            "    given = [label for label, share in found.items() if share >= least[label]]\n"
            '    said = ", ".join(given) or "none of the classes"'
        )
    below = facts.decision.abstain_below if facts.label_kind == "single" else 0.0
    if below <= 0:
        return "    said = max(found, key=found.get)"
    return (
        "    said = max(found, key=found.get)\n"
        f"    if found[said] < {below}:\n"
        f'        said = "not sure enough (nothing reaches {below:.1%})"'
    )


def _requirements() -> str:
    """What the app was tried with; Gradio itself is named in the README, where the hub looks for it."""
    torch = importlib.metadata.version("torch").split("+")[0]
    names = ("transformers", "safetensors")
    return "\n".join([f"torch>={torch}", *(f"{name}=={importlib.metadata.version(name)}" for name in names)]) + "\n"


_EMOJI: dict[LabelKind, str] = {"single": "🏷️", "multi": "🗂️", "soft": "📊", "none": "💬"}


def _readme(facts: ModelFacts) -> str:
    from huggingface_hub import SpaceCardData

    stated = base_license(facts)
    data = SpaceCardData(
        title=facts.name[:60],
        emoji=_EMOJI[facts.label_kind],
        colorFrom="blue",
        colorTo="indigo",
        sdk="gradio",
        sdk_version=importlib.metadata.version("gradio"),
        app_file=APP_NAME,
        pinned=False,
        license=stated.get("license"),
        tags=["tunedesk", "text-classification"],
    )
    return (
        f"---\n{data.to_yaml()}\n---\n\n# {plain(facts.name)}\n\nWrite a text and see its class. The model lies beside "
        f"the app; what it is, how good it was measured to be and where it fails stands in [{MODEL_CARD_NAME}]"
        f"({MODEL_CARD_NAME}).\n\nOn your own computer: `pip install gradio -r {REQUIREMENTS_NAME}`, then "
        f"`python {APP_NAME}`.\n"
    )

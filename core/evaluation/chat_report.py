"""What evaluation found of a model that learned from conversations: report.json and report.html, no predictions.

report.json, schema_version 1, task "chat": run, name, created (UTC), verdict, verdict_sentences, tone, findings, parts
(rows in each), test and untuned (loss, perplexity, tokens, rows; of the test part after and before training, `untuned`
null where that was not measured), samples (messages, expected, untuned, tuned), training, data, settings, machine.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.data.examples import DataFacts
from core.evaluation.chat_html import chat_report_html
from core.evaluation.figures import write_figures
from core.evaluation.report import SCHEMA_VERSION, shown_settings, thinned
from core.evaluation.report_file import save_content
from core.evaluation.verdict import Tone, counted
from core.files import replacing
from core.schema import RunSpec
from core.workspace import RunFolder

FEW_CONVERSATIONS = 30
"""With fewer in the test part its figures are called rough."""
HARDLY = 0.02
"""A change of the mean chance of the right next word by less than this share is hardly one."""


@dataclass(frozen=True)
class ChatSample:
    """A conversation of the test part, and what the model answered before and after it was trained."""

    messages: Sequence[Mapping[str, str]]
    """{"role", "content"} each, up to the last answer, without it."""
    expected: str
    """The last answer, as the data have it."""
    untuned: str | None
    """None where it was not asked."""
    tuned: str | None


def write_chat_report(
    folder: RunFolder,
    spec: RunSpec,
    facts: DataFacts,
    *,
    scores: Mapping[str, Mapping[str, float]],
    samples: Sequence[ChatSample],
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Judge, and write the two files; returns the content of report.json, which is written last.

    scores: `tuned`, and `untuned` where it was measured, on the test part: loss (nats a token of the answers),
    perplexity, tokens (of the answers). training: as core.evaluation.report.write_report takes it.
    """
    folder.report.mkdir(parents=True, exist_ok=True)
    rows = facts.parts["test"]
    figures = {name: {"rows": rows, **values} for name, values in scores.items()}
    tuned, untuned = figures["tuned"], figures.get("untuned")
    sentences, tone = chat_verdict(tuned, untuned)
    report = {
        "schema_version": SCHEMA_VERSION,
        "task": "chat",
        "run": folder.id,
        "name": spec.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": " ".join(sentences),
        "verdict_sentences": sentences,
        "tone": tone,
        "findings": [],
        "labels": [],
        "parts": facts.parts,
        "test": tuned,
        "untuned": untuned,
        "samples": [asdict(sample) for sample in samples],
        "training": {
            **{name: value for name, value in training.items() if name != "machine"},
            "history": thinned(training["history"]),
        },
        "data": asdict(facts),
        "settings": shown_settings(spec),
        "machine": training["machine"],
    }
    drawn = write_figures(folder, report)
    with replacing(folder.report / "report.html") as target:
        target.write_text(chat_report_html(report, drawn), encoding="utf-8")
    save_content(folder, report)
    return report


def chat_verdict(tuned: Mapping[str, float], untuned: Mapping[str, float] | None) -> tuple[list[str], Tone]:
    """Sentences, the first the headline, and tone. tuned, untuned: loss, perplexity and rows of the test part.

    bad: no better than before training. caution: hardly better, few conversations, or nothing to compare with.
    """
    rows = int(tuned["rows"])
    unseen = f"{counted(rows, 'unseen conversation')}"
    if not math.isfinite(tuned["loss"]):
        return [
            f"Training went wrong: the loss on {unseen} is not a number.",
            "Lower the learning rate and train again.",
        ], "bad"
    sentences, tone = _against_untuned(tuned, untuned, unseen)
    sentences.append(_perplexity(tuned, untuned))
    if rows < FEW_CONVERSATIONS:
        sentences.append(f"The test part is small ({counted(rows, 'conversation')}), so these figures are rough.")
        tone = "caution" if tone == "good" else tone
    sentences.append(
        "This measures how closely it writes like your answers, not whether what it says is true: read the samples."
    )
    return sentences, tone


def _against_untuned(
    tuned: Mapping[str, float], untuned: Mapping[str, float] | None, unseen: str
) -> tuple[list[str], Tone]:
    """The headline: each token of a right answer is exp(loss before - loss after) times as likely as before."""
    if untuned is None:
        return [
            f"On {unseen} its loss is {tuned['loss']:.3f}; whether training helped is not known, as the untuned model "
            "was not measured."
        ], "caution"
    before, after = untuned["loss"], tuned["loss"]
    change = f"loss {before:.3f} before training, {after:.3f} after"
    if not math.isfinite(before):
        return [f"On {unseen} its loss is {after:.3f}; that of the untuned model is not a number."], "caution"
    times = math.exp(min(before - after, 700))
    if times <= 1:
        return [f"Training did not help: on {unseen} the right next word is no likelier than before ({change})."], "bad"
    if times < 1 + HARDLY:
        return [f"Training hardly changed it: on {unseen} the right next word is as likely as before ({change})."], (
            "caution"
        )
    shown = f"{times:.3g}" if times >= 10 else f"{times:.2f}"
    return [f"On {unseen} the right next word is {shown} times as likely as before training ({change})."], "good"


def _perplexity(tuned: Mapping[str, float], untuned: Mapping[str, float] | None) -> str:
    before = f" (before: {choices_words(untuned['perplexity'])})" if untuned else ""
    return (
        f"Perplexity {choices_words(tuned['perplexity'])}{before}: at each step it is as unsure as if it chose among "
        "so many equally likely words or pieces of words."
    )


def choices_words(perplexity: float) -> str:
    """`3.24`, `41.2`, `1,300`."""
    if perplexity < 10:
        return f"{perplexity:.2f}"
    return f"{perplexity:.1f}" if perplexity < 100 else f"{perplexity:,.0f}"

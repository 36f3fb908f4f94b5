"""Whether a run learns anything, told from its evaluations: one answer to every row, the classes' shares and no more,
no numbers, or never better than guessing.

Pure functions of numbers; light, so that the page reads the notices too. A notice is two events of the store: `notice`
when something is found, `notice_withdrawn` when a later evaluation is better. Limits: it looks at validation alone, and
only where a model gives a probability for each class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core.runs.store import Event, MetricPoint
from core.schema import LabelKind, Method, RunSpec

Floats = npt.NDArray[np.float64]
Finding = Literal["not_finite", "class_shares", "one_answer", "no_better"]

NOTICE, WITHDRAWN = "notice", "notice_withdrawn"
"""Kinds of event."""
PREFIX = "watch_"
"""Of this module's figures among those of an evaluation."""
CLEAR_GAIN = 0.01
"""So much lower than guessing's, as a share of it, the loss must be for the model to know more than the shares."""
CLEAR_LEAD = 2.0
"""So many standard errors above guessing accuracy or macro F1 must be; with fewer it may be chance."""
SAME_SHARES = 0.05
"""Nearer than this to the classes' shares (total variation distance) probabilities count as those."""
EARLY = 0.2
"""Share of the steps, and at least the first epoch, in which even a healthy run may not have learned anything yet."""
WORSE = -0.1
"""A gain below this: the model was thrown off, rather than slow to begin."""
HIGH_RATES: Mapping[Method, float] = {"full": 2e-4, "freeze": 1e-3, "head": 1e-2}
"""Learning rates above what is usual, by method; of adapters 1e-3."""
LOPSIDED = 0.8
"""Share of the commonest class above which rare classes deserve more weight."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation tells. All are finite, so that the store keeps them."""

    answers: float
    """Different predictions that the rows were given: classes, or sets of classes."""
    answer: float
    """The commonest prediction: the class's number; where a row may have several, how many it has."""
    off_shares: float
    """Mean distance of the rows' probabilities from the classes' shares in train, 0 to 1."""
    gain: float
    """How much lower the loss is than that of giving everyone those shares, as a share of it; below 0: higher."""
    lead: float
    """How far accuracy or macro F1 is above what the best answer that is the same for all has, in standard errors."""
    broken: float
    """Share of the rows for which the model gives no numbers."""
    step: int = 0

    @property
    def is_better(self) -> bool:
        """Than guessing."""
        return self.broken == 0 and (self.gain > CLEAR_GAIN or self.lead > CLEAR_LEAD)


NAMES = tuple(PREFIX + field.name for field in fields(Evaluation) if field.name != "step")


@dataclass(frozen=True)
class Notice:
    """What is wrong and what to try, in plain words; `what` may hold the name of a class."""

    finding: Finding
    what: str
    todo: str
    step: int


def class_shares(labels: npt.NDArray[Any], classes: int, kind: LabelKind) -> Floats:
    """Of each class in the train part, [classes]; never quite 0 or 1. labels: as LabelledTexts has them."""
    counts = np.bincount(labels, minlength=classes) if kind == "single" else labels.sum(axis=0, dtype=np.float64)
    if kind == "multi":
        return np.asarray((counts + 0.5) / (len(labels) + 1))
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * classes))


def watch_figures(
    logits: npt.NDArray[Any], labels: npt.NDArray[Any], shares: Floats, kind: LabelKind
) -> dict[str, float]:
    """An Evaluation's figures by their names in the store.

    logits: [rows, classes]; labels: as LabelledTexts has them; shares: [classes], of `class_shares`.
    """
    classes = logits.shape[1]
    broken = float((~np.isfinite(logits)).any(axis=1).mean())
    numbers = np.nan_to_num(np.asarray(logits, dtype=np.float64), posinf=0, neginf=0)
    truth = np.eye(classes)[labels] if kind == "single" else np.asarray(labels, dtype=np.float64)
    if kind == "multi":
        probabilities = 1 / (1 + np.exp(-np.clip(numbers, -500, 500)))
        answers, counts = np.unique(numbers >= 0, axis=0, return_counts=True)
        answer = float(answers[counts.argmax()].sum())
        lead = _lead_of_sets(truth, numbers >= 0)
    else:
        shifted = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        chosen = numbers.argmax(axis=1)
        answers, counts = np.unique(chosen, return_counts=True)
        answer = float(answers[counts.argmax()])
        lead = _lead(truth.argmax(axis=1), chosen, classes)
    guessed = _loss(truth, np.broadcast_to(shares, truth.shape), kind)
    evaluation = Evaluation(
        answers=float(len(answers)),
        answer=answer,
        off_shares=float(np.abs(probabilities - shares).sum(axis=1).mean() / (2 * shares.sum())),
        gain=1 - _loss(truth, probabilities, kind) / max(guessed, 1e-9),
        lead=lead,
        broken=broken,
    )
    return {PREFIX + name: value for name, value in asdict(evaluation).items() if name != "step"}


def evaluations(points: Sequence[MetricPoint]) -> list[Evaluation]:
    """From the metrics of a run, in order of steps."""
    found: dict[int, dict[str, float]] = {}
    for point in points:
        name = point.name.rpartition("/")[2].removeprefix(PREFIX)
        found.setdefault(point.step, {})[name] = point.value
    whole = len(NAMES)
    return [Evaluation(**found[step], step=step) for step in sorted(found) if len(found[step]) == whole]


def find(seen: Sequence[Evaluation], steps: int, epochs: float) -> Finding | None:
    """What is wrong after the last of these evaluations of a run of so many steps and epochs; None for nothing.

    Apart from what is no number, it takes two evaluations in a row, neither of them early.
    """
    last = seen[-1]
    if last.broken:
        return "not_finite"
    early = steps * max(EARLY, min(1 / epochs, 0.5))
    two = [evaluation for evaluation in seen[-2:] if evaluation.step >= early - 1 and not evaluation.is_better]
    if len(two) < 2:
        return None
    if all(_says(evaluation, "class_shares") for evaluation in two):
        return "class_shares"
    if all(_says(evaluation, "one_answer") for evaluation in two):
        return "one_answer"
    return None if any(evaluation.is_better for evaluation in seen) else "no_better"


def still_holds(finding: Finding, last: Evaluation) -> bool:
    """Whether an evaluation shows what was found before; after a resume the earlier ones may be gone."""
    if finding == "not_finite":
        return last.broken > 0
    return not last.is_better and (finding == "no_better" or _says(last, finding))


def describe(
    finding: Finding,
    seen: Sequence[Evaluation],
    spec: RunSpec,
    class_name: Callable[[int], str],
    commonest: float | None,
) -> Notice:
    """The finding in words. commonest: share of the commonest class in validation, where that is known."""
    last, kind = seen[-1], spec.mapping.kind
    what = {
        "not_finite": f"The model gives no numbers for {last.broken * 100:.0f} % of the validation rows (NaN).",
        "class_shares": "The model says the same of every validation row: how common each class is, and nothing more.",
        "one_answer": _one_answer(last, kind, class_name),
        "no_better": f"After {len(seen)} evaluations the model is no better than {_guessing(kind)}.",
    }[finding]
    if finding != "no_better" and any(evaluation.is_better for evaluation in seen[:-1]):
        what += " Earlier it was better; the best checkpoint is kept."
    return Notice(finding, what, _what_to_try(finding, last, spec, commonest), last.step)


def open_notices(events: Sequence[Event]) -> list[Notice]:
    """Those that were not withdrawn, from a run's events in order."""
    found: dict[str, Notice] = {}
    for event in events:
        if event.kind == NOTICE:
            found[event.detail["finding"]] = Notice(**event.detail)
        elif event.kind == WITHDRAWN:
            found.pop(event.detail["finding"], None)
    return list(found.values())


def _says(evaluation: Evaluation, finding: Finding) -> bool:
    return evaluation.off_shares < SAME_SHARES if finding == "class_shares" else evaluation.answers == 1


def _loss(truth: Floats, probabilities: Floats, kind: LabelKind) -> float:
    """Mean binary cross-entropy (multi), else mean KL divergence, of single labels the log loss."""
    said = np.clip(probabilities, 1e-12, 1 - 1e-12)
    if kind == "multi":
        return float(-(truth * np.log(said) + (1 - truth) * np.log(1 - said)).mean())
    own = np.where(truth > 0, truth * np.log(np.where(truth > 0, truth, 1)), 0)
    return float((own - truth * np.log(said)).sum(axis=1).mean())


def _lead(true: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], classes: int) -> float:
    """An answer that does not depend on the text has a macro F1 of at most 1 / classes: of each class it is at most the
    mean of the shares of the rows that have and that get it."""
    both = np.bincount(true[true == chosen], minlength=classes)
    have, get = np.bincount(true, minlength=classes), np.bincount(chosen, minlength=classes)
    met = have + get > 0
    macro_f1, chance = float((2 * both[met] / (have + get)[met]).mean()), 1 / int(met.sum())
    accuracy, commonest = both.sum() / len(true), have.max() / len(true)
    return max(_errors(accuracy, commonest, len(true)), _errors(macro_f1, chance, len(true)))


def _lead_of_sets(true: Floats, given: npt.NDArray[np.bool_]) -> float:
    """The same answer for everyone has at most the F1 of giving a class to all: 2 share / (1 + share)."""
    both = (true * given).sum(axis=0)
    have, get = true.sum(axis=0), given.sum(axis=0)
    met = have + get > 0
    if not met.any():
        return 0.0
    share = have[met] / len(true)
    macro_f1, chance = float((2 * both[met] / (have + get)[met]).mean()), float((2 * share / (1 + share)).mean())
    _, sets = np.unique(true, axis=0, return_counts=True)
    accuracy, commonest = float((true == given).all(axis=1).mean()), sets.max() / len(true)
    return max(_errors(accuracy, commonest, len(true)), _errors(macro_f1, chance, len(true)))


def _errors(value: float, guess: float, rows: int) -> float:
    """How many standard errors of a share of so many rows lie between the two."""
    return float((value - guess) / max(np.sqrt(guess * (1 - guess) / rows), 1 / rows))


def _one_answer(last: Evaluation, kind: LabelKind, class_name: Callable[[int], str]) -> str:
    if kind == "multi":
        if last.answer == 0:
            return "The model gives no class to any validation row."
        return f"The model gives every validation row the same {'class' if last.answer == 1 else 'classes'}."
    return f"The model gives every validation row the same class, {class_name(int(last.answer))}."


def _guessing(kind: LabelKind) -> str:
    if kind == "multi":
        return "giving every row the commonest classes"
    return "giving every row the mean probabilities" if kind == "soft" else "guessing the commonest class"


def _what_to_try(finding: Finding, last: Evaluation, spec: RunSpec, commonest: float | None) -> str:
    training, rate = spec.training, spec.training.learning_rate
    high = HIGH_RATES.get(spec.model.method, 1e-3)
    lower = f"a learning rate of {_rate(min(rate / 10, high / 2))} (it is {_rate(rate)})"
    tries = []
    if finding == "not_finite":
        tries.append(lower)
        if training.precision != "float32":
            tries.append("float32 as precision")
    elif rate > high or (last.gain < WORSE and training.class_weights == "none"):
        tries.append(lower)
        if training.warmup < 0.05:
            tries.append("a warmup of 0.1")
    else:
        tries.append(f"twice as many epochs, or a learning rate of {_rate(rate * 3)} (it is {_rate(rate)})")
        if spec.model.method in ("freeze", "head"):
            tries.append("fewer frozen layers")
    # Answers in words take no class weights.
    weighable = spec.task == "classify" and training.class_weights == "none" and finding != "not_finite"
    if commonest is not None and commonest > LOPSIDED and weighable:
        tries.append(f"balanced class weights, since {commonest * 100:.0f} % of the rows are of one class")
    also = "" if finding == "not_finite" else " If that does not help, see whether texts and labels belong together."
    return f"Try {'; '.join(tries)}.{also}"


def _rate(value: float) -> str:
    return f"{value:.2g}".replace("e-0", "e-")

"""What is frozen of a model, and what that saves, in words: on the Model step as it is chosen, and on Review."""

import shutil
from dataclasses import dataclass
from html import escape

import psutil

from core.data.amount import Amount
from core.errors import UserError
from core.models.known import Known, known_of, require_layers
from core.models.layers import (
    CachePlan,
    Parameters,
    parameter_counts,
    plan_states,
    suggested_frozen_layers,
    suggestion_words,
    work_of_a_step,
)
from core.schema import ModelSpec, TrainingSpec
from core.training.reading import amount_for
from core.workspace import Workspace
from ui.new_run.cards import count_words
from ui.new_run.draft import Draft, spec_of
from ui.new_run.draft_plan import tables_of

ESTIMATED = "An estimate: four characters are taken for a token."
CLASSES = 2
"""Assumed where the data are not known yet; one more makes about a thousand parameters among millions."""


@dataclass(frozen=True)
class Frozen:
    """What stays as it is in a run with the method freeze or head."""

    model: ModelSpec
    """With the number of frozen layers that a run would choose, where it is to choose."""
    known: Known
    amount: Amount | None
    """None where the draft is not complete."""
    layers: int | None
    """The lowest ones; None where their number is not known before the model is loaded."""
    is_chosen: bool
    """By the rows, rather than by hand."""
    cache: CachePlan | None
    problem: UserError | None
    """More layers than the model has."""

    @property
    def parameters(self) -> Parameters | None:
        known = self.known
        if known.sizes is None or self.layers is None or self.problem:
            return None
        return parameter_counts(known.sizes, self.model, self.amount.classes if self.amount else CLASSES)


def frozen_of(workspace: Workspace, draft: Draft) -> Frozen | None:
    """None where the method keeps no layer as it is."""
    model = ModelSpec.model_validate(draft.spec["model"])
    if model.family != "encoder" or model.method not in ("freeze", "head"):
        return None
    known, amount = known_of(model), _amount(workspace, draft)
    is_chosen = model.method == "freeze" and model.choose_frozen_layers
    layers = known.layers if model.method == "head" else model.frozen_layers
    if is_chosen:
        layers = suggested_frozen_layers(known.layers, amount.rows["train"]) if known.layers and amount else None
        model = model.model_copy(update={"frozen_layers": layers or 0})
    problem = _problem(model, known) if not is_chosen else None
    training = TrainingSpec.model_validate(draft.spec["training"])
    plan = _cache(workspace, known, layers, training, amount) if layers is not None and not problem else None
    return Frozen(model, known, amount, layers, is_chosen, plan, problem)


def _amount(workspace: Workspace, draft: Draft) -> Amount | None:
    try:
        return amount_for(spec_of(draft), tables_of(workspace, draft))
    except UserError:  # said where it is to be put right
        return None


def _problem(model: ModelSpec, known: Known) -> UserError | None:
    if known.layers is None:
        return None
    try:
        require_layers(model, known.layers)
    except UserError as error:
        return error
    return None


def _cache(
    workspace: Workspace, known: Known, frozen: int, training: TrainingSpec, amount: Amount | None
) -> CachePlan | None:
    if amount is None or known.layers is None or known.hidden_size is None:
        return None
    return plan_states(
        known.layers,
        known.hidden_size,
        frozen,
        training,
        amount.tokens,
        amount.rows["train"],
        psutil.virtual_memory().available,
        shutil.disk_usage(workspace.root).free,
    )


def frozen_html(frozen: Frozen) -> str:
    """Figures and sentences below the slider."""
    if frozen.problem is not None:
        return f'<p class="bad" role="alert">{escape(frozen.problem.what)} {escape(frozen.problem.todo)}</p>'
    cells = "".join(
        f"<div><dt>{title}</dt><dd>{value}<small>{more or '&nbsp;'}</small></dd></div>"
        for title, value, more in _figures(frozen)
    )
    told = [choice_words(frozen), _cache_words(frozen), _unknown_words(frozen)]
    sentences = "".join(f"<p>{escape(words)}</p>" for words in told if words)
    return (f'<dl class="frozen-figures">{cells}</dl>' if cells else "") + sentences


def _figures(frozen: Frozen) -> list[tuple[str, str, str]]:
    """(what, how much, beside which). Memory is told by the forecast."""
    figures, parameters, layers = [], frozen.parameters, frozen.known.layers
    if parameters is not None:
        learning = f"{count_words(parameters.learning)} of {count_words(parameters.all)}"
        figures.append(("Parameters that learn", learning, _share(parameters.learning / parameters.all)))
    if layers is not None and frozen.layers is not None:
        work = work_of_a_step(layers, frozen.layers)
        kept = f"{_share(work.cached)} with what frozen layers say kept" if frozen.layers else "every layer learns"
        figures.append(("Work of a step", _share(work.plain), kept))
    return figures


def _share(value: float) -> str:
    return f"{value * 100:.0f} %"


def choice_words(frozen: Frozen) -> str:
    """What the rows call for, and why; '' where the number is chosen by hand."""
    if not frozen.is_chosen:
        return ""
    if frozen.amount is None:
        return "How many layers are frozen follows from the train rows, which are not known yet."
    rows = f"There are about {frozen.amount.rows['train']:,} train rows."
    if frozen.known.layers is None:
        return f"{rows} How many layers that makes is known when the model is loaded."
    return f"{rows} Frozen are {suggestion_words(frozen.known.layers, frozen.amount.rows['train'])}"


def _cache_words(frozen: Frozen) -> str:
    if frozen.cache is None:
        return ""
    is_estimated = frozen.cache.bytes and frozen.amount is not None and not frozen.amount.counted
    return f"{frozen.cache.words} {ESTIMATED}" if is_estimated else frozen.cache.words


def _unknown_words(frozen: Frozen) -> str:
    if frozen.known.layers is not None or frozen.is_chosen:
        return ""
    return "How many layers this model has is not known before it is loaded."


def frozen_sentence(frozen: Frozen | None) -> str:
    """For Review, as markup: what learns, and whether the rest is computed once; '' where nothing stays as it is."""
    if frozen is None:
        return ""
    parts = []
    if frozen.layers is not None and frozen.model.method == "freeze":
        of = f" of {frozen.known.layers}" if frozen.known.layers is not None else ""
        parts.append(f"Frozen are the embeddings and the lowest <b>{frozen.layers}{of}</b> layers.")
    if frozen.parameters is not None:
        counts = frozen.parameters
        parts.append(f"<b>{count_words(counts.learning)} of {count_words(counts.all)}</b> parameters learn.")
    parts += [escape(words) for words in (choice_words(frozen), _cache_words(frozen)) if words]
    return " ".join(parts)

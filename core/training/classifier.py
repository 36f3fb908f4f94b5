"""Training a classifier with a head, from labelled texts to a saved model and its predictions: encoders, and language
models whose answer in words gave way to a head. Worker only: imports torch."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast, set_seed

from core.data.examples import DataFacts
from core.evaluation.multi_label import tuned_thresholds
from core.evaluation.predictions import Baseline, Predictions
from core.models.architecture import encoder_layers, output_layer
from core.models.causal import choose_backend, load_causal_classifier, with_adapter
from core.models.device import best_device
from core.models.encoder import load_encoder, save_encoder
from core.models.freezing import apply_method, frozen_layer_count
from core.models.heads import start_from_shares
from core.models.inference import class_logits, probabilities_of
from core.models.layers import with_chosen_layers
from core.models.offloading import embeddings_moved, offload_checkpoints
from core.models.prefix_cache import CachedRows, can_be_skipped, fill_cache, plan_cache, skipped_prefix
from core.models.tokens import TokenRows, tokenise
from core.models.used_tokens import only_used_tokens
from core.models.word_fit import word_fit
from core.schema import RunSpec, TrainingSpec
from core.training.checkpoints import facts_of_last_checkpoint
from core.training.collapse import class_shares
from core.training.job import OUTSIDE, Job, LabelledTexts, Trained
from core.training.learning import learn, training_facts
from core.training.neighbours import neighbours_baseline
from core.training.saving import save_model
from core.training.trainers import classifier_trainer

PACE_ROWS = 128
FIT_ROWS, LONGEST = 1000, 20_000
"""Texts and characters of each that are asked whether the model knows their words."""


def train_classifier(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]) -> Trained:
    """Train, predict validation and test with the best checkpoint, and save it to the run's `model` folder.

    Raises UserError, StopRequestedError.
    """
    spec = job.spec
    set_seed(spec.training.seed)
    model, tokenizer, spec, baseline = _load(job, facts, parts)
    job.enter("tokenising")
    rows = {name: tokenise(tokenizer, part.texts, spec.model.max_length, part.labels) for name, part in parts.items()}
    # Batches of an evaluation are neighbours: sorted, they need next to no padding.
    order = rows["validation"].shortest_first()
    rows["validation"] = rows["validation"].take(order)
    with _embeddings(job, spec, model), _read_rows(job, spec, model, tokenizer, rows) as (read, cache):
        learned = learn(
            job,
            model,
            spec.training.best_metric,
            facts.labels,
            lambda callback: classifier_trainer(
                spec, job.folder, model, tokenizer, read["train"], read["validation"], [callback], cache
            ),
        )
        job.enter("evaluating")
        said = {"validation": _probabilities(job, model, tokenizer, read["validation"])}
        began = time.perf_counter()
        said["test"] = _probabilities(job, model, tokenizer, read["test"])
        pace = None if isinstance(read["test"], CachedRows) else len(rows["test"]) / (time.perf_counter() - began)
        if OUTSIDE in rows:
            said[OUTSIDE] = _probabilities(job, model, tokenizer, read[OUTSIDE])
    if pace is None:
        # What frozen layers say was at hand; whoever uses the model has to wait for them.
        pace = _sampled_pace(job, model, tokenizer, rows["test"])
    said["validation"] = said["validation"][np.argsort(order)]
    predicted = {name: Predictions(parts[name].row_ids, parts[name].labels, said[name]) for name in said}
    told = training_facts(job, model, learned)
    job.enter("saving")
    validation = predicted["validation"]
    thresholds = tuned_thresholds(validation.true, validation.probabilities) if facts.kind == "multi" else None
    save_model(
        job,
        facts.labels,
        lambda folder: _write(job, model, tokenizer, folder),
        validation,
        thresholds=[] if thresholds is None else thresholds.tolist(),
        architecture=model.config.model_type,
    )
    return Trained(
        validation=predicted["validation"],
        test=predicted["test"],
        thresholds=thresholds,
        baselines=[baseline] if baseline is not None else [],
        outside=predicted.get(OUTSIDE),
        facts={
            **told,
            "rows_per_second": pace,
            "word_fit": _word_fit(tokenizer, parts["train"].texts),
            "tokens_cut": {name: _share_cut(rows[name], spec.model.max_length) for name in rows},
        },
    )


def _load(
    job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase, RunSpec, Baseline | None]:
    """The model with what is frozen of it, its tokenizer, the spec with the number of those layers, and of an encoder
    the baseline that it is by itself."""
    spec, rows = job.spec, len(parts["train"].texts)
    if spec.model.family == "causal":
        backend = choose_backend(spec.model, spec.training)
        decoder, tokenizer = load_causal_classifier(spec.model, facts.labels)
        return with_adapter(decoder, spec.model, spec.training, backend), tokenizer, spec, None
    encoder, tokenizer = load_encoder(spec.model, facts.labels, facts.kind)
    baseline = neighbours_baseline(job, facts, parts, encoder, tokenizer) if spec.evaluation.baselines else None
    if facts.kind == "multi" and spec.training.class_weights != "balanced":
        # Balanced weights make every class as likely as not.
        start_from_shares(output_layer(encoder), class_shares(parts["train"].labels, len(facts.labels), "multi"))
    layers = len(encoder_layers(encoder)) if spec.model.choose_frozen_layers else 0
    chosen = with_chosen_layers(spec.model, layers, rows)
    if chosen is not spec.model:
        job.say(f"Of {layers} layers the lowest {chosen.frozen_layers} stay as they are: there are {rows:,} train rows")
    if spec.training.gradient_checkpointing and spec.training.offload_checkpoints:
        offload_checkpoints(encoder)
    return apply_method(encoder, chosen), tokenizer, spec.model_copy(update={"model": chosen}), baseline


@contextmanager
def _embeddings(job: Job, spec: RunSpec, model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """An encoder's are in main memory meanwhile, where the settings say so; it is saved whole."""
    if spec.model.family == "encoder" and spec.model.embeddings_on_cpu:
        inner = cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model
        with embeddings_moved(inner) as words:
            job.say(words)
            yield
    else:
        yield


@contextmanager
def _read_rows(
    job: Job,
    spec: RunSpec,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: dict[str, TokenRows],
) -> Iterator[tuple[Mapping[str, TokenRows | CachedRows], dict[str, Any]]]:
    """The rows as they are, or with what the frozen layers say of them, which the model then takes; and, for the
    checkpoints, what they are: a resumed run keeps frozen layers, or not, as it did when it began.

    Where nothing is frozen, the model has the embeddings of their tokens alone meanwhile.
    """
    identity: dict[str, Any] = {"rows": rows["train"].fingerprint()}
    before = facts_of_last_checkpoint(job.folder.checkpoints)
    if before.get("rows", identity["rows"]) != identity["rows"]:
        job.say("The training rows are tokenised otherwise than when the run began: another version of the tokenizer?")
    if isinstance(model, PreTrainedModel) and spec.model.method == "full":
        with only_used_tokens(model, rows.values(), tokenizer.pad_token_id) as counts:
            if counts is not None:
                used, tokens = counts
                job.say(f"Of {tokens:,} tokens {used:,} occur; the embeddings of the others stay as they are")
            yield rows, identity
        return
    frozen = frozen_layer_count(model, spec.model) if isinstance(model, PreTrainedModel) else None
    if frozen is None:
        yield rows, identity
        return
    assert isinstance(model, PreTrainedModel)
    training = _as_before(spec.training, before.get("cache"))
    plan = plan_cache(model, frozen, training, rows, job.folder.root)
    job.say(plan.words)
    torch.nn.Module.to(model, best_device())
    if plan.place is not None and not can_be_skipped(model, frozen, rows["train"], tokenizer.pad_token_id):
        job.say("It is not kept all the same: the layers of this architecture cannot be skipped.")
        plan = replace(plan, place=None)
    if plan.place is None:
        yield rows, identity | {"cache": {"layers": frozen, "format": None}}
        return
    folder = job.folder.prefix_cache
    try:
        tell = job.counting("computing frozen layers")
        place = folder if plan.place == "disk" else None
        kept = fill_cache(model, frozen, training, rows, tokenizer.pad_token_id, place, tell)
        used_format = str(kept["train"].states.dtype).removeprefix("torch.")
        with skipped_prefix(model, frozen):
            yield kept, identity | {"cache": {"layers": frozen, "format": used_format}}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_before(training: TrainingSpec, cache: dict[str, Any] | None) -> TrainingSpec:
    """Settings under which frozen layers are kept as the checkpoint says; None: there is none."""
    if cache is None:
        return training
    if cache["format"] is None:
        return training.model_copy(update={"prefix_cache": "off"})
    return training.model_copy(update={"cache_format": cache["format"]})


def _probabilities(
    job: Job, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, rows: TokenRows | CachedRows
) -> npt.NDArray[np.float32]:
    logits = class_logits(model, rows, tokenizer.pad_token_id, job.spec.training.evaluation_batch_size)
    return probabilities_of(logits, job.spec.mapping.kind)


def _sampled_pace(
    job: Job, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, rows: TokenRows
) -> float:
    """Rows a second through the whole model, from some rows."""
    some = rows.take(np.linspace(0, len(rows) - 1, min(len(rows), PACE_ROWS)).astype(np.int64))
    began = time.perf_counter()
    _probabilities(job, model, tokenizer, some)
    return len(some) / (time.perf_counter() - began)


def _write(job: Job, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """An encoder's adapter is merged, and kept beside the whole; a base in 4 bits stays where it is."""
    if job.spec.model.family == "causal":
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(folder)
        return
    if isinstance(model, PeftModel):
        model.save_pretrained(str(job.folder.adapter))
        save_encoder(cast(PreTrainedModel, model.merge_and_unload()), tokenizer, folder)
    else:
        save_encoder(model, tokenizer, folder)


def _word_fit(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> dict[str, Any] | None:
    """How well the tokenizer knows the words of the train part, of some texts from all over it."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return None
    every = max(1, len(texts) // FIT_ROWS)
    found = word_fit(tokenizer.backend_tokenizer, [text[:LONGEST] for text in texts[::every]])
    return None if found is None else asdict(found)


def _share_cut(rows: TokenRows, max_length: int) -> float:
    """Share of rows that fill `max_length` tokens, nearly all of which were cut there."""
    return float((rows.lengths >= max_length).mean()) if len(rows) else 0.0

"""Training a classifier with a head, from labelled texts to a saved model and its predictions: encoders, and language
models whose answer in words gave way to a head. Worker only: imports torch."""

from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from core.data.examples import DataFacts
from core.evaluation.predictions import Predictions
from core.models.causal import choose_backend, load_causal_classifier, with_adapter
from core.models.encoder import load_encoder, save_encoder
from core.models.freezing import apply_method
from core.models.inference import class_logits
from core.models.tokens import TokenRows, tokenise
from core.training.job import Job, LabelledTexts, Trained
from core.training.learning import learn, training_facts
from core.training.saving import save_model
from core.training.trainers import classifier_trainer


def train_classifier(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]) -> Trained:
    """Train, predict validation and test with the best checkpoint, and save it to the run's `model` folder.

    Raises UserError, StopRequestedError.
    """
    spec = job.spec
    set_seed(spec.training.seed)
    model, tokenizer = _load(job, facts)
    job.enter("tokenising")
    rows = {name: tokenise(tokenizer, part.texts, spec.model.max_length, part.labels) for name, part in parts.items()}
    learned = learn(
        job,
        model,
        spec.training.best_metric,
        lambda callback: classifier_trainer(
            spec, job.folder, model, tokenizer, rows["train"], rows["validation"], len(facts.labels), [callback]
        ),
    )
    job.enter("evaluating")
    predicted = {name: _predict(job, model, tokenizer, rows[name], parts[name]) for name in ("validation", "test")}
    told = training_facts(job, model, learned)
    job.enter("saving")
    save_model(job, facts.labels, lambda folder: _write(job, model, tokenizer, folder))
    return Trained(
        validation=predicted["validation"],
        test=predicted["test"],
        facts={**told, "tokens_cut": {name: _share_cut(rows[name], spec.model.max_length) for name in rows}},
    )


def _load(job: Job, facts: DataFacts) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    spec = job.spec
    if spec.model.family == "encoder":
        encoder, tokenizer = load_encoder(spec.model, facts.labels)
        return apply_method(encoder, spec.model), tokenizer
    backend = choose_backend(spec.model)
    decoder, tokenizer = load_causal_classifier(spec.model, facts.labels)
    return with_adapter(decoder, spec.model, spec.training, backend), tokenizer


def _predict(
    job: Job,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: TokenRows,
    part: LabelledTexts,
) -> Predictions:
    logits = class_logits(model, rows, tokenizer.pad_token_id, job.spec.training.evaluation_batch_size)
    probabilities = torch.softmax(torch.from_numpy(logits), dim=-1).numpy()
    return Predictions(row_ids=part.row_ids, true=part.labels, probabilities=probabilities)


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


def _share_cut(rows: TokenRows, max_length: int) -> float:
    """Share of rows that fill `max_length` tokens, nearly all of which were cut there."""
    return float((rows.lengths >= max_length).mean()) if len(rows) else 0.0

"""Training a language model to answer with the class in words, and scoring it before and after. Worker only.

Whoever imports this has called `choose_backend` first (core/models/causal.py), since unsloth must come before
transformers and trl.
"""

import json
import time
from pathlib import Path

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from core.data.examples import DataFacts
from core.evaluation.answers import Scorer, answer_loss, free_answers, label_scorer, row_of
from core.evaluation.label_trees import TREE_TOKENS
from core.evaluation.metrics import classification_metrics
from core.evaluation.plain_scoring import ANSWERS_AT_ONCE
from core.evaluation.predictions import FreeAnswers, Predictions
from core.evaluation.scoring import Passes, label_probabilities
from core.model_facts import PROMPT_FILE
from core.models.causal import Backend, load_causal, prompt_tokenizer, with_adapter
from core.prompt_rows import PromptTokens, encode_prompts, training_examples
from core.prompts import Prompt, build_prompt, prompt_content, prompt_from_content
from core.training.as_good import figure_error
from core.training.collapse import class_shares, watch_figures
from core.training.job import OUTSIDE, Job, LabelledTexts, Trained
from core.training.learning import learn, training_facts
from core.training.saving import measured_once, save_model
from core.training.sft import answer_trainer

FIGURES = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")


def train_answers(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts], backend: Backend) -> Trained:
    """Score the untuned model on test, train, score validation and test, save adapter and prompt to `model`.

    Raises UserError, StopRequestedError, BackendRefusedError.
    """
    spec = job.spec
    set_seed(spec.training.seed)
    base, tokenizer = load_causal(spec.model, backend, TREE_TOKENS)
    prompt = _prompt(job, facts, parts, tokenizer)
    job.enter("tokenising")
    rows = {
        part: encode_prompts(prompt, _rows(parts[part])) for part in ("validation", "test", OUTSIDE) if part in parts
    }
    untuned, before = _untuned(job, base, backend, prompt, rows["test"], parts["test"], facts)

    model = with_adapter(base, spec.model, spec.training, backend)
    train = training_examples(prompt, _rows(parts["train"]), [facts.labels[label] for label in parts["train"].labels])
    score = _scorer(job, model, backend, prompt, rows["validation"])
    shares = class_shares(parts["train"].labels, len(facts.labels), "single")

    def measure() -> dict[str, float]:
        scores = score([row.ids for row in rows["validation"]], None)
        true = parts["validation"].labels
        probabilities = label_probabilities(scores)
        figures = classification_metrics(true, probabilities, facts.labels)
        return {
            "loss": answer_loss(scores, true, prompt),
            **{name: figures[name] for name in FIGURES},
            **figure_error(spec.training, true, probabilities.argmax(axis=1), len(facts.labels)),
            **watch_figures(scores, true, shares, "single"),
        }

    metric = spec.training.best_metric
    learned = learn(
        job,
        model,
        metric,
        facts.labels,
        lambda callback: answer_trainer(
            spec, job.folder, model, tokenizer, train, measure, metric, [callback], len(facts.labels)
        ),
    )
    predicted = {
        "validation": _predictions(job, score, rows["validation"], parts["validation"], "evaluating validation")
    }
    began = time.perf_counter()
    predicted["test"] = _predictions(job, score, rows["test"], parts["test"], "evaluating test")
    pace = len(rows["test"]) / (time.perf_counter() - began)
    if OUTSIDE in rows:
        predicted[OUTSIDE] = _predictions(job, score, rows[OUTSIDE], parts[OUTSIDE], "evaluating unknown classes")
    after = _free_answers(job, model, prompt, rows["test"], parts["test"], facts)
    told = training_facts(job, model, learned)
    job.enter("saving")
    save_model(
        job,
        facts.labels,
        lambda folder: _write(model, tokenizer, prompt, folder),
        predicted["validation"],
        list(parts["test"].cells),
    )
    cut = {part: float(np.mean([row.kept is not None for row in rows[part]])) for part in rows}
    return Trained(
        validation=predicted["validation"],
        test=predicted["test"],
        facts={
            **told,
            "rows_per_second": pace,
            "tokens_cut": cut,
            "backend": backend.name,
            "backend_reason": backend.reason,
        },
        untuned=untuned,
        outside=predicted.get(OUTSIDE),
        free_answers={name: answers for name, answers in (("untuned", before), ("tuned", after)) if answers},
    )


def _prompt(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts], tokenizer: PreTrainedTokenizerBase) -> Prompt:
    """The run's prompt; of a resumed run the one it began with, as some chat templates print the date."""
    own = prompt_tokenizer(tokenizer)
    if job.folder.prompt.exists():
        content = json.loads(job.folder.prompt.read_text(encoding="utf-8"))
        # Texts may have to be shorter than when the run began, to fit in memory.
        return prompt_from_content(content | {"max_length": job.spec.model.max_length}, own)
    mapping = job.spec.mapping
    prompt = build_prompt(
        job.spec.prompt,
        own,
        columns=[*mapping.text, mapping.label, *parts["train"].cells],
        label_column=mapping.label,
        labels=facts.labels,
        max_length=job.spec.model.max_length,
    )
    job.folder.prompt.write_text(json.dumps(prompt_content(prompt), ensure_ascii=False), encoding="utf-8")
    return prompt


def _rows(part: LabelledTexts) -> list[dict[str, str]]:
    return [row_of(text, part.cells, number) for number, text in enumerate(part.texts)]


def _scorer(
    job: Job, model: PreTrainedModel | PeftModel, backend: Backend, prompt: Prompt, rows: list[PromptTokens]
) -> Scorer:
    """Adapters are inside the base model, so that it is scored with them."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    passes = Passes(share_beginning=False, mask_dtype=model.dtype) if backend.name == "unsloth" else Passes()
    sample = [row.ids for row in rows]
    return label_scorer(inner, prompt, sample, job.spec.training.evaluation_batch_size, passes)  # type: ignore[arg-type]


def _predictions(job: Job, score: Scorer, rows: list[PromptTokens], part: LabelledTexts, phase: str) -> Predictions:
    scores = score([row.ids for row in rows], job.counting(phase))
    return Predictions(row_ids=part.row_ids, true=part.labels, probabilities=label_probabilities(scores))


def _free_answers(
    job: Job,
    model: PreTrainedModel | PeftModel,
    prompt: Prompt,
    rows: list[PromptTokens],
    part: LabelledTexts,
    facts: DataFacts,
) -> FreeAnswers | None:
    """Of the first test rows; None where none are asked for."""
    asked = min(job.spec.evaluation.generated_rows, len(rows))
    if not asked:
        return None
    return free_answers(
        model,  # type: ignore[arg-type]
        prompt,
        rows[:asked],
        part.texts[:asked],
        [facts.labels[label] for label in part.labels[:asked]],
        min(ANSWERS_AT_ONCE, job.spec.training.evaluation_batch_size),
        job.counting("reading free answers"),
    )


def _untuned(
    job: Job,
    base: PreTrainedModel,
    backend: Backend,
    prompt: Prompt,
    rows: list[PromptTokens],
    part: LabelledTexts,
    facts: DataFacts,
) -> tuple[Predictions | None, FreeAnswers | None]:
    """What the model says of test before training, kept in the run folder so that a resumed run need not ask again."""
    if not job.spec.evaluation.untuned:
        return None, None

    def measure() -> dict[str, np.ndarray]:
        score = _scorer(job, base, backend, prompt, rows)
        predictions = _predictions(job, score, rows, part, "scoring the untuned model")
        answers = _free_answers(job, base, prompt, rows, part, facts)
        content = json.dumps(None if answers is None else vars(answers), ensure_ascii=False)
        return {"probabilities": predictions.probabilities, "answers": np.array(content)}

    found = measured_once(job.folder.untuned, measure)
    content = json.loads(str(found["answers"]))
    predictions = Predictions(part.row_ids, part.labels, found["probabilities"])
    return predictions, None if content is None else FreeAnswers(**content)


def _write(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, folder: Path
) -> None:
    """The adapter (the whole model where all of it was trained), the tokenizer and the prompt."""
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
    (folder / PROMPT_FILE).write_text(json.dumps(prompt_content(prompt), ensure_ascii=False), encoding="utf-8")

"""Training a language model on conversations, with loss on what the assistant says. Worker only: imports torch.

Whoever imports this has called `choose_backend` first, as for core/training/answers.py. The loss on held-out
conversations decides which checkpoint is kept, whatever `training.best_metric` says.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, set_seed

from core.chat_rows import Conversation, answer_prompt, encode_conversation
from core.chat_templates import ModelTokenizer
from core.data.examples import read_conversations
from core.errors import UserError
from core.evaluation.chat_report import ChatSample
from core.evaluation.held_out import held_out_figures
from core.evaluation.plain_scoring import ANSWERS_AT_ONCE, generate_answers
from core.models.causal import Backend, load_causal, prompt_tokenizer, with_adapter
from core.models.pretrained import most_positions
from core.prompt_rows import Example
from core.training.job import Job
from core.training.learning import learn, training_facts
from core.training.saving import measured_once, save_model
from core.training.sft import answer_trainer

PARTS = ("train", "validation", "test")
SAMPLES = 8
ANSWER_TOKENS = 200
"""Most tokens of a sample's answer."""


@dataclass(frozen=True)
class TrainedChat:
    scores: dict[str, dict[str, float]]
    """`tuned`, and `untuned` where it was asked for: figures of the test part, see held_out_figures."""
    samples: list[ChatSample]
    facts: dict[str, Any]


def train_chat(job: Job, backend: Backend) -> TrainedChat:
    """Measure the untuned model, train, measure again, and save the model to the run's `model` folder.

    Raises UserError, StopRequestedError, BackendRefusedError.
    """
    spec = job.spec
    set_seed(spec.training.seed)
    base, tokenizer = load_causal(spec.model, backend)
    own = prompt_tokenizer(tokenizer)
    job.enter("tokenising")
    talks = {part: read_conversations(job.folder, part)[1] for part in PARTS}
    rows = {part: _encoded(own, talks[part], spec.model.max_length, part) for part in PARTS}
    chosen = talks["test"][:SAMPLES]
    end = _end_ids(own, rows["train"])
    before = _untuned(job, base, own, rows["test"], chosen, end)

    model = with_adapter(base, spec.model, spec.training, backend)
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    batch = spec.training.evaluation_batch_size

    def measure() -> dict[str, float]:
        return {"loss": held_out_figures(inner, rows["validation"], batch)["loss"]}

    learned = learn(
        job,
        model,
        "loss",
        (),
        lambda callback: answer_trainer(spec, job.folder, model, tokenizer, rows["train"], measure, "loss", [callback]),
    )
    scores = {"tuned": held_out_figures(inner, rows["test"], batch, job.counting("evaluating test"))}
    after = _answers(job, inner, own, chosen, end)
    told = training_facts(job, model, learned)
    job.enter("saving")
    save_model(job, [], lambda folder: (model.save_pretrained(str(folder)), tokenizer.save_pretrained(folder))[0])
    left_out = {part: len(talks[part]) - len(rows[part]) for part in PARTS}
    return TrainedChat(
        scores={**scores, **({"untuned": before["figures"]} if before else {})},
        samples=[
            ChatSample(talk.messages[:-1], talk.messages[-1]["content"], untuned, tuned)
            for talk, untuned, tuned in zip(
                chosen, before["answers"] if before else [None] * len(chosen), after, strict=True
            )
        ],
        facts={
            **told,
            "too_long": left_out,
            "backend": backend.name,
            "backend_reason": backend.reason,
        },
    )


def _encoded(tokenizer: ModelTokenizer, talks: Sequence[Conversation], max_length: int, part: str) -> list[Example]:
    """Conversations whose first answer does not fit are left out. Raises UserError where none is left."""
    found = (encode_conversation(tokenizer, talk, max_length) for talk in talks)
    examples = [example for example in found if example is not None]
    if not examples:
        raise UserError(
            f"No conversation of the {part} part fits into {max_length} tokens with an answer.",
            "model.max_length",
            "Raise the longest text, or give shorter conversations.",
        )
    return examples


def _end_ids(tokenizer: ModelTokenizer, examples: Sequence[Example]) -> list[int]:
    """What ends an answer: the end token, and the last token that training learns."""
    example = examples[0]
    last = max(place for place, learned in enumerate(example.learned) if learned)
    return [tokenizer.eos_id, example.ids[last]]


def _untuned(
    job: Job,
    base: PreTrainedModel,
    tokenizer: ModelTokenizer,
    rows: Sequence[Example],
    chosen: Sequence[Conversation],
    end: Sequence[int],
) -> dict[str, Any] | None:
    """figures and answers before training, kept in the run folder so that a resumed run need not ask again."""
    if not job.spec.evaluation.untuned:
        return None

    def measure() -> dict[str, np.ndarray]:
        batch = job.spec.training.evaluation_batch_size
        figures = held_out_figures(base, rows, batch, job.counting("measuring the untuned model"))
        content = {"figures": figures, "answers": _answers(job, base, tokenizer, chosen, end)}
        return {"content": np.array(json.dumps(content, ensure_ascii=False))}

    return dict(json.loads(str(measured_once(job.folder.untuned, measure)["content"])))


def _answers(
    job: Job, model: PreTrainedModel, tokenizer: ModelTokenizer, talks: Sequence[Conversation], end: Sequence[int]
) -> list[str]:
    """The model's own last answer to each conversation, the likeliest token first."""
    positions, most = most_positions(model.config.get_text_config()), job.spec.model.max_length
    room = most if positions is None else min(most, max(positions // 2, positions - ANSWER_TOKENS))
    prompts = [answer_prompt(tokenizer, talk.messages[:-1], talk.tools)[-room:] for talk in talks]
    at_once = min(ANSWERS_AT_ONCE, job.spec.training.evaluation_batch_size)
    written = generate_answers(model, prompts, end, ANSWER_TOKENS, at_once, job.counting("writing samples"))
    return [tokenizer.tokens.decode(ids).strip() for ids in written]

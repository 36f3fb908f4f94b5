"""What a language model answers to prompts: each label's probability, and its free answers beside them.

Worker only: imports torch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from core.evaluation.label_trees import Tokens
from core.evaluation.plain_scoring import generate_answers, plain_scores
from core.evaluation.predictions import FreeAnswers
from core.evaluation.scoring import Passes, agrees_with_plain, score_labels
from core.prompt_rows import PromptTokens, answered_labels
from core.prompts import Prompt

EXAMPLES_KEPT = 10
TOKENS_BEYOND_THE_LONGEST = 8
"""A model that does not answer with a class is seen to go on."""

OnProgress = Callable[[int, int], None]
Scorer = Callable[[Sequence[Tokens], OnProgress | None], npt.NDArray[np.float32]]
"""From prompts to log p(label | prompt): float32 [prompts, labels]."""


def label_scorer(
    model: PreTrainedModel, prompt: Prompt, sample: Sequence[Tokens], batch_size: int, passes: Passes
) -> Scorer:
    """Scores over the label tree where that agrees with plain passes on two prompts of `sample`, else plain ones."""
    labels = [answer.ids for answer in prompt.answers]
    if agrees_with_plain(model, sample, labels, passes):
        return lambda prompts, tell: score_labels(model, prompts, labels, batch_size, tell, passes)
    print("The model's attention does not follow a mask given whole: each label is scored in a pass of its own.")
    return lambda prompts, tell: plain_scores(model, prompts, labels, batch_size, tell)


def answer_loss(scores: npt.NDArray[np.float32], true: npt.NDArray[np.int64], prompt: Prompt) -> float:
    """Mean loss of the right answers, in nats an answer token, as training minimises it."""
    lengths = np.array([len(answer.ids) for answer in prompt.answers])
    return float(-scores[np.arange(len(true)), true].sum() / lengths[true].sum())


def free_answers(
    model: PreTrainedModel,
    prompt: Prompt,
    rows: Sequence[PromptTokens],
    texts: Sequence[str],
    true: Sequence[str],
    batch_size: int,
    on_progress: OnProgress | None = None,
) -> FreeAnswers:
    """Let the model write, most likely token first, and see how often it names no class. `true`: class of each row."""
    ends = sorted({answer.ids[-1] for answer in prompt.answers} | {prompt.tokenizer.eos_id})
    most = max(len(answer.ids) for answer in prompt.answers) + TOKENS_BEYOND_THE_LONGEST
    written = generate_answers(model, [row.ids for row in rows], ends, most, batch_size, on_progress)
    named = answered_labels(prompt, written)
    strays = [number for number, label in enumerate(named) if label is None]
    decode = prompt.tokenizer.tokens.decode
    examples = [
        {"text": texts[number], "answer": decode(list(written[number])), "true": true[number]}
        for number in strays[:EXAMPLES_KEPT]
    ]
    return FreeAnswers(len(rows), len(strays), examples)


def row_of(text: str, cells: Mapping[str, Sequence[str]], number: int) -> dict[str, Any]:
    """A row as prompts take it: `text`, and the cells of further columns."""
    return {"text": text, **{name: values[number] for name, values in cells.items()}}

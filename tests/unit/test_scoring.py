"""Label scores over the token tree are the plain full-forward log-probabilities, to 1e-4 in float32."""

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    T5Config,
)

from core.evaluation.label_trees import label_trees
from core.evaluation.plain_scoring import generate_answers, plain_scores
from core.evaluation.scoring import Passes, agrees_with_plain, label_probabilities, score_labels
from core.models.pretrained import most_positions

END = 2
LABELS = [
    [5, END],
    [5, 6, END],  # the one above begins this
    [7, 8, END],
    [7, 8, 9, 10, 11, END],
    [7, 8, 9, 10, 12, END],  # 6 tokens, 4 of them shared
    [13, END],
    [14, 15, 16, END],
    [7, 5, END],
]
CLASSES = {"llama": (LlamaForCausalLM, LlamaConfig), "mistral": (MistralForCausalLM, MistralConfig)}


def tiny(kind: str, attention: str = "sdpa", **more) -> PreTrainedModel:
    torch.manual_seed(7)
    model_class, config_class = CLASSES[kind]
    config = config_class(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # logits far apart, so that a wrong mask or position shows
        attn_implementation=attention,
        **more,
    )
    return model_class(config).eval()


def prompts(shared: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(3)
    beginning = rng.integers(20, 200, shared).tolist()
    return [beginning + rng.integers(20, 200, length).tolist() for length in (1, 9, 4, 30, 2, 17, 9)]


@torch.no_grad()
def by_definition(model: PreTrainedModel, rows: list[list[int]], labels: list[list[int]]) -> np.ndarray:
    """One unpadded forward pass for each row and label, log-probabilities added up."""
    scores = np.zeros((len(rows), len(labels)))
    for row, prompt in enumerate(rows):
        for place, label in enumerate(labels):
            logits = model(torch.tensor([prompt + label])).logits[0].double()
            steps = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
            scores[row, place] = float(steps.gather(1, torch.tensor(label)[:, None]).sum())
    return scores


@pytest.mark.parametrize("shared", [0, 3, 20])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", CLASSES)
def test_scores_are_the_log_probabilities_of_full_passes(kind, attention, shared):
    model, rows = tiny(kind, attention), prompts(shared)
    expected = by_definition(model, rows, LABELS)
    assert np.ptp(expected) > 10
    for passes in (Passes(), Passes(tree_tokens=3), Passes(share_beginning=False), Passes(mask_dtype=torch.float32)):
        for batch_size in (1, 3, 64):
            scores = score_labels(model, rows, LABELS, batch_size, passes=passes)
            assert scores.dtype == np.float32
            np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(plain_scores(model, rows, LABELS, 3), expected, atol=1e-4, rtol=0)
    assert agrees_with_plain(model, rows, LABELS)


def test_labels_of_one_token_need_nothing_but_the_prompts():
    model, rows, labels = tiny("llama"), prompts(), [[5], [6], [7]]
    assert label_trees(labels)[0].tokens == []
    np.testing.assert_allclose(score_labels(model, rows, labels, 4), by_definition(model, rows, labels), atol=1e-4)


def test_logits_are_made_in_blocks(monkeypatch):
    model, rows = tiny("llama"), prompts()
    expected = score_labels(model, rows, LABELS, 4)
    monkeypatch.setattr("core.evaluation.scoring.LOGITS_AT_ONCE", 1)
    np.testing.assert_allclose(score_labels(model, rows, LABELS, 4), expected, atol=1e-5)


def test_only_the_positions_that_matter_are_projected():
    model, rows = tiny("llama"), prompts(20)
    projected = []
    model.get_output_embeddings().register_forward_hook(
        lambda _, given, __: projected.append(given[0].shape[:2].numel())
    )
    score_labels(model, rows, LABELS, 64)
    inner = len({tuple(label[:depth]) for label in LABELS for depth in range(1, len(label))})
    assert sum(projected) == len(rows) * (1 + inner)


def test_the_instruction_is_computed_once_for_all_rows():
    model, rows = tiny("llama"), prompts(20)
    widths = []
    model.get_decoder().embed_tokens.register_forward_hook(lambda _, given, __: widths.append(tuple(given[0].shape)))
    score_labels(model, rows, LABELS, 4)
    inner = len(label_trees(LABELS)[0].tokens)
    assert widths == [(1, 20), (4, 9 + inner), (3, 30 + inner)]


@pytest.mark.parametrize("length", [5, 30])
def test_a_sliding_window_is_respected(length):
    model = tiny("mistral", sliding_window=16)
    rows = [list(range(20, 20 + length)), [50, 51]]
    np.testing.assert_allclose(score_labels(model, rows, LABELS, 2), by_definition(model, rows, LABELS), atol=1e-4)


def test_a_model_that_does_not_follow_the_mask_is_noticed():
    model, rows = tiny("llama"), prompts()
    decoder = model.get_decoder()
    forward = decoder.forward

    def without_mask(*args, attention_mask=None, **kwargs):
        two = attention_mask if attention_mask is not None and attention_mask.dim() == 2 else None
        return forward(*args, attention_mask=two, **kwargs)

    decoder.forward = without_mask
    assert not agrees_with_plain(model, rows, LABELS)


def test_trees_hold_every_label_once_and_stay_small():
    rng = np.random.default_rng(1)
    labels = [[*rng.integers(3, 9, rng.integers(1, 6)).tolist(), END] for _ in range(300)]
    labels = [list(label) for label in {tuple(label) for label in labels}]
    for largest in (1, 7, 50, 10_000):
        trees = label_trees(labels, largest)
        assert sorted(place for tree in trees for place in tree.labels) == list(range(len(labels)))
        for tree in trees:
            assert len(tree.tokens) <= largest or len(tree.labels) == 1
            assert len(tree.steps) == len(set(tree.steps))
            for place, path in zip(tree.labels, tree.paths, strict=True):
                assert [tree.steps[step][1] for step in path] == labels[place]
    (whole,) = label_trees(labels, 10_000)
    assert len(whole.tokens) == len({tuple(label[:depth]) for label in labels for depth in range(1, len(label))})


def test_probabilities_are_shares_and_all_tokens_make_one():
    model, rows = tiny("llama"), prompts()
    scores = score_labels(model, rows, LABELS, 8)
    probabilities = label_probabilities(scores)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (probabilities.argmax(1) == scores.argmax(1)).all()
    every = score_labels(model, rows, [[token] for token in range(200)], 8)
    np.testing.assert_allclose(np.exp(every.astype(float)).sum(1), 1, atol=1e-5)


def test_progress_is_told_and_no_rows_are_no_scores():
    told = []
    score_labels(tiny("llama"), prompts(), LABELS, 3, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 7), (6, 7), (7, 7)]
    assert score_labels(tiny("llama"), [], LABELS, 3).shape == (0, len(LABELS))


@pytest.mark.parametrize("most", [1, 2])
def test_on_a_gpu_that_holds_few_rows_scores_and_answers_are_the_same(most):
    model, rows = tiny("llama"), prompts(20)
    scores, answers = score_labels(model, rows, LABELS, 4), generate_answers(model, rows, [END], 5, 4)

    def full(_module, given, named):
        if len(named["input_ids"] if "input_ids" in named else given[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.model.register_forward_pre_hook(full, with_kwargs=True)
    np.testing.assert_allclose(score_labels(model, rows, LABELS, 4), scores, atol=1e-5)
    np.testing.assert_allclose(plain_scores(model, rows, LABELS, 4), scores, atol=1e-4)
    assert generate_answers(model, rows, [END], 5, 4) == answers


def test_free_answers_end_where_the_model_has_no_more_positions():
    model = tiny("llama")
    most = model.config.max_position_embeddings
    nearly, full = [5] * (most - 2), [5] * most
    told: list[tuple[int, int]] = []
    for batch_size in (1, 3):
        written = generate_answers(
            model, [[5, 6], nearly, full], [10**6], 5, batch_size, lambda *done: told.append(done)
        )
        assert [len(answer) for answer in written] == [5, 2, 0]
    assert told == [(1, 2), (2, 2)] * 2


def test_positions_are_known_of_kinds_that_call_them_otherwise():
    assert most_positions(GPT2Config(n_positions=77)) == 77
    assert most_positions(T5Config()) is None


@torch.no_grad()
def test_free_answers_are_the_likeliest_tokens_up_to_the_end():
    model, rows = tiny("llama"), prompts()
    for prompt, answer in zip(rows, generate_answers(model, rows, [END], 5, batch_size=3), strict=True):
        expected: list[int] = []
        while len(expected) < 5 and END not in expected:
            expected.append(int(model(torch.tensor([prompt + expected])).logits[0, -1].argmax()))
        assert answer[: len(expected)] == expected

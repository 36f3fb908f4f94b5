"""Projecting the answer's tokens alone gives the loss and the gradients of all logits."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from core.prompt_rows import IGNORED, Example
from core.spec_files import parse_spec
from core.training import answer_loss
from core.training.answer_loss import answer_token_loss, projects_plainly
from core.training.sft import answer_trainer
from core.workspace import RunFolder
from tests.small_llama import small_llama, small_tokenizer

SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
ROWS = ((17, 3), (9, 1), (30, 5), (4, 2))
"""Tokens of each row, and how many of them, at its end, carry loss."""


def batch_of(rows=ROWS, vocabulary=1000):
    """input_ids, attention_mask and labels, padded on the right."""
    random = np.random.default_rng(0)
    width = max(length for length, _ in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    labels = torch.full_like(ids, IGNORED)
    for row, (length, learned) in enumerate(rows):
        ids[row, :length] = torch.from_numpy(random.integers(5, vocabulary, length))
        labels[row, length - learned : length] = ids[row, length - learned : length]
    mask = torch.tensor([[1] * length + [0] * (width - length) for length, _ in rows])
    return ids, mask, labels


def all_logits_loss(model, ids, mask, labels, tokens):
    """Every position projected, as transformers and Unsloth do it."""
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    total = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return total / ((labels[:, 1:] != IGNORED).sum() if tokens is None else tokens)


def gradients(model):
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


def same(model, inner, batches, tokens):
    """Loss and gradients over the batches are those of all logits."""
    model.train()
    expected = [all_logits_loss(inner, *batch, tokens) for batch in batches]
    sum(expected).backward()
    wanted = gradients(model)
    found = [answer_token_loss(inner, *batch, tokens) for batch in batches]
    sum(found).backward()
    said = gradients(model)
    assert torch.allclose(torch.stack(found), torch.stack(expected), rtol=0, atol=1e-5)
    assert said.keys() == wanted.keys()
    assert any(float(grad.abs().max()) > 1e-3 for grad in wanted.values())
    for name, grad in wanted.items():
        assert torch.allclose(said[name], grad, rtol=0, atol=1e-5), name


def with_lora(model):
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return adapted


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", [False, True])
def test_loss_and_gradients_are_those_of_all_logits(adapter, checkpointing):
    model = small_llama(**SHAPE)
    if checkpointing:
        model.gradient_checkpointing_enable()
    same(with_lora(model) if adapter else model, model, [batch_of()], None)


@pytest.mark.parametrize("at_once", [1, 4, 11])
def test_many_tokens_are_projected_some_at_a_time(monkeypatch, at_once):
    monkeypatch.setattr(answer_loss, "TOKENS_PROJECTED_AT_ONCE", at_once)
    model = small_llama(**SHAPE)
    same(model, model, [batch_of()], None)


def test_accumulated_batches_are_divided_by_the_tokens_of_the_step():
    model = small_llama(**SHAPE)
    batches = [batch_of(), batch_of(((8, 4), (20, 1))), batch_of(((6, 2),))]
    tokens = sum(int((labels[:, 1:] != IGNORED).sum()) for _, _, labels in batches)
    assert tokens == 18
    same(with_lora(model), model, batches, torch.tensor(tokens))


def test_a_batch_in_which_nothing_is_learned_has_a_gradient_of_zero():
    model = small_llama(**SHAPE)
    ids, mask, labels = batch_of()
    loss = answer_token_loss(model, ids, mask, torch.full_like(labels, IGNORED), None)
    loss.backward()
    assert loss.item() == 0
    assert all(float(weight.grad.abs().max()) == 0 for weight in model.parameters() if weight.grad is not None)


TINY = {**SHAPE, "vocab_size": 1507, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0}
CHANGED = {
    "gemma2": {"final_logit_softcapping": 0.05},
    "cohere": {"logit_scale": 0.0625},
    "granite": {"logits_scaling": 8.0},
}


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "phi3", "granite"])
def test_the_usual_decoders_project_plainly(kind):
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **TINY))
    assert projects_plainly(model.config)
    same(model, model, [batch_of()], None)


@pytest.mark.parametrize("kind", CHANGED)
def test_models_that_change_their_logits_keep_their_own_loss(kind, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **TINY, **CHANGED[kind]))
    assert not projects_plainly(model.config)
    trainer = trainer_of(model, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"]
    expected = all_logits_loss(model, ids, mask, labels, None)
    assert trainer.compute_loss(model, batch).item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(answer_token_loss(model, ids, mask, labels, None).item() - expected.item()) > 1e-3


def test_the_trainer_takes_the_loss_of_the_answers(tmp_path):
    model = with_lora(small_llama(**SHAPE))
    trainer = trainer_of(model, tmp_path, gradient_accumulation=2)
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(4)])
    expected = all_logits_loss(model, batch["input_ids"], batch["attention_mask"], batch["labels"], 20)
    assert trainer.compute_loss(model, batch, num_items_in_batch=20).item() == pytest.approx(expected.item(), abs=1e-5)


def test_who_measures_leaves_training_mode_with_all_that_is_around_the_model(tmp_path):
    """Unsloth puts a model back into it by the adapters around it alone."""
    trainer = trainer_of(with_lora(small_llama(**SHAPE)), tmp_path)
    trainer.measure = lambda: {"macro_f1": 0.0}
    trainer.model.train()
    trainer.evaluate()
    assert not any(module.training for module in trainer.model.modules())


def trainer_of(model, folder, **training):
    spec = parse_spec(
        {
            "data": {"train": {"path": "t.csv"}},
            "mapping": {"text": ["text"], "label": "label"},
            "model": {"source": "here", "family": "causal", "method": "lora"},
            "training": {"batch_size": 4, "epochs": 1, **training},
        },
        "the test",
    )
    tokenizer = small_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    ids, _, labels = batch_of()
    examples = [
        Example(ids[row, :length].tolist(), (labels[row, :length] != IGNORED).tolist())
        for row, (length, _) in enumerate(ROWS)
    ]
    return answer_trainer(spec, RunFolder(folder), model, tokenizer, examples, lambda: {"loss": 0.0}, "loss", [])

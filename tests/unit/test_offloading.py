"""What waits in main memory changes no loss and no weight."""

import copy

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from core.models import offloading
from core.models.architecture import trainable_parameters
from core.models.causal import Backend, with_adapter
from core.models.freezing import apply_method
from core.models.offloading import EmbeddingOnCPU, embeddings_moved, offload_checkpoints
from core.schema import DataSpec, LoraSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.training.answer_loss import answer_token_loss
from core.training.trainers import classifier_trainer
from core.workspace import RunFolder
from tests.small_encoders import CONFIGS, parts, small, tokenizer, without_dropout
from tests.small_llama import small_llama
from tests.unit.test_answer_loss import SHAPE, batch_of, gradients

PLAIN = Backend("transformers", "The test asks for it.")


def encoder_losses(model, method, folder, **training):
    folder.mkdir()
    spec = RunSpec(
        data=DataSpec(train=TableFile(path="t.csv")),
        mapping=MappingSpec(text=("a",), label="b"),
        model=ModelSpec(method=method, classifier_dropout=0, lora=LoraSpec(dropout=0)),
        training=TrainingSpec(epochs=2, batch_size=8, precision="float32", learning_rate=1e-3, **training),
    )
    torch.manual_seed(5)
    rows = parts()
    trainer = classifier_trainer(spec, RunFolder(folder), model, tokenizer(), rows["train"], rows["validation"], [])
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def prepared(kind, method):
    """An encoder and the same with its method applied."""
    inner = small(kind)
    without_dropout(inner)
    torch.manual_seed(2)
    spec = ModelSpec(method=method, frozen_layers=1, lora=LoraSpec(dropout=0))
    return inner, apply_method(inner, spec)


@pytest.mark.parametrize(
    ("kind", "method"), [*((kind, "freeze") for kind in CONFIGS), ("bert", "lora"), ("bert", "head")]
)
def test_an_encoder_learns_the_same_with_its_embeddings_on_the_cpu(kind, method, tmp_path):
    _, plain = prepared(kind, method)
    inner, moved = prepared(kind, method)
    counted = trainable_parameters(moved)
    names = set(inner.state_dict())
    expected = encoder_losses(plain, method, tmp_path / "plain")
    with embeddings_moved(inner) as words:
        assert "wait in main memory" in words
        assert isinstance(inner.get_input_embeddings(), EmbeddingOnCPU)
        assert trainable_parameters(moved) == counted
        assert encoder_losses(moved, method, tmp_path / "moved") == pytest.approx(expected, abs=1e-6)
    assert set(inner.state_dict()) == names
    for name, weights in plain.state_dict().items():
        assert torch.allclose(moved.state_dict()[name], weights, atol=1e-6), name


def test_the_table_stays_where_it_is_when_the_model_moves():
    inner, _ = prepared("bert", "freeze")
    with embeddings_moved(inner):
        inner.to("meta")
        assert inner.device.type == "meta"
        assert inner.get_input_embeddings().weight.device.type == "cpu"
        inner.to_empty(device="cpu")


def test_embeddings_that_learn_stay():
    inner, _ = prepared("bert", "full")
    table = inner.get_input_embeddings()
    with embeddings_moved(inner) as words:
        assert "they are trained" in words
        assert inner.get_input_embeddings() is table


def four_bit_llama(folder, **changes):
    """As a run loads it: linear layers in 4 bits, computing in float32."""
    small_llama(**SHAPE, **changes).save_pretrained(folder)
    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=four_bits)


def qlora(folder, tied, **settings):
    """The model with its adapter, and loss and gradients of a batch."""
    training = {name: settings.pop(name) for name in list(settings) if name in TrainingSpec.model_fields}
    model = four_bit_llama(folder, tie_word_embeddings=tied)
    lora = LoraSpec(rank=4, dropout=0, train_embeddings=settings.pop("train_embeddings", False))
    spec = ModelSpec(family="causal", method="qlora", lora=lora, **settings)
    adapted = with_adapter(model, spec, TrainingSpec(**training), PLAIN).train()
    if training.get("gradient_checkpointing"):
        model.gradient_checkpointing_enable()
    loss = answer_token_loss(model, *batch_of(), None)
    loss.backward()
    return adapted, loss.item(), gradients(adapted)


def agree(found, expected):
    assert found[1] == pytest.approx(expected[1], abs=1e-6)
    assert found[2].keys() == expected[2].keys()
    for name, grad in expected[2].items():
        assert torch.allclose(found[2][name], grad, atol=1e-6), name


def test_a_language_model_in_4_bits_learns_the_same_with_everything_offloaded(tmp_path, capsys):
    plain = qlora(tmp_path, tied=False)
    assert any(isinstance(module, Linear4bit) for module in plain[0].modules())
    offloaded = qlora(
        tmp_path, tied=False, embeddings_on_cpu=True, gradient_checkpointing=True, offload_checkpoints=True
    )
    agree(offloaded, plain)
    assert isinstance(offloaded[0].get_input_embeddings(), EmbeddingOnCPU)
    assert "wait in main memory" in capsys.readouterr().out
    assert trainable_parameters(offloaded[0]) == trainable_parameters(plain[0])


def test_embeddings_that_are_the_output_layer_too_stay(tmp_path, capsys):
    adapted, *_ = qlora(tmp_path, tied=True, embeddings_on_cpu=True)
    assert "the model's output layer, too" in capsys.readouterr().out
    assert not isinstance(adapted.get_input_embeddings(), EmbeddingOnCPU)


def test_only_the_inputs_of_layers_are_moved(monkeypatch):
    """Weights and what a layer computes within stay where they are."""
    moved = []

    def counting(pin_memory):
        return saved_tensors_hooks(lambda tensor: moved.append(tuple(tensor.shape)) or tensor, lambda tensor: tensor)

    monkeypatch.setattr(offloading, "save_on_cpu", counting)
    model = small_llama(**SHAPE)
    for weights in model.get_input_embeddings().parameters():
        weights.requires_grad = False
    model.gradient_checkpointing_enable()
    ids, mask, labels = batch_of()
    expected = answer_token_loss(model.train(), ids, mask, labels, None)
    offload_checkpoints(model)
    assert answer_token_loss(model, ids, mask, labels, None).item() == expected.item()
    states = (*ids.shape, SHAPE["hidden_size"])
    # Of each layer its input; the norm above them, which is not computed anew, keeps three more.
    assert moved.count(states) >= SHAPE["num_hidden_layers"]
    assert len([shape for shape in moved if shape == states]) <= SHAPE["num_hidden_layers"] + 3
    assert max(torch.Size(shape).numel() for shape in moved) == torch.Size(states).numel()


def test_where_memory_runs_out_within_the_body_nothing_stays_switched_on(monkeypatch):
    entered = []

    class Moving(saved_tensors_hooks):
        def __init__(self, pin_memory):
            super().__init__(lambda tensor: tensor, lambda tensor: tensor)

        def __enter__(self):
            entered.append(1)
            super().__enter__()

        def __exit__(self, *_):
            entered.pop()
            super().__exit__()

    monkeypatch.setattr(offloading, "save_on_cpu", Moving)
    model = small_llama(**SHAPE)
    offload_checkpoints(model)

    def full(*_):
        assert entered
        raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = model.model.layers[1].register_forward_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        model(torch.tensor([[5, 6]]))
    assert not entered
    hook.remove()
    model(torch.tensor([[5, 6]]))
    assert not entered


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_encoder_learns_the_same_with_offloaded_checkpoints(kind, tmp_path):
    _, plain = prepared(kind, "full")
    moved = copy.deepcopy(plain)
    expected = encoder_losses(plain, "full", tmp_path / "plain")
    offload_checkpoints(moved)
    found = encoder_losses(moved, "full", tmp_path / "moved", gradient_checkpointing=True, offload_checkpoints=True)
    assert found == pytest.approx(expected, abs=1e-5)


def test_embeddings_that_learn_in_float32_stand_among_layers_in_bfloat16():
    """As on a GPU, where the scores between two epochs are computed outside autocast."""
    model = small_llama(**SHAPE).to(torch.bfloat16)
    spec = ModelSpec(family="causal", method="lora", lora=LoraSpec(rank=4, train_embeddings=True))
    adapted = with_adapter(model, spec, TrainingSpec(), PLAIN)
    for weights in adapted.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    states = model.get_decoder()(torch.tensor([[5, 6, 7]])).last_hidden_state
    logits = model.get_output_embeddings()(states)
    assert states.dtype == logits.dtype == torch.bfloat16
    logits.float().logsumexp(-1).sum().backward()
    learned = {name for name, weights in adapted.named_parameters() if weights.grad is not None}
    assert any("embed_tokens" in name for name in learned)

"""What each choice that saves memory takes off the forecast."""

import pytest

from core.models.parameters import learning_tensors
from core.models.sizes import sizes_of
from core.presets import load_presets
from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.training.memory import Device, MemoryForecast, Workload, forecast_memory

CONFIGS = {preset.model.source: preset.config for preset in load_presets().values()}
MISTRAL, LLAMA_3B, BERT = (
    "unsloth/mistral-7b-instruct-v0.2",
    "unsloth/Llama-3.2-3B-Instruct",
    "google-bert/bert-base-uncased",
)
CARD = Device("cuda", "a card", 8 * 2**30, 8 * 10**9)
PROCESSOR = Device("cpu", "a processor", 16 * 2**30, 16 * 10**9)
TOKENS = 512


def forecast(source, model, device=CARD, **training) -> MemoryForecast:
    family = "encoder" if source == BERT else "causal"
    spec = RunSpec(
        data=DataSpec(train=TableFile(path="t.csv")),
        mapping=MappingSpec(text=("a",), label="b"),
        model=ModelSpec.model_validate({"source": source, "family": family, "max_length": TOKENS, **model}),
        training=TrainingSpec(batch_size=4, evaluation_batch_size=1, prefix_cache="off", **training),
    )
    sizes = sizes_of(CONFIGS[source])
    return forecast_memory(spec, Workload(sizes, 6, TOKENS, 0 if family == "encoder" else 4, 0), device, unsloth=False)


def part(found: MemoryForecast, name: str) -> int:
    return sum(part.bytes for part in found.parts if part.name == name)


@pytest.mark.parametrize(
    ("source", "model", "saved"),
    [
        (MISTRAL, {"method": "qlora"}, 32_000 * 4096 * 2),
        (MISTRAL, {"method": "head-on-llm"}, 32_000 * 4096 * 2),
        (BERT, {"method": "freeze", "frozen_layers": 6}, 30_522 * 768 * 4),
        (BERT, {"method": "lora"}, 30_522 * 768 * 4),
        (BERT, {"method": "full"}, 0),
        (LLAMA_3B, {"method": "qlora"}, 0),
        (MISTRAL, {"method": "qlora", "lora": {"train_embeddings": True}}, 0),
    ],
)
def test_embeddings_on_the_cpu(source, model, saved):
    before, after = (forecast(source, {**model, "embeddings_on_cpu": away}) for away in (False, True))
    assert part(before, "weights") - part(after, "weights") == saved
    on_cpu = [forecast(source, {**model, "embeddings_on_cpu": away}, PROCESSOR).bytes for away in (False, True)]
    assert on_cpu[0] == on_cpu[1]


@pytest.mark.parametrize(
    ("source", "model", "layers", "width"),
    [(MISTRAL, {"method": "qlora"}, 32, 4096 * 2), (BERT, {"method": "lora"}, 12, 768 * 4)],
)
def test_offloaded_checkpoints(source, model, layers, width):
    """All but two of the layers' inputs: the one that is used, and the one on its way."""
    settings = [{"gradient_checkpointing": True, "offload_checkpoints": away} for away in (False, True)]
    before, after = (dict(forecast(source, model, **chosen).moments) for chosen in settings)
    # Spare room of the allocator comes on top, by the highest moment.
    assert before["step"] - after["step"] == pytest.approx((layers - 2) * 4 * TOKENS * width, rel=0.06)
    plain = [forecast(source, model, offload_checkpoints=away).bytes for away in (False, True)]
    assert plain[0] == plain[1]


@pytest.mark.parametrize(("source", "tables"), [(MISTRAL, 2), (LLAMA_3B, 1)])
def test_embeddings_and_output_layer_that_learn(source, tables):
    sizes = sizes_of(CONFIGS[source])
    lora = {"rank": 16, "train_embeddings": True}
    learning = [
        sum(tensor.all for tensor in learning_tensors(sizes, ModelSpec.model_validate(model), 0))
        for model in (
            {"family": "causal", "method": "qlora", "lora": lora},
            {"family": "causal", "method": "qlora", "lora": {"rank": 16}},
        )
    ]
    assert learning[0] - learning[1] == tables * sizes.token_embeddings


def test_answers_alone_are_projected():
    """Of 4 x 512 positions 16 carry loss; all of them would be 1 GB and more of logits."""
    logits = part(forecast(LLAMA_3B, {"method": "qlora"}, gradient_checkpointing=True), "logits")
    assert logits <= 16 * 128_256 * 10

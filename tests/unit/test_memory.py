"""The forecast of memory: what counts when, and what makes it more or less."""

from dataclasses import replace

import pytest

from core.evaluation import plain_scoring
from core.models.known import known_of
from core.presets import find_preset, preset_spec
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile
from core.training.memory import FRAMEWORK, Device, Workload, forecast_memory
from core.training.moments import ANSWERS_AT_ONCE

DATA = DataSpec(train=TableFile(path="questions.csv"))
MAPPING = MappingSpec(text=("text",), label="label")
CARD = Device("cuda", "the card", 24 * 2**30, 23 * 2**30)
PROCESSOR = Device("cpu", "the processor", 64 * 10**9, 60 * 10**9)


def of_preset(name: str, **changes) -> RunSpec:
    """Changes by dotted name, a double underscore for the dot."""
    spec = preset_spec(find_preset(name), DATA, MAPPING)
    for key, value in changes.items():
        part, _, field = key.partition("__")
        spec = spec.model_copy(update={part: getattr(spec, part).model_copy(update={field: value})})
    return spec


def work_of(spec: RunSpec, tokens: int = 256) -> Workload:
    sizes = known_of(spec.model).sizes
    assert sizes is not None
    return Workload(sizes, 6, tokens, 4 if spec.task == "answer" else 0, 0)


def parts(spec: RunSpec, device: Device = CARD, tokens: int = 256, unsloth: bool = False) -> dict[str, int]:
    found = forecast_memory(spec, work_of(spec, tokens), device, unsloth=unsloth)
    return {part.name: part.bytes for part in found.parts}


def moments(spec: RunSpec, device: Device = CARD, tokens: int = 256, unsloth: bool = False) -> dict[str, int]:
    return dict(forecast_memory(spec, work_of(spec, tokens), device, unsloth=unsloth).moments)


@pytest.mark.parametrize("device", [CARD, PROCESSOR], ids=["card", "processor"])
@pytest.mark.parametrize(
    "name", ["bert-base", "neobert-freeze", "distilbert-head", "llama-3.2-3b-4bit", "mistral-7b-head"]
)
def test_the_whole_is_its_parts_at_the_highest_moment(name, device):
    spec = of_preset(name)
    found = forecast_memory(spec, work_of(spec), device, unsloth=False)
    assert found.bytes == pytest.approx(max(size for _, size in found.moments), abs=1)
    assert all(part.bytes > 0 and part.words.endswith(".") for part in found.parts)
    assert found.words.startswith("The most is taken in")


def test_evaluation_of_many_rows_takes_more_than_a_step_of_few():
    few = of_preset("mistral-7b-qlora", training__batch_size=1, training__evaluation_batch_size=64)
    found = forecast_memory(few, work_of(few), CARD, unsloth=False)
    assert "64 rows at once" in found.words
    fewer = of_preset("mistral-7b-qlora", training__batch_size=1, training__evaluation_batch_size=1)
    assert "training step" in forecast_memory(fewer, work_of(fewer), CARD, unsloth=False).words


def test_gradients_are_there_in_a_step_where_batches_are_added_up():
    one = moments(of_preset("bert-base"))
    added = moments(of_preset("bert-base", training__gradient_accumulation=4))
    gradients = 4 * work_of(of_preset("bert-base")).sizes.body
    assert added["step"] - one["step"] == pytest.approx(gradients, rel=0.12)
    assert added["evaluation"] == one["evaluation"]


def test_a_processor_takes_neither_paged_nor_8_bit_averages():
    spec = of_preset("llama-3.2-3b-4bit")
    assert spec.training.optimizer == "paged_adamw_8bit"
    learning = parts(spec, PROCESSOR)["adapter"] // 4
    assert parts(spec, PROCESSOR)["optimizer"] == 8 * learning
    # 8-bit, and what is large among it is paged.
    assert parts(spec)["optimizer"] < 2 * learning
    adamw = of_preset("llama-3.2-3b-4bit", training__optimizer="adamw")
    assert parts(adamw)["optimizer"] == 8 * learning


def test_weights_are_in_the_format_of_the_arithmetic():
    spec = of_preset("llama-3.2-3b-4bit", model__method="lora")
    numbers = work_of(spec).sizes.pretrained
    assert (parts(spec)["weights"], parts(spec, PROCESSOR)["weights"]) == (2 * numbers, 4 * numbers)
    assert parts(of_preset("llama-3.2-3b-4bit"))["weights"] < 0.75 * numbers
    # A head takes the place of the output layer, which Mistral has apart.
    head, words = parts(of_preset("mistral-7b-head")), parts(of_preset("mistral-7b-qlora"))
    assert words["weights"] - head["weights"] == 2 * (32_000 * 4096 - 6 * 4096)


def test_what_saves_memory_does():
    spec = of_preset("mistral-7b-qlora", training__batch_size=8, training__gradient_checkpointing=False)
    checkpointing = of_preset("mistral-7b-qlora", training__batch_size=8)
    offloaded = of_preset("mistral-7b-qlora", training__batch_size=8, training__offload_checkpoints=True)
    away = of_preset("mistral-7b-qlora", training__batch_size=8, model__embeddings_on_cpu=True)
    steps = [moments(one, tokens=512)["step"] for one in (spec, checkpointing, offloaded)]
    assert steps == sorted(steps, reverse=True) and steps[1] < steps[0] / 2
    assert parts(checkpointing)["weights"] - parts(away)["weights"] == 2 * 32_000 * 4096
    # Llama 3.2's token embeddings are its output layer, too.
    same = parts(of_preset("llama-3.2-3b-4bit", model__embeddings_on_cpu=True))
    assert same["weights"] == parts(of_preset("llama-3.2-3b-4bit"))["weights"]
    assert moments(checkpointing, unsloth=True)["evaluation"] < moments(checkpointing)["evaluation"]


def test_tokens_that_do_not_occur_learn_nothing():
    spec = of_preset("multilingual-e5-small")
    work = work_of(spec)
    all_of_them = forecast_memory(spec, work, PROCESSOR)
    some = forecast_memory(spec, replace(work, used_tokens=20_000), PROCESSOR)
    averages = {part.name: part.bytes for part in all_of_them.parts}["optimizer"]
    assert averages - {part.name: part.bytes for part in some.parts}["optimizer"] == 8 * (250_037 - 20_000) * 384


def test_free_answers_of_unsloth_hold_keys_and_values_twice():
    spec = of_preset("llama-3.2-3b-4bit", training__evaluation_batch_size=16)
    assert ANSWERS_AT_ONCE == plain_scoring.ANSWERS_AT_ONCE
    # Of 28 layers with 8 heads of 128 numbers in 16 bits: those of the prompts, and where 513 more tokens have room.
    a_token = 2 * 28 * 8 * 128 * 2
    twice = ANSWERS_AT_ONCE * a_token * (1024 + 1024 + 513)
    found = parts(spec, tokens=1024, unsloth=True)
    held = sum(found[name] for name in ("weights", "adapter", "optimizer")) + FRAMEWORK["cuda"]
    assert moments(spec, tokens=1024, unsloth=True)["answers"] == held + round(1.05 * twice)
    assert moments(spec, tokens=1024)["answers"] < moments(spec, tokens=1024, unsloth=True)["answers"]
    fewer = of_preset("llama-3.2-3b-4bit", training__evaluation_batch_size=2)
    assert moments(fewer, tokens=1024, unsloth=True)["answers"] == held + round(1.05 * twice / 2)


def test_memory_rises_with_length_and_batch():
    short, long = (parts(of_preset("bert-base"), tokens=tokens) for tokens in (128, 512))
    # Copies of the weights in 16 bits do not grow; masks grow with the square of the length.
    assert short["activations"] * 3 < long["activations"] < short["activations"] * 6
    assert short["weights"] == long["weights"]
    bounded = of_preset("bert-base", training__batch_size=64, training__batch_tokens=1024)
    assert parts(bounded, tokens=512)["activations"] < parts(of_preset("bert-base"), tokens=512)["activations"]

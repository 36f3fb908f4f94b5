"""What a run will take before it begins: from config and tables alone, without torch, and what it rests on."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.amount import Amount, Reading, amount_of
from core.data.table import open_tables
from core.errors import UserError
from core.models import known
from core.models.checkpoint_room import checkpoint_bytes
from core.presets import load_presets, preset_spec
from core.runs.store import open_store
from core.schema import ChatColumns, DataSpec, MappingSpec, ModelSpec, RunSpec, SplitSpec, TableFile
from core.training import devices
from core.training.devices import CARD_SIZES, device_here, device_named
from core.training.forecast import forecast_run
from core.training.memory import Device
from core.training.reading import amount_for
from core.training.work import forward_operations, work_of

PROJECT = Path(__file__).resolve().parents[2]
CARD = Device("cuda", "8 GB card", 8 * 2**30, 8 * 2**30)
HERE = Device("cpu", "a processor", 32 * 10**9, 20 * 10**9)
AMOUNT = Amount(
    {"train": 1000, "validation": 100, "test": 100}, {"train": 30_000, "validation": 3000, "test": 3000}, 6, 90, 60, 4
)
HEAVY = {"torch", "transformers", "unsloth", "peft", "trl", "bitsandbytes"}


def spec_of(preset="quickstart-minilm", **changes) -> RunSpec:
    data, mapping = DataSpec(train=TableFile(path="texts.csv")), MappingSpec(text=("text",), label="label")
    spec = preset_spec(load_presets()[preset], data, mapping)
    for part, values in changes.items():
        spec = spec.model_copy(update={part: getattr(spec, part).model_copy(update=values)})
    return spec


@pytest.fixture
def texts(tmp_path) -> Path:
    """1,000 rows of 80 characters and one of 4,000."""
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        writer.writerows([f"{'word ' * 15}{number:05}", "abc"[number % 3]] for number in range(1000))
        writer.writerow(["longer " * 571, "a"])
    return path


def test_it_is_light():
    code = (
        "import sys, core.cli.planning, core.training.forecast, core.training.reading, core.training.devices; "
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("preset", load_presets())
def test_every_preset_is_forecast_from_its_config_alone(preset, workspace, monkeypatch):
    monkeypatch.setattr(known, "local_config", lambda model: pytest.fail("nothing but the preset is read"))
    found = forecast_run(open_store(workspace), spec_of(preset), AMOUNT, CARD)
    assert found.memory is not None and found.memory.bytes > 0
    assert found.work is not None and found.work.training > 0
    assert found.disk is not None and found.disk.each > 0
    assert found.workload is not None and found.workload.tokens == 90
    assert (found.workload.answer_tokens > 0) == (found.spec.task == "answer")
    assert found.seconds is None
    assert "not known" in found.words[0]


def test_an_unknown_model_has_no_memory_and_says_so(workspace):
    found = forecast_run(open_store(workspace), spec_of(model={"source": "someone/else"}), AMOUNT, HERE)
    assert (found.memory, found.seconds, found.fits) == (None, None, None)
    assert "someone/else" in found.words[0]


def test_layers_are_chosen_as_the_worker_will(workspace):
    found = forecast_run(open_store(workspace), spec_of("neobert-auto"), AMOUNT, HERE)
    assert found.spec.model.frozen_layers == 24


def test_what_frozen_layers_say_counts_where_it_is_kept(workspace):
    store, spec = open_store(workspace), spec_of(model={"method": "head"})
    on_processor, on_card = (forecast_run(store, spec, AMOUNT, device) for device in (HERE, CARD))
    assert on_processor.cache.place == "memory"
    assert on_processor.workload.cached_bytes == on_processor.cache.bytes == 36_000 * 384 * 2
    assert on_card.workload.cached_bytes == 0, "the worker keeps it in the computer's memory"
    assert any("computer's own memory" in words for words in on_card.words)


# Amount


def test_lengths_are_counted_once_and_cut_later(texts, workspace):
    spec = RunSpec(data=DataSpec(train=TableFile(path=str(texts))), mapping=MappingSpec(text=("text",), label="label"))
    tables = open_tables(spec.data, workspace)
    amount = amount_of(tables, spec.mapping, SplitSpec(), 256)
    assert (amount.usual, amount.longest) == (22, 2 + 3996 // 4)
    assert amount.tokens["train"] == round(amount.rows["train"] * (1000 * 22 + 256) / 1001)
    assert not amount.counted
    as_read = Reading(characters_a_token=2.0, fixed_tokens=10, columns=("label",))
    assert amount_of(tables, spec.mapping, SplitSpec(), 4096, as_read).usual == 10 + 41


def test_the_model_s_own_tokenizer_counts_where_it_is_here(texts, workspace):
    spec = RunSpec(data=DataSpec(train=TableFile(path=str(texts))), mapping=MappingSpec(text=("text",), label="label"))
    spec = spec.model_copy(update={"model": ModelSpec(max_length=512)})
    amount = amount_for(spec, open_tables(spec.data, workspace))
    assert amount.counted
    assert amount.longest == 571 + 2, "each word is a token; two stand around the text"
    assert 16 <= amount.usual <= 22
    short = spec.model_copy(update={"model": ModelSpec(max_length=32)})
    assert amount_for(short, open_tables(spec.data, workspace)).longest > 64, "surely cut, so not counted"
    elsewhere = spec.model_copy(update={"model": ModelSpec(source="someone/else")})
    assert not amount_for(elsewhere, open_tables(spec.data, workspace)).counted


@pytest.mark.parametrize("mapping", [{"text": ("text",), "label": "no"}, {"text": ("no",), "label": "label"}])
def test_a_column_that_is_not_there_is_named(texts, workspace, mapping):
    spec = RunSpec(data=DataSpec(train=TableFile(path=str(texts))), mapping=MappingSpec(**mapping))
    with pytest.raises(UserError, match="Column 'no' is not in"):
        amount_for(spec, open_tables(spec.data, workspace))


def test_a_prompt_and_its_answer_are_tokens_too(texts, workspace):
    spec = spec_of("llama-3.2-1b-4bit", data={"train": TableFile(path=str(texts))})
    plain = amount_of(open_tables(spec.data, workspace), spec.mapping, spec.split, 4096)
    amount = amount_for(spec, open_tables(spec.data, workspace))
    prompt = len(spec.prompt.system) + len(spec.prompt.user)
    assert amount.answer_tokens >= 2
    assert amount.longest > plain.longest + prompt // 5
    longer = spec.model_copy(update={"prompt": spec.prompt.model_copy(update={"system": "word " * 400})})
    assert amount_for(longer, open_tables(spec.data, workspace)).longest > amount.longest + 400


def test_conversations_are_counted_with_their_answers(tmp_path, workspace):
    path = tmp_path / "talks.jsonl"
    rows = [{"question": "q" * 40, "answer": "a" * 120} for _ in range(50)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    spec = spec_of("llama-3.2-1b-4bit", data={"train": TableFile(path=str(path))})
    chat = MappingSpec(kind="none", chat=ChatColumns(instruction="question", response="answer"))
    amount = amount_for(spec.model_copy(update={"mapping": chat}), open_tables(spec.data, workspace))
    assert sum(amount.rows.values()) == 50
    assert 40 < amount.longest < 60
    assert amount.answer_tokens == -(-3 * amount.longest // 4)


# Work and disk


def test_work_follows_what_learns():
    sizes = known.known_of(spec_of().model).sizes
    forward = forward_operations(sizes, 30.0)
    assert forward == 6 * (2 * 12 * 384**2 + 4 * 30 * 384)
    full = work_of(spec_of(), sizes, AMOUNT, False)
    assert full.token == 3 * forward
    assert full.tokens == 30_000 * 4, "four epochs for a thousand rows"
    assert full.steps == 32 * 4
    again = work_of(spec_of(training={"gradient_checkpointing": True}), sizes, AMOUNT, False)
    assert again.token == 4 * forward
    frozen = spec_of(model={"method": "freeze", "frozen_layers": 4})
    assert work_of(frozen, sizes, AMOUNT, False).token == pytest.approx((4 + 3 * 2) / 6 * forward)
    kept = work_of(frozen, sizes, AMOUNT, True)
    assert kept.token == pytest.approx(forward)
    assert kept.evaluation == pytest.approx(forward * 3000 / 3)
    few = work_of(spec_of(training={"max_steps": 16}), sizes, AMOUNT, False)
    assert (few.steps, few.tokens) == (16, 15_000)


def test_folds_and_answers_add_work():
    sizes = known.known_of(spec_of().model).sizes
    once, five = (work_of(spec_of(split={"folds": folds}), sizes, AMOUNT, False) for folds in (0, 5))
    assert five.training == 5 * once.training
    llama = spec_of("llama-3.2-1b-4bit")
    large = known.known_of(llama.model).sizes
    work = work_of(llama, large, AMOUNT, False)
    passes = 3 if llama.training.gradient_checkpointing else 2
    assert work.token > passes * forward_operations(large, 30.0)
    assert work.written_rows == 2 * 100


def test_checkpoints_of_adapters_and_language_models():
    qlora = ModelSpec(source="unsloth/Llama-3.2-1B-Instruct", family="causal", method="qlora")
    assert checkpoint_bytes(qlora) == 12 * 11_272_192, "PEFT's count for rank 16 on all linear layers"
    assert checkpoint_bytes(qlora.model_copy(update={"method": "full"})) == 12 * 1_235_814_400
    lora = checkpoint_bytes(ModelSpec(method="lora"))
    assert 12 * 6 * 16 * (4 * 768 + 2 * 1920) < lora < checkpoint_bytes(ModelSpec())
    assert checkpoint_bytes(ModelSpec(source="someone/else")) is None


# Devices


def test_cards_to_choose_from():
    assert [device_named(f"{size}GB").total_bytes // 2**30 for size in CARD_SIZES] == [6, 8, 12, 16, 24]
    assert device_named("8GB") == device_named("8")
    assert device_named("cpu").kind == "cpu"
    with pytest.raises(UserError):
        device_named("0GB")


def test_the_device_that_is_here(monkeypatch):
    asked = []

    def find():
        asked.append(1)
        return [devices.Gpu("First", "580", 8192, 7000), devices.Gpu("Second", "580", 0, 0)], None

    monkeypatch.setattr(devices, "find_gpus", find)
    monkeypatch.setattr(devices, "_asked", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_here() == Device("cuda", "First", 8192 * 2**20, 7000 * 2**20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device_here().name == "Second" and device_here().total_bytes > 0, "it shares the computer's memory"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_here().kind == "cpu"
    assert len(asked) == 1, "nvidia-smi's answer is kept for a while"

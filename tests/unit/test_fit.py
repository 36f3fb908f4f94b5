"""Make it fit: what it promises holds for any settings and any device, and it touches nothing it need not."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cli.answer import DONE
from core.cli.probing import fit_answer
from core.models.known import known_of
from core.presets import find_preset, load_presets, preset_spec
from core.schema import FAMILY_METHODS, DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.spec_files import read_spec
from core.step_sizes import MOST_BATCHES, batch_sizes
from core.training.fit import MARGIN, make_it_fit
from core.training.memory import Device, Workload, forecast_memory
from core.training.memory_choices import AS_IT_IS, axes_of, batch_choices, evaluation_choices

DATA = DataSpec(train=TableFile(path="questions.csv"))
MAPPING = MappingSpec(text=("text",), label="label")
SIZES = {name: known_of(preset.model).sizes for name, preset in load_presets().items()}
ENCODERS = [name for name, preset in load_presets().items() if preset.model.family == "encoder"]
LANGUAGE_MODELS = [name for name, preset in load_presets().items() if preset.model.family == "causal"]


def of_preset(name: str, **training) -> RunSpec:
    spec = preset_spec(find_preset(name), DATA, MAPPING)
    return spec.model_copy(update={"training": spec.training.model_copy(update=training)})


def workload(name: str, tokens: int, answer_tokens: int = 0) -> Workload:
    sizes = SIZES[name]
    assert sizes is not None
    return Workload(sizes, 6, tokens, answer_tokens, 0)


def card(gigabytes: float, kind: str = "cuda") -> Device:
    return Device(kind, "the card", round(gigabytes * 2**30), round(0.95 * gigabytes * 2**30))


@st.composite
def cases(draw):
    """A spec as a person may have made it, its workload, and the number that 99 of 100 rows do not exceed."""
    family = draw(st.sampled_from(["encoder", "causal"]))
    name = draw(st.sampled_from(ENCODERS if family == "encoder" else LANGUAGE_MODELS))
    length = draw(st.integers(8, 8192))
    model = ModelSpec(
        family=family,
        source=find_preset(name).model.source,
        method=draw(st.sampled_from(FAMILY_METHODS[family])),
        frozen_layers=draw(st.integers(0, 12)),
        choose_frozen_layers=draw(st.booleans()),
        double_quantization=draw(st.booleans()),
        max_length=length,
        attention_dropout=draw(st.sampled_from([0.0, 0.1])),
    )
    training = TrainingSpec(
        batch_size=draw(st.one_of(st.integers(1, 64), st.sampled_from([96, 5040, 65536]))),
        gradient_accumulation=draw(st.sampled_from([1, 2, 3, 8, 4096])),
        evaluation_batch_size=draw(st.integers(1, 256)),
        batch_tokens=draw(st.sampled_from([None, 4096])),
        gradient_checkpointing=draw(st.booleans()),
        shorten_to_fit=draw(st.booleans()),
        optimizer=draw(st.sampled_from(["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])),
    )
    spec = RunSpec(data=DATA, mapping=MAPPING, model=model, training=training)
    tokens = draw(st.integers(1, length))
    answers = draw(st.integers(0, tokens)) if spec.task == "answer" else 0
    kept = draw(st.sampled_from([0, 10**8, 10**10])) if model.method in ("freeze", "head") else 0
    work = replace(workload(name, tokens, answers), cached_bytes=kept)
    return spec, work, draw(st.integers(1, tokens))


devices = st.builds(card, st.floats(0.5, 100), st.sampled_from(["cuda", "cpu"]))


def work_of(found: RunSpec, work: Workload) -> Workload:
    """What another spec makes of the same rows, told here by itself."""
    tokens = min(work.tokens, found.model.max_length)
    kept = work.cached_bytes if found.training.prefix_cache != "disk" else 0
    return replace(work, tokens=tokens, answer_tokens=min(work.answer_tokens, tokens), cached_bytes=kept)


@given(cases(), devices)
@settings(max_examples=60, deadline=None)
def test_what_is_promised_holds(case, device):
    spec, work, usual = case
    fit = make_it_fit(spec, work, device, usual)
    before, after = spec.training, fit.spec.training
    # A spec that was read from a file comes to the same.
    assert RunSpec.model_validate(fit.spec.model_dump(mode="json")) == fit.spec
    assert after.batch_size * after.gradient_accumulation == before.batch_size * before.gradient_accumulation
    shortest = max(8, min(usual, 64) if before.shorten_to_fit else usual)
    assert fit.spec.model.max_length >= min(spec.model.max_length, shortest)
    if fit.fits:
        assert fit.forecast.bytes <= (1 - MARGIN) * device.free_bytes
        assert forecast_memory(fit.spec, work_of(fit.spec, work), device).bytes <= fit.forecast.bytes
    else:
        assert fit.spec == spec and not fit.changes
    assert fit == make_it_fit(spec, work, device, usual)


@given(cases(), devices)
@settings(max_examples=60, deadline=None)
def test_changes_say_what_changed_and_nothing_else_did(case, device):
    spec, work, usual = case
    fit = make_it_fit(spec, work, device, usual)
    content = spec.model_dump()
    for change in fit.changes:
        part = content
        *path, name = change.key.split(".")
        for step in path:
            part = part[step]
        assert part[name] == change.before != change.after
        assert change.words.strip().endswith(".")
        part[name] = change.after
    assert RunSpec.model_validate(content) == fit.spec
    assert fit.words.endswith(".")


@given(cases(), devices)
@settings(max_examples=60, deadline=None)
def test_no_change_is_without_need(case, device):
    """Any one taken back, and it does not fit any more."""
    spec, work, usual = case
    fit = make_it_fit(spec, work, device, usual)
    groups = [("training.batch_size", "training.gradient_accumulation", "training.batch_tokens")]
    groups += [(change.key,) for change in fit.changes if change.key not in groups[0]]
    # Another method brings settings with it that mean nothing without it.
    if any(change.key in ("model.method", "model.frozen_layers") for change in fit.changes):
        return
    for group in groups:
        part_changes = [change for change in fit.changes if change.key in group]
        if not part_changes:
            continue
        content = fit.spec.model_dump()
        for change in part_changes:
            part = content
            *path, name = change.key.split(".")
            for step in path:
                part = part[step]
            part[name] = change.before
        back = RunSpec.model_validate(content)
        assert forecast_memory(back, work_of(back, work), device).bytes > (1 - MARGIN) * device.free_bytes, group


@given(cases(), devices, st.floats(1, 3))
@settings(max_examples=60, deadline=None)
def test_more_memory_is_never_slower(case, device, more):
    """Of what learns the same: with more memory a person may get what learns more, in more time."""
    spec, work, usual = case
    larger = replace(device, free_bytes=round(device.free_bytes * more))
    small, large = make_it_fit(spec, work, device, usual), make_it_fit(spec, work, larger, usual)
    assert large.fits or not small.fits
    if small.fits and _learns(small) == _learns(large):
        assert large.time <= small.time + 1e-9


def _learns(fit) -> tuple:
    model = fit.spec.model
    return model.method, model.frozen_layers, model.max_length, model.attention_dropout, model.lora.dropout


@given(cases(), devices)
@settings(max_examples=60, deadline=None)
def test_every_choice_costs_something(case, device):
    """Or it would be taken without need."""
    spec, work, usual = case
    axes = [batch_choices(spec.training, usual, device), evaluation_choices(spec.training)]
    for axis in [*axes, *axes_of(spec, work, device, usual)]:
        assert axis[0] is AS_IT_IS
        prices = [choice.price for choice in axis]
        assert prices == sorted(set(prices))


def test_what_fits_stays_as_it_is():
    spec = of_preset("quickstart-minilm")
    fit = make_it_fit(spec, workload("quickstart-minilm", 64), card(8), 64)
    assert fit.spec is spec and fit.changes == () and fit.time == 1
    assert fit.words == f"It fits as it is: {fit.forecast.bytes / 1e9:.1f} of 8.2 GB."


def test_a_batch_is_divided_before_anything_is_computed_twice():
    """A little too much for the card: half the batch costs less than gradient checkpointing."""
    spec, work = of_preset("bert-base", optimizer="paged_adamw_8bit"), workload("bert-base", 256)
    needed = forecast_memory(spec, work, card(24)).bytes
    fit = make_it_fit(spec, work, Device("cuda", "the card", needed, round(needed * 1.05)), 256)
    assert fit.fits
    assert [change.key for change in fit.changes] == ["training.batch_size", "training.gradient_accumulation"]
    assert f"a step is {spec.training.batch_size} rows as before" in fit.changes[1].words


def test_texts_longer_than_nearly_all_others_are_cut_before_time_is_lost():
    given_settings = {"batch_size": 64, "evaluation_batch_size": 4, "optimizer": "paged_adamw_8bit"}
    spec, work = of_preset("bert-base", **given_settings), workload("bert-base", 256)
    short = spec.model_copy(update={"model": spec.model.model_copy(update={"max_length": 30})})
    needed = forecast_memory(short, replace(work, tokens=30), card(24)).bytes
    fit = make_it_fit(spec, work, Device("cuda", "the card", needed, round(needed / 0.89)), 30)
    assert fit.fits
    assert [(change.key, change.after) for change in fit.changes] == [("model.max_length", 30)]


def test_texts_are_cut_further_only_where_that_is_allowed():
    work = workload("neobert-auto", 1024)
    few, found = card(1.8), {}
    for allowed in (False, True):
        spec = of_preset("neobert-auto", shorten_to_fit=allowed, batch_size=1, gradient_checkpointing=True)
        found[allowed] = make_it_fit(spec, work, few, 1024).spec.model.max_length
    assert found[True] <= found[False] == 1024


def test_another_method_is_the_last_resort_and_said_to_be():
    spec, work = of_preset("bert-base"), workload("bert-base", 256)
    found = [make_it_fit(spec, work, card(size / 10), 256) for size in range(40, 8, -1)]
    methods = [fit.spec.model.method for fit in found if fit.fits]
    assert methods[0] == "full" != methods[-1]
    first = methods.index(next(method for method in methods if method != "full"))
    assert "full" not in methods[first:]
    assert found[first].changes[0].words.startswith("Nothing else fits")
    assert found[first - 1].time > 1


def test_where_nothing_fits_the_least_and_a_smaller_model_are_named():
    spec = of_preset("mistral-7b-qlora")
    fit = make_it_fit(spec, workload("mistral-7b-qlora", 512, 3), card(4), 512)
    assert not fit.fits and fit.spec is spec
    assert fit.smaller[0] == "llama-3.2-3b-4bit"
    assert "with every saving it still takes" in fit.words and "preset llama-3.2-3b-4bit" in fit.words


def test_without_a_gpu_no_model_that_needs_one_is_named():
    work = workload("mistral-7b-qlora", 512, 3)
    fit = make_it_fit(of_preset("mistral-7b-qlora"), work, card(3, "cpu"), 512)
    assert not fit.fits and fit.smaller
    assert not any(find_preset(name).needs_gpu for name in fit.smaller)


def test_the_processor_is_offered_no_optimiser_of_the_gpu():
    axes = axes_of(of_preset("bert-base"), workload("bert-base", 256), card(8, "cpu"), 256)
    assert not [change for axis in axes for choice in axis for change in choice.changes if "optimizer" in change.key]


@pytest.mark.parametrize(("rows", "batches"), [(1, 1), (12, 1), (12, 5), (65536, 1), (65536, 4096), (7, 4096)])
def test_a_batch_divides_the_rows_of_a_step(rows, batches):
    sizes = batch_sizes(TrainingSpec(batch_size=rows, gradient_accumulation=batches))
    assert sizes[0] == rows
    assert all(rows * batches % size == 0 and rows * batches // size <= MOST_BATCHES for size in sizes[1:])
    TrainingSpec(batch_size=1, gradient_accumulation=MOST_BATCHES)


def test_the_command_writes_what_fits_and_nothing_where_nothing_does(tmp_path):
    spec, target = of_preset("bert-base"), tmp_path / "fitted.yaml"
    for gigabytes, fits in ((0.01, False), (100, True)):
        fit = make_it_fit(spec, workload("bert-base", 128), card(gigabytes), 128)
        told = fit_answer(fit, target)
        assert (told.code == DONE, told.content["fits"], target.exists()) == (fits, fits, fits)
        assert ("Nothing was written" in told.text) != fits
        assert (told.content["to"] == str(target)) == fits
    assert read_spec(target) == fit.spec

"""The speed table and the forecasts that rest on it: which measurements count, what they say, how errors correct."""

import json
from dataclasses import asdict, replace

import pytest

from core.runs.restoring import restore
from core.runs.store import open_store
from core.store_check import restored_from
from core.training.devices import device_named
from core.training.forecast import forecast_run
from core.training.job import Phase
from core.training.measuring import MEASURED, Pace, forecast_content, measurement_of, phase_seconds
from core.training.past_forecasts import Errors, memory_ratio, past_forecasts
from core.training.speed import Measurement, forecast_seconds, manner_of, measurements
from core.training.work import work_of
from core.workspace import open_workspace
from tests.unit.test_forecast import AMOUNT, HERE, known, spec_of
from ui.past_forecasts import past_forecasts_html

SIZES = known.known_of(spec_of().model).sizes
MANNER = manner_of(spec_of(), SIZES, 30.0, False)
WORK = work_of(spec_of(), SIZES, AMOUNT, False)
DONE = Measurement(
    device=HERE.name,
    kind="cpu",
    manner=MANNER,
    steps=128,
    tokens=120_000,
    train_seconds=100.0,
    train_work=WORK.training,
    forward_seconds=20.0,
    forward_work=WORK.forward,
    baseline_seconds=6.0,
    baseline_tokens=WORK.baseline_tokens,
    writing_seconds=0.0,
    written_rows=0,
    fixed_seconds=14.0,
    seconds=140.0,
    forecast_seconds=150.0,
    bytes=1_000_000_000,
    forecast_bytes=900_000_000,
    uncorrected_bytes=900_000_000,
)


@pytest.fixture
def store(workspace):
    return open_store(workspace)


def add(store, *found: Measurement) -> None:
    """As the worker does, through the run's own event."""
    for number, one in enumerate(found):
        run_id = f"run-{len(measurements(store, limit=1000))}-{number}"
        store.folder(run_id).root.mkdir(parents=True)
        store.add_run(run_id, "a run", "p", "m", "d")
        store.add_event(run_id, MEASURED, asdict(one))


def test_a_measurement_outlives_its_run_and_comes_back_from_its_journal(store, tmp_path):
    add(store, DONE)
    assert measurements(store) == [DONE]
    (run,) = store.runs()
    again = open_store(open_workspace(tmp_path / "made again"))
    restore(again, restored_from(store.folder(run.id)))
    assert measurements(again) == [DONE]
    store.delete_run(run.id)
    assert measurements(store, HERE.name) == [DONE]
    assert measurements(store, "another") == []


def test_one_that_another_version_wrote_is_passed_over(store):
    store.add_run("old", "a run", "p", "m", "d")
    store.add_event("old", MEASURED, {"device": HERE.name, "speed": 3})
    assert measurements(store) == []


def test_the_same_run_again_takes_as_long(store):
    assert forecast_seconds(store, WORK, MANNER, HERE)[0] is None
    add(store, DONE)
    seconds, words = forecast_seconds(store, WORK, MANNER, HERE)
    assert seconds == pytest.approx(140.0)
    assert words == f"Time: from 1 finished run of all-MiniLM-L6-v2 on {HERE.name}."
    twice = replace(WORK, tokens=2 * WORK.tokens)
    assert forecast_seconds(store, twice, MANNER, HERE)[0] == pytest.approx(240.0)
    without = replace(WORK, baseline_tokens=0)
    assert forecast_seconds(store, without, MANNER, HERE)[0] == pytest.approx(134.0)


def test_only_the_same_device_and_what_is_alike_count(store):
    add(store, DONE)
    seconds, words = forecast_seconds(store, WORK, MANNER, device_named("8GB"))
    assert seconds is None and "8 GB card" in words
    mistral = replace(MANNER, model="mistral", family="causal", method="qlora", operations=400 * MANNER.operations)
    assert forecast_seconds(store, WORK, mistral, HERE)[0] is None
    larger = replace(MANNER, model="bert-base", operations=4 * MANNER.operations)
    assert "another model: rough" in forecast_seconds(store, WORK, larger, HERE)[1]
    frozen = replace(MANNER, method="freeze")
    assert "another method: rough" in forecast_seconds(store, WORK, frozen, HERE)[1]


def test_the_nearest_go_before_and_one_slow_run_does_not_decide(store):
    slow, other = replace(DONE, train_seconds=1000.0), replace(DONE, train_seconds=500.0)
    far = replace(other, manner=replace(MANNER, batch_tokens=32 * MANNER.batch_tokens))
    add(store, far, far, far, DONE, slow, DONE)
    seconds, words = forecast_seconds(store, WORK, MANNER, HERE)
    assert seconds == pytest.approx(140.0)
    assert "3 finished runs" in words


def test_errors_are_told_with_their_direction(store):
    assert past_forecasts(store).memory.words == "no run yet"
    assert "No run has been held" in past_forecasts_html(store.folder("x").workspace)
    add(store, DONE, replace(DONE, forecast_bytes=1_040_000_000, forecast_seconds=None))
    past = past_forecasts(store)
    assert past.memory.words == "2 runs, median 3 % too low, largest 10 % too low"
    assert past.time.words == "1 run, 7 % too high"
    shown = past_forecasts_html(store.folder("x").workspace)
    assert past.memory.words in shown and past.time.words in shown
    assert Errors((0.0,)).words == "1 run, exact"


def test_memory_is_corrected_by_the_median_within_limits(store):
    add(store, DONE, DONE)
    assert memory_ratio(store, "cpu", "encoder") == 1.0, "two runs are too few"
    before = forecast_run(store, spec_of(), AMOUNT, HERE)
    add(store, DONE)
    assert memory_ratio(store, "cpu", "encoder") == pytest.approx(10 / 9)
    assert memory_ratio(store, "cuda", "encoder") == memory_ratio(store, "cpu", "causal") == 1.0
    after = forecast_run(store, spec_of(), AMOUNT, HERE)
    assert after.memory.bytes == pytest.approx(before.memory.bytes * 10 / 9, abs=2)
    (framework,) = [part for part in after.memory.parts if part.name == "framework"]
    assert "+11 %" in framework.words
    told = forecast_content(after)
    assert told["compared_bytes"] == after.memory.bytes
    assert told["uncorrected_bytes"] == pytest.approx(before.memory.bytes, abs=2)
    add(store, *[replace(DONE, bytes=3_000_000_000)] * 20)
    assert memory_ratio(store, "cpu", "encoder") == 1.25
    add(store, *[replace(DONE, bytes=300_000_000)] * 20)
    assert memory_ratio(store, "cpu", "encoder") == 0.95, "too low a forecast is worse than too high a one"


def test_on_a_gpu_cuda_s_own_memory_is_not_compared(store):
    card = device_named("8GB")
    plain = forecast_run(store, spec_of(), AMOUNT, card)
    told = forecast_content(plain)
    assert told["compared_bytes"] == sum(part.bytes for part in plain.memory.parts if part.name != "framework")
    assert told["bytes"] == plain.memory.bytes


def test_a_run_s_phases_become_a_measurement(store, monkeypatch):
    names = ("reading data", "baselines", "loading model", "nearest neighbours", "training", "evaluating", "saving",
             "evaluating")  # fmt: skip
    phases = [Phase(name, 10.0 * number) for number, name in enumerate(names)]
    monkeypatch.setattr("core.training.measuring.time.monotonic", lambda: 85.0)
    spent = phase_seconds(phases)
    assert spent["evaluating"] == 10.0
    assert spent["report"] == 15.0, "the last of that name is the report's"
    told = forecast_content(forecast_run(store, spec_of(), AMOUNT, HERE))
    pace = Pace(steps=64, tokens=60_000, evaluations=2, seconds=7.0, evaluation_seconds=3.0)
    peaks = {"peak_memory_bytes": 1_100_000_000, "peak_gpu_memory_bytes": None}
    found = measurement_of(json.loads(json.dumps(told)), pace, spent, 100.0, peaks)
    assert found.train_work == WORK.token * 60_000
    assert found.forward_work == WORK.evaluation * 2 + WORK.once
    assert (found.forward_seconds, found.baseline_seconds, found.fixed_seconds) == (23.0, 10.0, 60.0)
    assert found.bytes == 1_100_000_000

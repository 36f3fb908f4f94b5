"""What a card does, from NVML's answers: a stand-in for the driver gives them as pynvml does, with its own types."""

import os
import subprocess
import sys
import time

import psutil
import pynvml
import pytest

from core import gpu_watch
from core.cli.arguments import parse
from core.cli.planning import plan
from core.doctor import about_other_programs
from core.gpu_card import HEAT, MEMORY, POWER, USE, Holder, look, sharing_words
from core.gpu_watch import SHARED, TOTAL, watching
from core.runs.store import Event, MetricPoint, Progress, open_store
from core.training import device_now
from core.training.memory import Device
from ui.run.live_gpu import gpu_html

GB = 10**9
TWO_CARDS = ("GPU-11111111-aaaa", "GPU-22222222-bbbb")


class Driver:
    """Two cards of 8 GB; card 1 holds 5 GB. What is in `silent` is answered with "Not Supported"."""

    def __init__(self, monkeypatch):
        self.silent = set()
        self.used = 5 * GB
        self.compute, self.graphics = [], []
        self.monkeypatch = monkeypatch
        self.open = 0
        for name in (
            "nvmlInit", "nvmlShutdown", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID",
            "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTemperature",
            "nvmlDeviceGetPowerUsage", "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses",
        ):  # fmt: skip
            monkeypatch.setattr(pynvml, name, self._answering(name))

    def _answering(self, name):
        def answer(*given):
            assert self.open or name == "nvmlInit"
            if name in self.silent:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return getattr(self, name)(*given)

        return answer

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return len(TWO_CARDS)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUUID(self, handle):
        return TWO_CARDS[handle]

    def nvmlDeviceGetMemoryInfo(self, handle):
        used = self.used if handle else 0
        return pynvml.c_nvmlMemory_t(total=8 * GB, free=8 * GB - used, used=used)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return pynvml.c_nvmlUtilization_t(gpu=93, memory=40)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return 71

    def nvmlDeviceGetPowerUsage(self, handle):
        return 141_500

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self.compute

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return self.graphics


def process(pid, used):
    """As pynvml gives it: a friendly object, with None where Windows tells no memory."""
    told = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value if used is None else used
    found = pynvml.nvmlStructToFriendlyObject(pynvml.c_nvmlProcessInfo_t(pid=pid, usedGpuMemory=told))
    if used is None:
        found.usedGpuMemory = None
    return found


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    return Driver(monkeypatch)


@pytest.fixture
def neighbour():
    """Another program: this computer's own sleep."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        yield other.pid
        other.kill()


def test_without_a_driver_there_is_no_card(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert look() is None


def test_a_card_tells_memory_use_heat_and_power(driver):
    sample = look()
    assert sample.metrics() == {MEMORY: 5.0 * GB, USE: 93.0, HEAT: 71.0, POWER: 141.5}
    assert sample.total_bytes == 8 * GB and sample.others == ()
    assert driver.open == 0


@pytest.mark.parametrize(
    ("visible", "used"), [("0", 0), ("1", 5 * GB), ("GPU-2222,GPU-1111", 5 * GB), ("GPU-11111111-aaaa", 0)]
)
def test_the_card_is_the_one_that_the_process_may_use(driver, monkeypatch, visible, used):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert look().used_bytes == used


@pytest.mark.parametrize("hidden", ["", "-1", "2", "GPU-33333333"])
def test_a_process_that_may_use_no_card_has_none(driver, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert look() is None


def test_what_the_driver_does_not_tell_is_left_out(driver):
    driver.silent = {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates"}
    assert look().metrics() == {MEMORY: 5.0 * GB, HEAT: 71.0}
    driver.silent = {"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses"}
    assert look().metrics() == {USE: 93.0, HEAT: 71.0, POWER: 141.5}


def test_a_card_that_is_lost_is_none(driver, monkeypatch):
    def lost(handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lost)
    assert look() is None and driver.open == 0


def test_other_programs_are_named_and_this_one_is_not(driver, neighbour):
    name = psutil.Process(neighbour).name()
    driver.compute = [process(os.getpid(), 3 * GB), process(neighbour, 1_100_000_000)]
    driver.graphics = [process(neighbour, 1_100_000_000), process(os.getppid(), None), process(2**31 - 7, GB)]
    sample = look()
    assert sample.others == (Holder(neighbour, name, 1_100_000_000),)
    assert sharing_words(sample.others) == f"{name} takes 1.1 GB of this card."
    assert look(own=frozenset({neighbour})).others == ()


def test_the_command_line_names_them_too(driver, neighbour, workspace, monkeypatch):
    name = psutil.Process(neighbour).name()
    assert about_other_programs() == []
    driver.compute = [process(neighbour, GB)]
    (finding,) = about_other_programs()
    assert (finding.state, finding.what) == ("note", f"{name} takes 1.0 GB of this card.")
    monkeypatch.setattr(device_now, "device_here", lambda: Device("cuda", "RTX", 8 * GB, 3 * GB))
    device_now._looked.cache_clear()
    data = workspace.root / "data.csv"
    data.write_text("text,label\n" + "".join(f"words {row},{row % 2}\n" for row in range(60)), encoding="utf-8")
    asked = ["plan", "--workspace", str(workspace.root), "--data", str(data), "--text", "text", "--label", "label"]
    told = plan(parse(asked), workspace)
    assert f"{name} takes 1.0 GB of this card." in told.text
    assert told.content["others"] == f"{name} takes 1.0 GB of this card."
    assert plan(parse([*asked, "--device", "8GB"]), workspace).content["others"] == ""
    device_now._looked.cache_clear()


def test_words_join_programs_and_leave_out_small_ones():
    held = (Holder(1, "game", 2 * GB), Holder(2, "chrome", GB), Holder(3, "chrome", GB // 2), Holder(4, "shell", 10**7))
    assert sharing_words(held) == "game takes 2.0 GB and chrome takes 1.5 GB of this card."
    assert sharing_words(held[3:]) == ""


@pytest.fixture
def run(workspace, monkeypatch):
    monkeypatch.setattr(gpu_watch, "SECONDS_BETWEEN_SAMPLES", 0.02)
    store = open_store(workspace)
    workspace.run("20261122-080000-aaaa").root.mkdir(parents=True)
    return store, store.add_run("20261122-080000-aaaa", "tiny", "p", "m", "q.csv")


def wait_for(found):
    until = time.monotonic() + 20
    while not found():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_keeps_samples_by_step_and_the_most_memory_of_each(driver, run, neighbour):
    store, run_id = run

    def points(name):
        return {point.step: point.value for point in store.metrics(run_id, [name])}

    with watching(store, run_id):
        wait_for(lambda: points(MEMORY) == {0: 5.0 * GB})
        driver.used = 4 * GB
        store.set_progress(run_id, Progress("scoring the untuned model", step=150, total_steps=600))
        driver.compute = [process(neighbour, GB)]
        wait_for(lambda: store.events(run_id, SHARED))
        assert points(MEMORY) == {0: 5.0 * GB}
        store.set_progress(run_id, Progress("training", step=7, total_steps=30, epochs=2.0))
        wait_for(lambda: points(MEMORY).get(7) == 4.0 * GB)
        driver.compute = []
        wait_for(lambda: store.events(run_id, SHARED)[-1].detail["words"] == "")
    assert "takes 1.0 GB of this card" in store.events(run_id, SHARED)[0].detail["words"]
    assert points(TOTAL) == {0: 8.0 * GB} and set(points(POWER)) == {0, 7}
    store.forget_metrics_after(run_id, 5)
    assert set(points(MEMORY)) == {0}


def test_a_run_without_a_card_keeps_nothing(run, monkeypatch):
    store, run_id = run
    monkeypatch.setattr(gpu_watch, "look", lambda: None)
    with watching(store, run_id):
        pass
    assert store.metrics(run_id) == []


def test_live_shows_the_card_small_and_who_else_is_on_it():
    curves = {
        name: [MetricPoint(step, name, value + step, 0.0) for step in (1, 2)]
        for name, value in ((MEMORY, 5.0 * GB), (USE, 90.0), (HEAT, 70.0))
    } | {TOTAL: [MetricPoint(0, TOTAL, 8.0 * GB, 0.0)]}
    shared = [Event(1.0, SHARED, {"names": "<b>", "words": "<b> takes 1.1 GB of this card."})]
    html = gpu_html(curves, shared, "running", None)
    assert "5.0 GB" in html and "of 8.0 GB" in html and "92 %" in html and "72 °C" in html
    assert "power" not in html
    assert "&lt;b&gt; takes 1.1 GB of this card." in html
    assert "takes" not in gpu_html(curves, shared, "finished", None)
    assert gpu_html({}, shared, "running", None) == ""

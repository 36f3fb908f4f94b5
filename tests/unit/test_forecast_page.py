"""What the page says of memory and time before a run, and what its buttons do to the draft."""

import csv
import re
from dataclasses import replace
from typing import get_args

import gradio as gr
import pytest

from core.durations import rough
from core.errors import UserError
from core.gpu_card import Holder, Sample
from core.models.layers import CachePlan
from core.presets import load_presets
from core.probe_jobs import Forecasted, ProbeJob, ProbeResult
from core.runs.store import open_store
from core.training import device_now
from core.training.fit import MARGIN, Change, Fit
from core.training.forecast import Forecast
from core.training.memory import Device, MemoryForecast, MemoryPart, PartName
from ui.new_run.cards import cards_html
from ui.new_run.draft import changed_keys, choose_preset, editing, new_draft, read_draft, spec_of
from ui.new_run.draft_plan import fit_of, plan_of, take_fit, undo_fit
from ui.new_run.forecast_card import build_forecast, device_choices, fitted_html, following_view
from ui.new_run.memory_bar import PART_WORDS, forecast_html, verdict_of, verdict_words
from ui.new_run.preset_forecasts import preset_forecasts
from ui.new_run.probe_part import Tried, is_current, job_html, mark_of, probe_of

GB = 10**9
CARD = Device("cuda", "NVIDIA RTX 3060", 8 * GB, 7_400_000_000)
DRAFT = "20261122-080000-aaaa"


def memory(**parts):
    return MemoryForecast(tuple(MemoryPart(name, size, "Why <b>.") for name, size in parts.items()))


def widths(html):
    return {name: float(width) for name, width in re.findall(r'<i class="part-(\w+)" style="width:([\d.]+)%', html)}


@pytest.fixture
def draft(tmp_path):
    """900 texts of about 620 tokens in three classes."""
    path = tmp_path / "long.csv"
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        writer.writerows([f"{'word ' * 600}{number:05}", "abc"[number % 3]] for number in range(900))
    draft = new_draft(DRAFT)
    draft.put("data.train", {"path": str(path)})
    draft.spec["mapping"] |= {"text": ["text"], "label": "label"}
    return draft


@pytest.fixture
def store(workspace):
    return open_store(workspace)


# The bar


def test_every_part_that_there_can_be_has_a_name():
    assert set(PART_WORDS) == set(get_args(PartName))


def test_the_verdict_says_what_is_needed_of_what_is_free():
    fits = memory(weights=3 * GB, framework=100_000_000)
    assert verdict_words(fits, CARD, True) == "Fits: 3.1 of 7.4 GB free on NVIDIA RTX 3060"
    over = memory(weights=8_600_000_000)
    assert verdict_words(over, CARD, True) == "Too much by 1.2 GB for NVIDIA RTX 3060: press Make it fit"
    chosen = Device("cuda", "6 GB card", 6 * 2**30, 6 * 2**30)
    assert verdict_words(fits, chosen, False) == "Fits: 3.1 GB on the 6 GB card"
    computer = Device("cpu", "AMD", 16 * GB, 9 * GB)
    assert verdict_words(fits, computer, True) == "Fits: 3.1 of 9.0 GB free in this computer's memory"


def test_what_leaves_less_than_the_margin_only_just_fits():
    limit = int((1 - MARGIN) * CARD.free_bytes)
    assert verdict_of(memory(weights=limit), CARD) == "fits"
    assert verdict_of(memory(weights=limit + 1), CARD) == "tight"
    assert verdict_of(memory(weights=CARD.free_bytes), CARD) == "tight"
    assert verdict_of(memory(weights=CARD.free_bytes + 1), CARD) == "too much"
    assert verdict_words(memory(weights=7_300_000_000), CARD, True).startswith("Only just fits: 7.3 of 7.4 GB")


def test_the_bar_is_the_card_with_what_is_in_use_and_every_part_in_its_share():
    told = Forecast(memory(weights=2 * GB, activations=1 * GB), None, CARD, 250.0, ())
    html = forecast_html(told, True)
    assert widths(html) == {"used": 7.5, "weights": 25.0, "activations": 12.5}
    assert '<u style="width:100.00%">' in html
    assert 'role="img" aria-label="3.0 GB of 8.0 GB on NVIDIA RTX 3060; 0.6 GB of it are in use already: ' in html
    assert "Model 2.0 GB, Activations 1.0 GB." in html
    assert "about 4 min" in html
    assert "<b>." not in html and "Why &lt;b&gt;." in html
    over = forecast_html(replace(told, memory=memory(weights=15_400_000_000)), True)
    assert widths(over)["weights"] == pytest.approx(96.25)
    assert '<u style="width:50.00%">' in over


def test_the_legend_keeps_its_places():
    few = forecast_html(Forecast(memory(weights=GB), None, CARD, None, ()), True)
    many = forecast_html(Forecast(memory(**dict.fromkeys(PART_WORDS, GB // 9)), None, CARD, None, ()), True)
    places = [re.findall(r'<li[^>]*><i class="part-(\w+)"', html) for html in (few, many)]
    assert places[0] == places[1] == list(get_args(PartName))


def test_what_is_not_known_is_said():
    unknown = forecast_html(Forecast(None, None, CARD, None, ("The sizes of <x> are not known.",)), True)
    assert "not known" in unknown and "The sizes of &lt;x&gt; are not known." in unknown
    assert "memory-bar" not in unknown
    kept = CachePlan("memory", 5, "What 4 layers say is kept.")
    told = Forecast(memory(weights=GB), None, CARD, None, ("Time is a guess.", kept.words), cache=kept)
    html = forecast_html(told, True, others="chrome takes 1.1 GB of this card.")
    assert "time not known yet" in html and "Time is a guess." in html
    assert kept.words not in html
    assert "chrome takes 1.1 GB of this card. Closing other programs leaves more room." in html


def test_times_are_as_coarse_as_a_forecast():
    assert [rough(seconds) for seconds in (3, 44, 130, 3_500, 9_000, 7_200)] == [
        "10 s", "40 s", "2 min", "58 min", "2 h 30 min", "2 h",
    ]  # fmt: skip


# From the draft


def test_without_data_texts_are_taken_to_be_as_long_as_can_be(workspace, store):
    for name in load_presets():
        empty = new_draft(DRAFT)
        choose_preset(empty, name)
        plan = plan_of(workspace, store, empty)
        assert plan.forecast.workload.tokens == plan.spec.model.max_length
        assert plan.forecast.seconds is None
        assert f"{plan.spec.model.max_length:,} tokens" in plan.words[0]


def test_every_setting_counts_and_a_wrong_one_is_the_last_that_was_right(workspace, store, draft):
    def needed(**settings):
        for key, value in settings.items():
            draft.put(key.replace("__", "."), value)
        return plan_of(workspace, store, draft).forecast.memory.bytes

    first = needed()
    assert needed(model__max_length=512) > first
    assert needed(training__batch_size=64) > needed(training__batch_size=8)
    before = needed(training__batch_size=16)
    assert needed(model__method="head") < before
    draft.raw["training.batch_size"] = "many"
    plan = plan_of(workspace, store, draft)
    assert plan.forecast.memory.bytes == needed()
    assert "With the last value that can be used of: Batch, rows." in plan.words


def test_an_unknown_model_has_no_forecast_and_says_so(workspace, store, draft):
    draft.put("model.source", "somebody/else")
    plan = plan_of(workspace, store, draft)
    assert plan.forecast.memory is None
    assert "somebody/else are not known" in plan.forecast.words[0]
    assert fit_of(plan) is None


def test_a_model_that_cannot_learn_the_labels_has_none(workspace, store, draft):
    draft.spec["mapping"] |= {"kind": "multi"}
    choose_preset(draft, "mistral-7b-qlora")
    with pytest.raises(UserError, match="cannot learn these labels"):
        plan_of(workspace, store, draft)


def test_a_model_for_gpus_is_not_called_fitting_on_a_processor(workspace, store, draft, monkeypatch):
    monkeypatch.setattr(device_now, "device_here", lambda: Device("cpu", "AMD", 16 * GB, 9 * GB))
    choose_preset(draft, "llama-3.2-1b-4bit")
    assert plan_of(workspace, store, draft).lacks_gpu
    with gr.Blocks():
        card = build_forecast("model")
    shown = following_view(workspace, store, card, draft)
    assert "needs an NVIDIA GPU" in shown[card.told] and "Fits" not in shown[card.told]
    draft.device = "8GB"
    assert not plan_of(workspace, store, draft).lacks_gpu
    assert "Fits" in following_view(workspace, store, card, draft)[card.told]
    draft.device = "here"
    draft.put("model.source", str(workspace.root))  # a small one of the person's own
    assert not plan_of(workspace, store, draft).lacks_gpu


def test_the_device_is_kept_with_the_draft(workspace, store):
    with editing(store, DRAFT) as draft:
        assert draft.device == "here"
        draft.device = "8GB"
    plan = plan_of(workspace, store, read_draft(store, DRAFT))
    assert plan.forecast.device.total_bytes == 8 * 2**30 and not plan.is_here
    assert [key for _, key in device_choices()] == ["here", "6GB", "8GB", "12GB", "16GB", "24GB"]


def test_what_the_running_run_holds_counts_as_free_and_others_are_named(workspace, store, monkeypatch):
    held = Sample(8 * GB, 5 * GB, 3, 40, 50.0, (Holder(7, "chrome", GB),), own_bytes=3 * GB)
    monkeypatch.setattr(device_now, "device_here", lambda: Device("cuda", "RTX", 8 * GB, 3 * GB))
    monkeypatch.setattr(device_now, "look", lambda own: held)
    device_now._looked.cache_clear()
    now = device_now.device_now(store)
    assert now.device.free_bytes == 6 * GB
    assert now.others == "chrome takes 1.0 GB of this card."
    monkeypatch.setattr(device_now, "look", lambda own: None)
    device_now._looked.cache_clear()
    assert device_now.device_now(store).device.free_bytes == 3 * GB
    device_now._looked.cache_clear()


# Make it fit


def test_what_was_changed_is_listed_and_can_be_taken_back(draft):
    before = (draft.get("training.batch_size"), draft.get("training.gradient_checkpointing"))
    draft.raw["training.batch_size"] = "many"
    changes = (
        Change("training.batch_size", 32, 4, "Fewer rows <b>."),
        Change("training.gradient_checkpointing", False, True, "Computed again."),
    )
    take_fit(draft, Fit(None, changes, None, True))
    assert draft.raw == {} and draft.get("training.batch_size") == 4
    assert {change.key for change in changes} <= set(changed_keys(draft))
    html = fitted_html(draft)
    assert "<b>Batch, rows</b> 32 → <b>4</b> <span>Fewer rows &lt;b&gt;.</span>" in html
    assert "Gradient checkpointing</b> off → <b>on</b>" in html
    draft.put("training.batch_size", 2)
    assert "Batch" not in fitted_html(draft)
    undo_fit(draft)
    assert (draft.get("training.batch_size"), draft.get("training.gradient_checkpointing")) == (2, before[1])
    assert fitted_html(draft) == ""


def test_a_run_that_is_too_much_is_made_to_fit_and_the_forecast_says_the_same(workspace, store, draft):
    choose_preset(draft, "modernbert-base")
    for key, value in (("model.max_length", 512), ("training.batch_size", 64)):
        draft.put(key, value)
    draft.device = "6GB"
    plan = plan_of(workspace, store, draft)
    assert verdict_of(plan.forecast.memory, plan.forecast.device) == "too much"
    rows = draft.get("training.batch_size") * draft.get("training.gradient_accumulation")
    fit = fit_of(plan)
    take_fit(draft, fit)
    after = plan_of(workspace, store, draft)
    assert after.forecast.memory == fit.forecast
    assert verdict_of(after.forecast.memory, after.forecast.device) == "fits"
    assert draft.get("training.batch_size") * draft.get("training.gradient_accumulation") == rows


def test_another_preset_forgets_what_was_changed_to_fit(draft):
    take_fit(draft, Fit(None, (Change("training.batch_size", 32, 4, "Fewer rows."),), None, True))
    choose_preset(draft, "bert-base")
    assert draft.fit == []


# A few real steps


def job(state, **told):
    usual = {"phase": "", "done": 0, "total": 0, "created": 0.0, "result": None, "error": None, "out_of_memory": False}
    return ProbeJob(id="20261122-080000-pppp", state=state, **usual | told)


def measured(peak, forecast):
    foretold = Forecasted(
        kind="cpu", device="AMD", free_bytes=9 * GB, bytes=forecast, compared_bytes=forecast, seconds=None
    )
    return ProbeResult(peak, None, peak, 0.5, 100, 50.0, 5.0, foretold)


def test_a_probe_says_how_far_it_is_and_what_it_found():
    going = job_html(job("running", phase="training", done=2, total=5), True)
    assert "Trying: training, step 2 of 5" in going and "width:40.0%" in going
    assert "Cancelled" in job_html(job("stopped"), True)
    found = job("finished", result=measured(3 * GB, 2 * GB))
    assert "Tried:" in job_html(found, True) and "other settings" not in job_html(found, True)
    assert "Tried with other settings than these" in job_html(found, False)
    failed = job("failed", error={"what": "<b> is short.", "where": "GPU", "todo": "Make it fit."}, out_of_memory=True)
    assert "&lt;b&gt; is short." in job_html(failed, True)


def test_a_probe_counts_as_long_as_the_settings_are_those_that_were_tried(workspace, draft):
    draft.probe = {"job": "20261122-080000-gone", "mark": mark_of(spec_of(draft))}
    assert probe_of(workspace, draft) is None
    assert is_current(draft)
    draft.put("name", "Another name")
    assert is_current(draft)
    draft.put("training.batch_size", 3)
    assert not is_current(draft)


def test_what_was_measured_corrects_what_is_made_to_fit(workspace, store, draft):
    plan = plan_of(workspace, store, draft)
    needed = plan.forecast.memory.bytes
    more = Tried(job("finished", result=measured(2 * needed, needed)))
    assert more.corrected(plan).forecast.workload.measured_ratio == pytest.approx(2.0)
    assert more.fits == (2 * needed <= 9 * GB)
    assert not Tried(job("failed", out_of_memory=True)).fits


# Preset cards


def test_each_card_says_what_it_takes_here(workspace, store, draft, monkeypatch):
    here = Device("cpu", "AMD", 16 * GB, 9 * GB)
    monkeypatch.setattr(device_now, "device_here", lambda: here)
    presets = list(load_presets().values())
    found = preset_forecasts(workspace, store, draft, presets)
    assert set(found) == {preset.name for preset in presets}
    assert re.fullmatch(r"\d+\.\d GB of memory", found["quickstart-minilm"][0])
    assert re.search(r"on a GPU: a card of \d+ GB is enough", found["mistral-7b-qlora"][0])
    small = Device("cpu", "AMD", 2 * GB, GB // 2)
    monkeypatch.setattr(device_now, "device_here", lambda: small)
    words, fits = preset_forecasts(workspace, store, draft, presets)["bert-base"]
    assert not fits and "more than this computer's memory has free" in words
    html = cards_html(presets, "bert-base", {}, has_gpu=False, forecasts={"bert-base": (f"<{words}>", fits)})
    assert 'too-much">&lt;' in html

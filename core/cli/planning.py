"""`launch.py plan`: what a run will take in memory, disk and time, part by part, before it begins. Trains nothing;
with --fit and --probe see core/cli/probing.py."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.cli.answer import DONE, Answer, note
from core.cli.probing import fit_answer, fit_of, probe_answer
from core.cli.training import spec_of_request
from core.data.amount import Amount
from core.data.chat_checks import check_chat
from core.data.checks import check_data
from core.data.findings import raise_errors
from core.data.table import Table, open_tables
from core.durations import rough
from core.models.known import require_known_sizes
from core.presets import wants_gpu
from core.runs.store import Store, open_store
from core.schema import RunSpec
from core.training.device_now import Here, device_asked
from core.training.forecast import Forecast, forecast_run
from core.training.memory import Device
from core.training.past_forecasts import Errors, past_forecasts
from core.training.reading import amount_for
from core.workspace import Workspace

BAR = 30
"""Characters of the largest part's bar."""


def plan(request: argparse.Namespace, workspace: Workspace) -> Answer:
    spec = spec_of_request(request, workspace)
    require_known_sizes(spec.model)
    store = open_store(workspace)
    on = device_asked(request.device, store)
    tables = open_tables(spec.data, workspace)
    amount = amount_for(spec, tables)
    if not amount.rows["train"]:
        _require_rows(spec, tables)
    forecast = forecast_run(store, spec, amount, on.device)
    told = Answer("\n".join(_lines(spec, amount, forecast, on, store)), plan_content(amount, forecast, on, store))
    if request.fit:
        fit = fit_of(forecast, spec)
        told = _with(told, "fit", fit_answer(fit, Path(request.to) if request.to else None))
        if request.probe and fit.changes:
            spec = fit.spec
            forecast = forecast_run(store, spec, amount_for(spec, open_tables(spec.data, workspace)), on.device)
    if request.probe and told.code == DONE:
        note(told.text)
        told = _with(told, "probe", probe_answer(workspace, spec, forecast))
    return told


def _require_rows(spec: RunSpec, tables: Mapping[str, Table]) -> None:
    """Raises UserError with what the checks say of data of which nothing can be learned."""
    if spec.task == "chat":
        raise_errors(check_chat(tables, spec.mapping, spec.split))
        return
    validation, test = tables.get("validation"), tables.get("test")
    raise_errors(check_data(tables["train"], validation, test, spec.mapping, spec.split, spec.data.cleaning))


def _with(told: Answer, name: str, more: Answer) -> Answer:
    return Answer(f"{told.text}\n\n{more.text}", told.content | {name: more.content}, more.code)


def plan_content(amount: Amount, forecast: Forecast, on: Here, store: Store) -> dict[str, Any]:
    """Bytes, seconds and tokens; null is what is not known, and `unknown` names it."""
    memory, disk, workload = forecast.memory, forecast.disk, forecast.workload
    known = {"memory": memory, "seconds": forecast.seconds, "disk": disk}
    past = past_forecasts(store)
    return {
        "device": asdict(forecast.device),
        "bytes": memory.bytes if memory is not None else None,
        "parts": {part.name: part.bytes for part in memory.parts} if memory is not None else {},
        "fits": forecast.fits,
        "others": on.others,
        "seconds": forecast.seconds,
        "disk": asdict(disk) if disk is not None else None,
        "rows": amount.rows,
        "tokens": amount.tokens,
        "longest_tokens": workload.tokens if workload is not None else None,
        "usual_tokens": forecast.usual_tokens,
        "answer_tokens": workload.answer_tokens if workload is not None else None,
        "unknown": [name for name, value in known.items() if value is None],
        "words": list(forecast.words),
        "past": {"memory": _past(past.memory), "seconds": _past(past.time)},
    }


def _past(errors: Errors) -> dict[str, Any]:
    """Forecast to actual, less one: above 0 it was too high."""
    if not errors.shares:
        return {"runs": 0}
    found = {"median": errors.median, "highest": errors.highest, "lowest": errors.lowest}
    return {"runs": len(errors.shares), **{name: round(value, 4) for name, value in found.items()}}


def _lines(spec: RunSpec, amount: Amount, forecast: Forecast, on: Here, store: Store) -> list[str]:
    rows = ", ".join(f"{part} {count:,}" for part, count in amount.rows.items())
    lines = [
        f"{spec.name or spec.preset} on {device_words(forecast.device)}",
        f"Rows: {rows}. 99 of 100 have up to {forecast.usual_tokens:,} tokens"
        + (f", the longest {forecast.workload.tokens:,}." if forecast.workload is not None else "."),
        "",
        *_memory_lines(forecast),
        "",
    ]
    lines.append(" ".join(filter(None, [verdict(forecast), on.others])))
    if on.device.kind == "cpu" and wants_gpu(spec.preset, spec.model.source):
        lines.append("But it needs an NVIDIA GPU; --device 8GB says what it takes on a card of 8 GB.")
    if forecast.seconds is not None:
        lines.append(f"It takes about {rough(forecast.seconds)}.")
    if forecast.disk is not None:
        lines.append(forecast.disk.words)
    past = past_forecasts(store)
    told = [f"Forecasts of memory so far: {past.memory.words}; of time: {past.time.words}."]
    return [*lines, *forecast.words, *(told if past.memory.shares or past.time.shares else [])]


def _memory_lines(forecast: Forecast) -> list[str]:
    if forecast.memory is None:
        return []
    largest = max(part.bytes for part in forecast.memory.parts)
    lines = [
        f"{part.name:<13}{size(part.bytes):>9}  {'█' * max(1, round(BAR * part.bytes / largest)):<{BAR}}  {part.words}"
        for part in forecast.memory.parts
    ]
    return [*lines, f"{'together':<13}{size(forecast.memory.bytes):>9}"]


def verdict(forecast: Forecast) -> str:
    if forecast.memory is None:
        return "What it takes in memory is not known."
    needed, device = forecast.memory.bytes, forecast.device
    if forecast.fits:
        share = 100 * needed / device.free_bytes
        return f"It fits: {size(needed)} of the {size(device.free_bytes)} that are free, {share:.0f} %."
    return f"It does not fit: {size(needed)}, and {size(device.free_bytes)} are free."


def device_words(device: Device) -> str:
    kind = "the processor" if device.kind == "cpu" else "GPU"
    return f"{kind} ({device.name}; {size(device.free_bytes)} of {size(device.total_bytes)} free)"


def size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"

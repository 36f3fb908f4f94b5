"""Run / Live: what the run's GPU does, small, and which other programs hold memory of it; nothing without a GPU."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape

from core.gpu_card import HEAT, MEMORY, NAMES, POWER, USE
from core.gpu_watch import SHARED, TOTAL
from core.runs.store import ACTIVE, Event, MetricPoint, Progress, Run, Store
from ui.plots import Reference, Series, line_chart
from ui.words import training_steps

COLOUR = "var(--td-other)"
GB = 1e9


def gpu_of_run(store: Store, run: Run) -> str:
    """Markup from what the run's worker has written down so far."""
    curves: dict[str, list[MetricPoint]] = defaultdict(list)
    for point in store.curves(run.id, (*NAMES, TOTAL)):
        curves[point.name].append(point)
    return gpu_html(curves, store.events(run.id, SHARED), run.state, run.progress)


def gpu_html(
    curves: Mapping[str, Sequence[MetricPoint]], events: Sequence[Event], state: str, progress: Progress | None
) -> str:
    """Charts of what the driver tells. curves: by metric, among them those of core.gpu_watch."""
    charts: list[tuple[str, str, float, Callable[[float], str]]] = [
        (MEMORY, "Card memory", GB, "{:.1f} GB".format),
        (USE, "Card busy", 1, "{:.0f} %".format),
        (HEAT, "Card heat", 1, "{:.0f} °C".format),
        (POWER, "Card power", 1, "{:.0f} W".format),
    ]
    steps, whole = training_steps(progress), _whole(curves)
    drawn = "".join(
        line_chart(
            title,
            [Series("card", COLOUR, [at.step for at in curves[name]], [at.value / unit for at in curves[name]])],
            references=whole if name == MEMORY else (),
            total_steps=steps,
            y_range=(0.0, 100.0) if name == USE else (0.0, whole[0].value) if name == MEMORY and whole else None,
            height=84,
            show=show,
            small=True,
        )
        for name, title, unit, show in charts
        if curves.get(name)
    )
    return f'{_others_html(events, state)}<div class="td-small">{drawn}</div>' if drawn else ""


def _whole(curves: Mapping[str, Sequence[MetricPoint]]) -> tuple[Reference, ...]:
    """The card's own memory, as a line to stay under."""
    total = curves.get(TOTAL)
    return (Reference(f"of {total[-1].value / GB:.1f} GB", total[-1].value / GB),) if total else ()


def _others_html(events: Sequence[Event], state: str) -> str:
    """Who else holds memory of the card, as long as that matters."""
    told = [event.detail["words"] for event in events if event.kind == SHARED]
    if state not in ACTIVE or not told or not told[-1]:
        return ""
    return f'<p class="td-hint td-note">{escape(told[-1])} Closing other programs leaves this run more room.</p>'

"""Settings / Forecasts: how far what was said before a run began was from what it took, over all runs."""

from html import escape

from core.runs.store import open_store
from core.training.past_forecasts import Errors, past_forecasts
from core.workspace import Workspace

NONE_YET = (
    "No run has been held against its forecast yet. Each that finishes is told of here, and the next forecast learns "
    "from it."
)
RESTS_ON = (
    "Memory of the next run is corrected by the median of the last runs on the same kind of device; time is forecast "
    "from how fast runs like it went on it."
)


def past_forecasts_html(workspace: Workspace) -> str:
    past = past_forecasts(open_store(workspace))
    lines = [("memory", past.memory), ("time", past.time)]
    rows = "".join(_row(name, errors) for name, errors in lines if errors.shares)
    told = (
        f'<table class="room"><tbody>{rows}</tbody></table><p class="quiet">{escape(RESTS_ON)}</p>'
        if rows
        else f'<p class="quiet">{escape(NONE_YET)}</p>'
    )
    return f"<h3>Forecasts</h3>{told}"


def _row(name: str, errors: Errors) -> str:
    return f"<tr><th scope=row>{name}</th><td>{escape(errors.words)}</td></tr>"

"""Run / Live: what the run had to do otherwise than it was asked, and what is wrong with what it learns."""

from collections.abc import Sequence
from html import escape

from core.evaluation.html import LONGEST_REASON
from core.runs.store import ACTIVE, Event
from core.training.collapse import open_notices


def collapse_html(events: Sequence[Event], state: str) -> str:
    """Notices that still hold, each with what to try; '' where learning goes well."""
    how = (
        "It goes on as it is. Duplicate makes a copy to change; Stop and keep ends this one."
        if state in ACTIVE
        else "Duplicate makes a copy to change."
    )
    return "".join(
        f'<div class="td-trouble td-warn" role="status"><strong dir="auto">{escape(notice.what)}</strong>'
        f'<p dir="auto">{escape(notice.todo)}</p><p class="td-hint">{how}</p></div>'
        for notice in open_notices(events)
    )


def notes_html(events: Sequence[Event]) -> str:
    """The smaller batches that fit, and why Unsloth was left out; '' where all went as asked."""
    last = {event.kind: event.detail for event in events}
    lines = []
    if "smaller_batch" in last:
        rows, batches = last["smaller_batch"]["batch_size"], last["smaller_batch"]["gradient_accumulation"]
        lines.append(
            f"Memory was full: {rows:,} {'row' if rows == 1 else 'rows'} a batch, {batches:,} "
            f"{'batch' if batches == 1 else 'batches'} a step; it learns the same."
        )
    if "gradient_checkpointing" in last:
        lines.append("Memory was full at one row a batch: gradient checkpointing takes less, and a third longer.")
    if "shorter_texts" in last:
        lines.append(
            f"Memory was full: as you allowed it, texts are cut at {last['shorter_texts']['max_length']:,} tokens."
        )
    if "backend_refused" in last:
        reason = " ".join(str(last["backend_refused"]["reason"]).split())[:LONGEST_REASON]
        lines.append(f"Trained with transformers, not Unsloth: {reason}")
    return "".join(f'<p class="td-hint td-note" dir="auto">{escape(line)}</p>' for line in lines)

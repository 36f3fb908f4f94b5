"""What the Prompt step shows, as markup; everything that comes from data or is typed is escaped here."""

import re
from collections.abc import Collection, Sequence
from html import escape

from core.errors import UserError
from core.prompt_preview import Preview, Problem, Segment

CUT_SHOWN = 2000
"""Characters of the part that is cut off; a cell may hold megabytes."""
CHIPS_SHOWN = 40
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
SIGNS = {"error": "Must be put right", "warning": "Look at this"}


def chips_html(names: Sequence[str]) -> str:
    """A button for each placeholder that may stand in a field. Names with braces cannot be written as one."""
    possible = [name for name in names if not set("{}\n") & set(name)]
    chips = "".join(
        f'<button type="button" data-insert="{{{escape(name)}}}" dir="auto" title="Insert {{{escape(name)}}}">'
        f"{{{escape(name)}}}</button>"
        for name in possible[:CHIPS_SHOWN]
    )
    more = len(possible) - CHIPS_SHOWN
    return chips + (f"<span>and {more:,} more columns</span>" if more > 0 else "")


def note_html(problems: Sequence[Problem], is_changed: bool) -> str:
    """What is wrong with a field, and the way back to the preset's; '' where there is nothing to say."""
    said = "".join(
        f'<p class="{"bad" if problem.severity == "error" else "warn"}"'
        f"{' role=alert' if problem.severity == 'error' else ''}>"
        f'<span class="unseen">{SIGNS[problem.severity]}: </span>{escape(problem.what)} {escape(problem.todo)}</p>'
        for problem in problems
    )
    return said + ("<p>Changed from the preset. <button type=button>Reset</button></p>" if is_changed else "")


def text_html(preview: Preview, control_tokens: Collection[str]) -> str:
    """The text that the model reads: what it learns coloured a token at a time, what is cut struck through."""
    pattern = re.compile("|".join(map(re.escape, sorted(control_tokens, key=len, reverse=True))) or "(?!)")
    parts = "".join(_segment(segment, pattern) for segment in preview.segments)
    return f'<div class="prompt-text" tabindex="0" aria-label="What the model reads of this row">{parts}</div>'


def _segment(segment: Segment, control: re.Pattern[str]) -> str:
    if segment.kind == "learned":
        return f'<mark class="learned">{_token(segment.text)}</mark>'
    if segment.kind == "cut":
        rest = len(segment.text) - CUT_SHOWN
        more = f"<em> … and {rest:,} more characters</em>" if rest > 0 else ""
        return f'<del class="cut">{visible(segment.text[:CUT_SHOWN])}{more}</del>'
    pieces, end = [], 0
    for match in control.finditer(segment.text):
        pieces += [visible(segment.text[end : match.start()]), f'<i class="control">{escape(match[0])}</i>']
        end = match.end()
    return f"<span>{''.join(pieces)}{visible(segment.text[end:])}</span>"


def _token(text: str) -> str:
    """A learned token, in which line ends and blanks have to be seen."""
    return visible(text).replace("\n", "<b>↵</b>\n").replace("\t", "<b>⇥</b>\t")


def visible(text: str) -> str:
    """Escaped, with control characters as signs for them; line ends and tabs stay what they are."""
    return escape(_CONTROL.sub(lambda match: "␡" if match[0] == "\x7f" else chr(0x2400 + ord(match[0])), text))


def count_html(preview: Preview) -> str:
    """`212 of 512 tokens, 3 learned`."""
    full = ' class="full"' if any(segment.kind == "cut" for segment in preview.segments) else ""
    return (
        f"<p{full}><b>{preview.tokens:,}</b> of {preview.max_length:,} tokens, "
        f"<b>{preview.learned_tokens}</b> learned</p>"
    )


def position_html(number: int, total: int) -> str:
    return f"<h3>Row {number + 1:,} <small>of {total:,}</small></h3>"


def legend_html() -> str:
    return (
        '<p class="legend"><mark class="learned">to</mark><mark class="learned">kens</mark> that it learns '
        '<del class="cut">text</del> that is cut</p>'
    )


def no_preview_html(error: UserError) -> str:
    """Why there is nothing to show; the fields can be filled in all the same."""
    return (
        f'<div class="no-preview" role="status"><strong>No preview yet.</strong> {escape(error.what)} '
        f"{escape(error.todo)} The prompt can be written all the same.</div>"
    )

"""Conversations as bubbles; everything in them is escaped, what is long folds open."""

from collections.abc import Mapping, Sequence
from html import escape

CLAMPED_FROM = 320
"""Characters above which a message is folded."""
LONGEST_MESSAGE = 6000
MESSAGES_SHOWN = 4
WHO = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def conversation_html(messages: Sequence[Mapping[str, str]], tools: int = 0) -> str:
    """Messages in their order, {"role", "content"} each; `tools`: how many tools the model was told of."""
    told = f'<p class="talk-note">{tools:,} tool{"s" if tools != 1 else ""} to call</p>' if tools else ""
    shown = "".join(map(bubble_html, messages[:MESSAGES_SHOWN]))
    rest = messages[MESSAGES_SHOWN:]
    folded = "".join(map(bubble_html, rest))
    words = f"{len(rest):,} more message{'s' if len(rest) != 1 else ''}"
    more = f'<details class="talk-rest"><summary>{words}</summary><div class="talk">{folded}</div></details>'
    return f'<div class="talk">{told}{shown}{more if rest else ""}</div>'


def bubble_html(message: Mapping[str, str]) -> str:
    role = message["role"]
    return (
        f'<div class="said-by {role if role in WHO else ""}"><b>{escape(WHO.get(role, role))}</b>'
        f"{clamped_html(message['content'])}</div>"
    )


def clamped_html(text: str) -> str:
    """A text, right to left where it is; a long one shows its beginning, a very long one is cut."""
    if len(text) <= CLAMPED_FROM:
        return f'<p dir="auto">{escape(text)}</p>'
    cut = f" … ({len(text) - LONGEST_MESSAGE:,} more characters)" if len(text) > LONGEST_MESSAGE else ""
    return (
        f'<details class="clamp"><summary><p dir="auto">{escape(text[:CLAMPED_FROM])}… <em>more</em></p></summary>'
        f'<p dir="auto">{escape(text[:LONGEST_MESSAGE])}{cut}</p></details>'
    )

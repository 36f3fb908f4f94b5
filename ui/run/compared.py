"""What the paired tests say of a run's model beside the baselines, and how sure that is, below the verdict."""

from collections.abc import Sequence
from html import escape


def compared_html(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="td-compared">{items}</ul>' if items else ""

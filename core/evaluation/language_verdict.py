"""What a verdict says where the model was not made for the language of the texts, and a baseline is as good."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.evaluation.verdict import Verdict
from core.models.word_fit import MULTILINGUAL, WordFit, fit_words


def with_language(judged: Verdict, fit: Mapping[str, Any] | None) -> Verdict:
    """With a sentence behind the headline. fit: WordFit as a mapping, None where it was not measured."""
    beaten = "tfidf" in judged.comparisons and judged.comparisons["tfidf"].outcome == "better"
    if fit is None or beaten or not judged.comparisons or WordFit(**fit).fits:
        return judged
    words = (
        f"{fit_words(WordFit(**fit))} A model for this language, or a multilingual one such as the preset "
        f"{MULTILINGUAL}, may do better."
    )
    headline, *rest = judged.sentences
    return replace(judged, sentences=(headline, words, *rest))

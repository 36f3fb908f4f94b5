"""Whether a model's tokenizer was made for the language of some texts: how many of their words it has whole.

Every tokenizer holds the common words of the language that it was made from as single tokens, and spells others out in
pieces, or not at all. English words of the same commonness, through the same tokenizer, are the measure beside it. A
word is a run of letters; in scripts that are written without spaces, where no tokenizer could have whole words, a
character. Says nothing of how good the model is, and of a language that shares its common words with English little.
Light: no torch, no transformers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from core.data.characters import Characters
from core.data.scripts import NAMES, letters

WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
LEAST_WORDS = 200
MOST_WORDS = 20_000
POOR = 0.5
"""A model fits badly where it has less than this share of what it has of English."""
NOTABLE = 0.05
"""Share of unknown tokens that is worth saying."""
MULTILINGUAL = "multilingual-e5-small"
"""The preset to try where no model for the language itself is known."""
ENGLISH = (
    "The people who came to the house in the morning said that they had seen nothing of the road for many days and "
    "that the water was still too high to cross with a horse. We asked them where they wanted to go next and how long "
    "it would take, but no one could tell us, because the old man had gone to the village to find some food and a "
    "place to stay for the night. I think that you should read this letter before you give it to your brother, who "
    "knows more about the business of the company than anyone else in the city. She was very happy with the new book, "
    "which she found in a small shop near the station, and she told all her friends that it was the best story she "
    "had ever read. What is the name of the river that runs through the north of the country? The government wants "
    "to change the law this year, but a large part of the public does not agree and has called for another vote. "
    "The service was good and the room was clean, but the price was much higher than we had expected, so we will not "
    "come back again. My phone stopped working after two weeks and the company did not want to give me my money back. "
    "Most of the students learn a second language at school, and many of them later work in other parts of the world. "
    "When the war was over, the army left the town and the soldiers returned to their families. Please send me the "
    "number of my account and the date of my last order, and let me know how I can pay by card."
)
"""Everyday English, written for this."""


@dataclass(frozen=True)
class WordFit:
    script: str
    """That most letters are of, as core.data.scripts names it."""
    words: int
    """Looked at; of scripts without spaces characters."""
    whole: float
    """Share of them that are a single known token."""
    unknown: float
    """Share of the tokens that stand for something unknown."""
    english_whole: float
    """`whole` of English words, through the same tokenizer."""
    spaced: bool
    """Words, not characters, were counted."""

    @property
    def fits(self) -> bool:
        return self.whole >= POOR * self.english_whole


def word_fit(tokenizer: Tokenizer, texts: Sequence[str]) -> WordFit | None:
    """None where the texts hold fewer than LEAST_WORDS words, or the tokenizer does not know English either."""
    # A copy, which neither cuts nor pads: the one given keeps its settings.
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    joined = " ".join(texts)
    characters = UNSPACED.findall(joined)
    words = WORD.findall(UNSPACED.sub(" ", joined))
    spaced = len(words) >= len(characters)
    chosen = (words if spaced else characters)[:MOST_WORDS]
    english = _whole(tokenizer, WORD.findall(ENGLISH))
    if len(chosen) < LEAST_WORDS or english[0] < POOR:
        return None
    whole, unknown = _whole(tokenizer, chosen)
    return WordFit(_script(texts), len(chosen), whole, unknown, english[0], spaced)


def fit_words(fit: WordFit) -> str:
    """What was found, a sentence: `This model was made for another language: ...`."""
    noun = "words" if fit.spaced else "characters"
    lost = f"; {fit.unknown * 100:.0f} % of what it reads is unknown to it" if fit.unknown >= NOTABLE else ""
    return (
        f"This model was not made for these texts ({fit.script} script): {fit.whole * 100:.0f} % of their {noun} are "
        f"whole tokens for it, of English words {fit.english_whole * 100:.0f} %{lost}."
    )


def _whole(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[float, float]:
    """Share of words that are one known token, and share of unknown ones among the tokens.

    Each word stands alone after a space: within a sentence is how tokenizers with a mark for that know it.
    """
    kinds, counts = np.unique(np.array(words, dtype=object), return_counts=True)
    unknown_id = _unknown(tokenizer)
    whole = unknown = tokens = 0
    for encoding, count in zip(
        tokenizer.encode_batch([f" {word}" for word in kinds], add_special_tokens=False), counts.tolist(), strict=True
    ):
        ids = encoding.ids
        lost = sum(number == unknown_id for number in ids)
        # Sentencepiece may set the space apart as a token of its own.
        pieces = [piece for piece in encoding.tokens if piece not in ("▁", "Ġ", " ")]
        whole += count * (len(pieces) == 1 and not lost)
        unknown, tokens = unknown + count * lost, tokens + count * len(ids)
    return whole / len(words), unknown / max(1, tokens)


def _unknown(tokenizer: Tokenizer) -> int | None:
    for name in ("[UNK]", "<unk>"):
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    return None


def _script(texts: Sequence[str]) -> str:
    counts = letters(_characters(texts)).sum(axis=0)[1:]
    return NAMES[int(counts.argmax()) + 1]


def _characters(texts: Sequence[str]) -> Characters:
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), dtype=np.uint32)
    return Characters(np.zeros(1, np.int64), points, np.array([0, len(points)], dtype=np.int64))

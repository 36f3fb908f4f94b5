"""In which script a text is written: Latin, Cyrillic, Arabic, East Asian and so on, by its letters.

The scripts of Chinese, Japanese and Korean are one, for they stand side by side in ordinary texts.
"""

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

from core.data.characters import Characters

EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "HALFWIDTH")
OTHERS = (
    *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "SYRIAC", "DEVANAGARI", "BENGALI", "GURMUKHI"),
    *("GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN", "MYANMAR"),
    *("GEORGIAN", "ETHIOPIC", "KHMER", "MONGOLIAN"),
)
NAMES = ("no letters", "East Asian", *(name.capitalize() for name in OTHERS))
FEWEST_LETTERS = 4
"""A text with fewer is in no script."""
FOREIGN_SHARE = 0.1
"""A text is in another script where less than this share of its letters is of the file's."""
MAIN_SHARE = 0.9
"""A file has a script of its own where this share of its texts is written in it."""


@functools.lru_cache(maxsize=1)
def _table() -> npt.NDArray[np.uint8]:
    """[code points]: place in NAMES of each letter's script."""
    found = np.zeros(0x110000, dtype=np.uint8)
    # Behind it lie only rare ideographs.
    for point in range(0x20000):
        character = chr(point)
        if character.isalpha():
            word = unicodedata.name(character, "").partition(" ")[0]
            if word in OTHERS:
                found[point] = 2 + OTHERS.index(word)
            elif word in EAST_ASIAN:
                found[point] = 1
    found[0x20000:0x32400] = 1
    return found


def letters(batch: Characters) -> npt.NDArray[np.int64]:
    """[texts, len(NAMES)]: letters of each script; of "no letters", all other characters."""
    owner = np.repeat(np.arange(len(batch.rows)), np.diff(batch.starts))
    counts = np.bincount(owner * len(NAMES) + _table()[batch.points], minlength=len(batch.rows) * len(NAMES))
    return counts.reshape(len(batch.rows), len(NAMES))


def main_script(counts: npt.NDArray[np.int64]) -> int | None:
    """The script that nearly all texts are written in; None where there is none. counts: as letters() gives them."""
    own = counts[:, 1:]
    written = own.sum(axis=1) >= FEWEST_LETTERS
    if not written.any():
        return None
    texts = np.bincount(own[written].argmax(axis=1), minlength=len(NAMES) - 1)
    return int(texts.argmax()) + 1 if texts.max() >= MAIN_SHARE * texts.sum() else None


def foreign(counts: npt.NDArray[np.int64], main: int) -> npt.NDArray[np.bool_]:
    """[texts]: whether each is written in another script than `main`."""
    own = counts[:, 1:].sum(axis=1)
    return (own >= FEWEST_LETTERS) & (counts[:, main] < FOREIGN_SHARE * own)

"""In which script a run's training texts are written, for its card. A script is seen; a language would be guessed."""

from core.data.characters import Characters
from core.data.examples import read_examples
from core.data.scripts import NAMES, letters, main_script
from core.workspace import RunFolder

LOOKED_AT = 2000
"""Training texts, the first ones."""


def script_words(folder: RunFolder) -> str:
    """A sentence on it; "" where the run keeps no texts, or their letters are of no one script."""
    if not folder.examples.exists():
        return ""
    texts = read_examples(folder, "train")["text"].slice(0, LOOKED_AT).to_pylist()
    main = main_script(letters(Characters.of(texts))) if texts else None
    return "" if main is None else f"Nearly all training texts are in {NAMES[main]} letters."

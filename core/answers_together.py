"""Texts that wait for the same model are asked together, and what was asked lately is not asked again.

While one request is answered others come in; the next one that may ask takes along all that wait for its run, so that
fifty people cost a model little more than one. Every request has its own answer or its own error.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from core.errors import UserError
from core.model_facts import ModelText

MOST_TOGETHER = 64
"""Texts in one question to the model, unless a single request has more."""
KEPT_ANSWERS = 4_000

Row = list[float]
Ask = Callable[[list[ModelText]], list[Row]]


@dataclass(eq=False)
class _Waiting:
    key: Hashable
    texts: list[ModelText]
    rows: list[Row] | None = None


@dataclass
class Together:
    """`turn` is held while the model is asked; it may be shared with other kinds of questions."""

    turn: threading.Lock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: list[_Waiting] = field(default_factory=list)
    _kept: OrderedDict[Hashable, Row] = field(default_factory=OrderedDict)

    def ask(self, key: Hashable, texts: Sequence[ModelText], ask: Ask, seconds: float) -> list[Row]:
        """A row for each text, from `ask` or from what is kept. key: the model as it is now.

        Raises UserError where the turn does not come within `seconds`, or what `ask` raises.
        """
        known = self._known(key, texts)
        if known is not None:
            return known
        mine = _Waiting(key, list(texts))
        with self._lock:
            self._waiting.append(mine)
        try:
            if not self.turn.acquire(timeout=seconds):
                raise UserError("The model is busy with other texts.", "text", "Try again in a moment.")
            try:
                return mine.rows if mine.rows is not None else self._answer(mine, ask)
            finally:
                self.turn.release()
        finally:
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)

    def _answer(self, mine: _Waiting, ask: Ask) -> list[Row]:
        """Ask for mine and for what waits beside it. Those beside it ask for themselves where that fails."""
        batch = [mine, *self._beside(mine)]
        try:
            rows = ask([text for one in batch for text in one.texts])
        except UserError:
            if len(batch) == 1:
                raise
            batch, rows = [mine], ask(mine.texts)
        for one in batch:
            one.rows, rows = rows[: len(one.texts)], rows[len(one.texts) :]
            self._keep(one)
        assert mine.rows is not None
        return mine.rows

    def _beside(self, mine: _Waiting) -> list[_Waiting]:
        room, taken = MOST_TOGETHER - len(mine.texts), []
        with self._lock:
            for one in self._waiting:
                if one is not mine and one.key == mine.key and one.rows is None and len(one.texts) <= room:
                    room -= len(one.texts)
                    taken.append(one)
        return taken

    def _known(self, key: Hashable, texts: Sequence[ModelText]) -> list[Row] | None:
        with self._lock:
            rows = [self._kept.get((key, _word(text))) for text in texts]
        return None if any(row is None for row in rows) else [row for row in rows if row is not None]

    def _keep(self, one: _Waiting) -> None:
        assert one.rows is not None
        with self._lock:
            for text, row in zip(one.texts, one.rows, strict=True):
                self._kept[one.key, _word(text)] = row
            while len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)


def _word(text: ModelText) -> str:
    """A text, or the columns of one, as something to look up."""
    return text if isinstance(text, str) else json.dumps(text, sort_keys=True)

"""Predictions for the page, which imports no torch: a process with the model in memory, started when it is needed.

One process serves one run; asking for another run's model replaces it. It leaves by itself when idle, so that the
memory (or GPU) is free for training, and when the page's process dies (its standard input ends).
"""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from core.answers_together import Together
from core.decision import tempered
from core.errors import UserError
from core.model_facts import (
    ModelFacts,
    ModelText,
    joined_text,
    require_classes,
    run_model_facts,
)
from core.runs.supervisor import PROJECT, worker_environment
from core.workspace import RunFolder, Workspace

IDLE_SECONDS = 300.0
START_SECONDS = 180.0
"""Longest wait for torch to be imported and the model to be loaded."""
ANSWER_SECONDS = 120.0
"""Longest wait for an answer."""
ROOM_SECONDS = 5.0
"""Longest wait for an answer before a run begins."""
CHAT_SECONDS = 600.0
"""The same in a conversation: two models write it word by word, perhaps without a GPU."""
LOG_NAME = "serve.log"


class PredictionService:
    """May be used from any number of threads; requests are answered one after the other."""

    def __init__(
        self,
        workspace: Workspace,
        idle_seconds: float = IDLE_SECONDS,
        start_seconds: float = START_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.workspace = workspace
        self._idle_seconds = idle_seconds
        self._start_seconds = start_seconds
        self._answer_seconds = answer_seconds
        self._turn = threading.Lock()
        self._together = Together(self._turn)
        self._server: _Server | None = None

    def predict(self, run_id: str, texts: Sequence[ModelText]) -> list[list[tuple[str, float]]]:
        """For each text every label with its probability at the model's temperature, the most likely first.

        Raises UserError where the run has no model, a text is empty, or the model's process fails or is too slow.
        """
        folder = self.workspace.run(run_id)
        facts = run_model_facts(folder)
        require_classes(facts)
        cleaned = [_cleaned(facts, text) for text in texts]
        if not all(cleaned):
            if len(cleaned) == 1:
                raise UserError("There is no text to label.", "text", "Write or paste a text first.")
            place = cleaned.index("") + 1
            raise UserError(f"Text {place} of {len(cleaned)} is empty.", "text", "Leave out texts that are empty.")

        def ask(texts: list[ModelText]) -> list[list[float]]:
            answered: list[list[float]] = self._answer(folder, {"texts": texts}, self._answer_seconds)["probabilities"]
            return answered

        answer = self._together.ask(_key(folder), cleaned, ask, self._start_seconds + self._answer_seconds)
        # Here and not in the process: a new decision must not cost a new start.
        said = tempered(np.array(answer, dtype=np.float32), facts.decision.temperature).tolist()
        ranked = [sorted(zip(facts.labels, row, strict=True), key=_by_probability) for row in said]
        return [[(label, float(probability)) for label, probability in row] for row in ranked]

    def chat(self, run_id: str, messages: Sequence[Mapping[str, str]], max_new_tokens: int) -> tuple[str, str | None]:
        """What the trained and the untuned model answer to a conversation; None where the untuned one was not kept.

        messages: {"role", "content"} each, the last one the user's. Raises UserError where the run has no model that
        answers, there is nothing to answer, or the model's process fails or is too slow.
        """
        folder = self.workspace.run(run_id)
        if run_model_facts(folder).task != "chat":
            raise UserError(f"Run {run_id} did not learn from conversations.", run_id, "Ask it for a class instead.")
        if not messages or not messages[-1]["content"].strip():
            raise UserError("There is nothing to answer.", "message", "Write a message first.")
        request = {"messages": [dict(message) for message in messages], "max_new_tokens": max_new_tokens}
        answer = self._in_turn(folder, request, max(self._answer_seconds, CHAT_SECONDS))
        return answer["tuned"], answer["untuned"]

    def explain(self, run_id: str, text: str, label: str) -> dict[str, Any]:
        """How much the probability of `label` falls without each word of a text, as the model reads it: the content
        of core.evaluation.word_effects.WordEffects.

        Raises UserError for a model that is no encoder, a label it does not know, or where its process fails.
        """
        folder = self.workspace.run(run_id)
        facts = run_model_facts(folder)
        require_classes(facts)
        if facts.family != "encoder":
            raise UserError(
                "The words that mattered are found for encoders; this is a language model.",
                run_id,
                "Look at the nearest training rows instead.",
            )
        if label not in facts.labels:
            raise UserError(f"'{label}' is no class of this model.", "label", "Choose one of its classes.")
        answer = self._in_turn(folder, {"explain": text, "label": label}, self._answer_seconds)
        return {name: value for name, value in answer.items() if name != "id"}

    def is_loaded(self, run_id: str) -> bool:
        """Whether this run's model is in memory, so that an answer takes no seconds of loading."""
        server = self._server
        folder = self.workspace.run(run_id)
        return server is not None and server.ready and folder.model.is_dir() and server.serves(folder)

    def make_room(self) -> None:
        """Let go of the model after the answer that it is at, as a run is about to want the GPU's memory. Waits for it
        ROOM_SECONDS at most."""

        def let_go() -> None:
            with self._turn:
                self._drop()

        waiting = threading.Thread(target=let_go, name="making room", daemon=True)
        waiting.start()
        waiting.join(ROOM_SECONDS)

    def close(self) -> None:
        """End the model's process."""
        if self._server is not None:
            self._server.kill()

    def _in_turn(self, folder: RunFolder, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request, after those that came before it."""
        if not self._turn.acquire(timeout=self._start_seconds + seconds):
            raise UserError("The model is busy with other texts.", "text", "Try again in a moment.")
        try:
            return self._answer(folder, request, seconds)
        finally:
            self._turn.release()

    def _answer(self, folder: RunFolder, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            return self._ready_server(folder).ask(request, seconds)
        except _EndedError as error:
            self._drop()
            if error.code != 0:
                raise
        except UserError:
            self._drop()
            raise
        # It had waited long enough and left in the very moment that we asked.
        return self._ready_server(folder).ask(request, seconds)

    def _drop(self) -> None:
        self.close()
        self._server = None

    def _ready_server(self, folder: RunFolder) -> "_Server":
        if self._server is None or not self._server.serves(folder):
            self.close()
            self._server = _Server(folder, self._idle_seconds)
            self._server.wait_until_ready(self._start_seconds)
        return self._server


def _cleaned(facts: ModelFacts, text: ModelText) -> ModelText:
    """As the model was trained on it; '' where there is no text."""
    if isinstance(text, str):
        return _made(facts, text)
    joined = _made(facts, text["text"])
    return {**text, "text": joined} if joined else ""


def _made(facts: ModelFacts, text: str) -> str:
    """A text that is made of its columns already: a template has its say about white space."""
    if facts.text_template:
        return text if text.strip() else ""
    return joined_text(facts, [text])


def _by_probability(entry: tuple[str, float]) -> float:
    return -entry[1]


class _EndedError(UserError):
    """The process died. The next request starts another."""

    def __init__(self, code: int, log: Path) -> None:
        self.code = code
        how = f"code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        super().__init__(
            f"The process that holds the model ended without an answer ({how}).",
            str(log),
            "Try again: it is started anew. If it ends again, memory may be short; the log says more.",
        )


class _Server:
    """`python -m core.predict serve`, and what it says."""

    def __init__(self, folder: RunFolder, idle_seconds: float) -> None:
        self.ready = False
        self._key = _key(folder)
        self._number = 0
        self._log = folder.predictions / LOG_NAME
        folder.predictions.mkdir(exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "core.predict", "serve", str(folder.model), "--idle-seconds", str(idle_seconds)],
                cwd=PROJECT,
                env=worker_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, name=f"model of {folder.id}", daemon=True).start()

    def serves(self, folder: RunFolder) -> bool:
        """Whether it runs and holds this run's model as it is now."""
        return self._process.poll() is None and self._key == _key(folder)

    def wait_until_ready(self, seconds: float) -> None:
        self._next(time.monotonic() + seconds, "load the model", seconds)
        self.ready = True

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The process's answer to a request, see core.predict.serve. Raises UserError."""
        self._number += 1
        assert self._process.stdin is not None
        try:
            # Half a surrogate pair, as JSON can spell it, is no character; a tokenizer would fail at it.
            line = json.dumps({"id": self._number, **request}, ensure_ascii=False).encode("utf-8", "replace")
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except OSError:
            self._raise_ended()
        deadline = time.monotonic() + seconds
        while (answer := self._next(deadline, "answer", seconds))["id"] != self._number:
            continue
        return answer

    def kill(self) -> None:
        """End it; may be called twice. Its pipes are closed with it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):  # what it had not read yet cannot be sent any more
            self._process.stdin.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._answers.put(json.loads(line))
        finally:
            self._process.stdout.close()
            self._answers.put(None)

    def _next(self, deadline: float, doing: str, seconds: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise UserError(
                f"The model did not {doing} within {seconds:.0f} seconds.",
                str(self._log),
                "Try again; if a run is training, wait for it, or give fewer and shorter texts.",
            ) from None
        if answer is None:
            self._raise_ended()
        assert answer is not None
        if "error" in answer:
            raise UserError(**answer["error"])
        return answer

    def _raise_ended(self) -> None:
        raise _EndedError(self._process.wait(), self._log)


def _key(folder: RunFolder) -> tuple[str, ...]:
    """Which run, and which state of its weights: a resumed run writes them anew.

    Not of tunedesk.json, which a new decision changes: no process needs to load a model again for that.
    """
    weights = sorted(folder.model.glob("*.safetensors"))
    return folder.id, *(f"{path.name} {path.stat().st_mtime_ns}" for path in weights)

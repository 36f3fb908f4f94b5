"""Secrets taken out of text before it is written anywhere: hub tokens, bearer headers, passwords in addresses.

Beside what has the form of a secret, the values of this process's own environment variables that hold one are masked
wherever they appear. What a library writes below Python's streams, straight to the file descriptor, passes by.
"""

import atexit
import io
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import TextIO

from core.errors import UserError

HIDDEN = "[hidden]"
LEAST_CHARACTERS = 8
"""Shorter values of variables are words, not secrets."""
_NAMED = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?|AUTH)$", re.IGNORECASE)
_FORMS = (
    (re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{16,}"), HIDDEN),
    (re.compile(r"\btd_[0-9a-f]{8}_[\w-]{20,}"), HIDDEN),
    (re.compile(r"\b(?:sk|ghp|gho|github_pat|glpat|xox[abp])[-_][\w-]{16,}"), HIDDEN),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b"), HIDDEN),
    (re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (
        re.compile(r"([?&](?:token|access_token|api_key|key|password|signature|X-Amz-\w+)=)[^&\s\"']+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)


def secret_values(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Values of variables whose names say that they hold a secret, the longest first."""
    found = {
        value
        for name, value in (os.environ if environment is None else environment).items()
        if _NAMED.search(name) and len(value) >= LEAST_CHARACTERS
    }
    return tuple(sorted(found, key=len, reverse=True))


def masked(text: str, secrets: tuple[str, ...] | None = None, token: str | None = None) -> str:
    """The text without what must not be written. token: of the hub, where one is at hand, whatever it looks like."""
    known = secret_values() if secrets is None else secrets
    for value in (token, *known) if token else known:
        text = text.replace(value, HIDDEN)
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text


def masked_error(error: UserError, token: str | None = None) -> UserError:
    """The same error, fit to be kept."""
    return UserError(*(masked(part, token=token) for part in error.parts().values()))


class MaskedStream(io.TextIOBase):
    """A text stream that masks each line before it passes it on; a line that is not ended waits for its end."""

    def __init__(self, to: TextIO, token: str | None = None) -> None:
        self._to = to
        self._secrets = (*([token] if token else ()), *secret_values())
        self._line = ""

    def write(self, text: str) -> int:
        *whole, self._line = (self._line + text).replace("\r", "\n").split("\n")
        if whole:
            self._to.write("".join(f"{masked(line, self._secrets)}\n" for line in whole))
        return len(text)

    def flush(self) -> None:
        """What waits is kept back: half a token would not be known as one."""
        self._to.flush()

    def end(self) -> None:
        """Write what waits, too: nothing more is to come."""
        self._to.write(masked(self._line, self._secrets))
        self._line = ""
        self._to.flush()

    def fileno(self) -> int:
        return self._to.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._to.encoding


def mask_output(token: str | None = None) -> None:
    """From here on everything that this process prints or logs is masked; a subprocess it starts is not.

    token: of the hub, which this process was handed.
    """
    for name in ("stdout", "stderr"):
        before = getattr(sys, name)
        stream = MaskedStream(before, token)
        setattr(sys, name, stream)
        atexit.register(stream.end)
        # A library that was imported before has taken the stream as it was.
        for logger in (logging.root, *logging.root.manager.loggerDict.values()):
            for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
                if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                    handler.setStream(stream)

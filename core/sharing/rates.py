"""How often somebody may do what costs something: log in, ask a model, upload. Counted in memory, in moving windows."""

import math
import time
from typing import Literal

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from core.errors import UserError

What = Literal["login", "logins", "link", "predict", "upload", "label", "api"]

ALLOWED: dict[What, RateLimitItem] = {
    "login": parse("10 per 5 minutes"),
    "logins": parse("60 per minute"),
    "link": parse("50 per hour"),
    "predict": parse("60 per minute"),
    "upload": parse("20 per 10 minutes"),
    "label": parse("10 per 10 minutes"),
    "api": parse("300 per minute"),
}
"""For one address (login: wrong passwords only, as a class may come in by one address), everybody together (logins:
each costs a hash), everybody who comes by a share link (link: wrong passwords, since addresses that come through a
tunnel can be made up), one session (predict, upload, label) or one token (api)."""


class Rates:
    def __init__(self) -> None:
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def ask(self, what: What, who: str) -> None:
        """Count nothing. Raises UserError where one more would be more than is allowed."""
        if not self._windows.test(ALLOWED[what], what, who):
            raise TooOftenError(self._windows.get_window_stats(ALLOWED[what], what, who).reset_time - time.time())

    def take(self, what: What, who: str) -> None:
        """Count one. Raises UserError where that is more than is allowed."""
        if not self._windows.hit(ALLOWED[what], what, who):
            raise TooOftenError(self._windows.get_window_stats(ALLOWED[what], what, who).reset_time - time.time())


class TooOftenError(UserError):
    """seconds: how long until the next one is allowed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__("That was asked too often.", "rate limit", f"Try again in {self.seconds} seconds.")

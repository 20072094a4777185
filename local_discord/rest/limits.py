"""Rate limits by route and channel, with the headers that name them (developers/topics/rate-limits)."""

import hashlib
import time
from dataclasses import dataclass, field

from local_discord.errors import RateLimited

_FREE = 50
"""Requests in a second on a route without a limit of its own: Discord's global limit."""


@dataclass(eq=False)
class _Window:
    seconds: float
    began: float = field(default_factory=time.monotonic)
    used: int = 0

    @property
    def left(self) -> float:
        return self.began + self.seconds - time.monotonic()


class Limits:
    """How many requests of a route a channel takes, within how many seconds; routes without an entry are free."""

    def __init__(self) -> None:
        self.routes: dict[str, tuple[int, float]] = {"send": (5, 5.0), "edit": (5, 5.0), "react": (1, 0.25)}
        """By the route's name: how many, in how many seconds. Discord says no numbers; these are what people see."""
        self._windows: dict[tuple[str, int | None], _Window] = {}

    def take(self, route: str, channel: int | None) -> None:
        """Count one request; raise `RateLimited` where it is one too many."""
        if route not in self.routes:
            return
        window = self._window(route, channel)
        if window.used >= self.routes[route][0]:
            raise RateLimited(window.left)
        window.used += 1

    def headers(self, route: str, channel: int | None, *, refused: bool = False) -> dict[str, str]:
        """Return the headers of an answer: those of a 429 as well, if `refused`."""
        limit, left, after = _FREE, _FREE - 1, 1.0
        if route in self.routes:
            window, limit = self._window(route, channel), self.routes[route][0]
            left, after = limit - window.used, window.left
        headers = {
            "Via": "1.1 google",
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": hashlib.sha256(route.encode()).hexdigest()[:32],
        }
        return headers | ({"Retry-After": f"{after:.3f}", "X-RateLimit-Scope": "user"} if refused else {})

    def _window(self, route: str, channel: int | None) -> _Window:
        """Return the present window; it begins with its first request."""
        key = route, channel
        if key not in self._windows or self._windows[key].left <= 0:
            self._windows[key] = _Window(self.routes[route][1])
        return self._windows[key]

"""How often somebody may do what costs a message each time."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

_REMEMBERED = 4096


class RateLimit:
    """Let at most so many things a minute through, for each key."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._times: OrderedDict[int, deque[float]] = OrderedDict()

    def allows(self, key: int) -> bool:
        """Return whether one more may pass now, and count it if so."""
        now = self._clock()
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        while len(self._times) > _REMEMBERED:
            self._times.popitem(last=False)
        while times and now - times[0] >= 60:
            times.popleft()
        if len(times) >= self._per_minute:
            return False
        times.append(now)
        return True

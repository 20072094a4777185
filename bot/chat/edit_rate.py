"""A rate limit for edits in each channel, which adapts to what Discord allows."""

from collections.abc import Callable
from dataclasses import dataclass

_SLOWEST = 60.0


@dataclass(slots=True)
class _Channel:
    next_turn: float = 0.0
    interval: float = 0.0


class EditRate:
    """Say when a channel may be edited next; refusals double the interval, successes shorten it again."""

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._channels: dict[int, _Channel] = {}

    def wait(self, channel_id: int) -> float:
        """Return how many seconds are left until the channel's next turn."""
        return max(0.0, self._channel(channel_id).next_turn - self._clock())

    def edited(self, channel_id: int, active: int) -> None:
        """Note an edit that went through, while `active` jobs run or wait in the channel."""
        channel = self._channel(channel_id)
        channel.interval = max(self._interval, channel.interval * 0.8)
        channel.next_turn = self._clock() + channel.interval * max(1, active)

    def edited_out_of_turn(self, channel_id: int) -> None:
        """Note an edit out of turn, which delays the next turn by one interval."""
        channel = self._channel(channel_id)
        channel.next_turn = max(channel.next_turn, self._clock()) + channel.interval

    def may_edit_out_of_turn(self, channel_id: int) -> bool:
        """Return whether an edit out of turn is allowed: not while waiting after a refusal."""
        return self._channel(channel_id).interval <= self._interval or self.wait(channel_id) == 0

    def refused(self, channel_id: int, retry_after: float = 0.0) -> None:
        """Note an edit that Discord refused for its rate or did not answer in time."""
        channel = self._channel(channel_id)
        channel.interval = min(channel.interval * 2, _SLOWEST)
        channel.next_turn = self._clock() + max(retry_after, channel.interval)

    def forget(self, channel_id: int) -> None:
        """Drop the state of a channel without jobs."""
        self._channels.pop(channel_id, None)

    def _channel(self, channel_id: int) -> _Channel:
        return self._channels.setdefault(channel_id, _Channel(interval=self._interval))

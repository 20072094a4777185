"""A painter that stands for one where the queue is looked at."""

from bot.worker.orders import Control, Order
from bot.worker.painter import Painter


class NotedPainter(Painter):
    """Paint nothing and note what is handed over; its chip is its name."""

    def __init__(self, callbacks, name="one"):
        super().__init__(callbacks)
        self.name, self.sent, self.here, self.closed = name, [], True, []

    chip = property(lambda self: self.name)  # pyright: ignore[reportIncompatibleMethodOverride]
    alive = property(lambda self: self.here)  # pyright: ignore[reportIncompatibleMethodOverride]

    async def start(self):
        pass

    async def close(self, seconds):
        self.closed.append(seconds)

    def _send(self, message):
        self.sent.append(message)

    @property
    def orders(self):
        """The jobs of the orders, each with its attempt."""
        return [(one.job_id, one.attempt) for one in self.sent if isinstance(one, Order)]

    @property
    def controls(self):
        """What was wanted of which job meanwhile."""
        return [(one.job_id, one.name, one.value) for one in self.sent if isinstance(one, Control)]

    @property
    def ends(self):
        """How jobs were to end."""
        return [value for _, name, value in self.controls if name == "end"]

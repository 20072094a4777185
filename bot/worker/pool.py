"""Several painters as one: each owns a device, and a job goes to whichever is free."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bot.worker.events import PainterEvent
from bot.worker.orders import Steer
from bot.worker.painter import Callbacks, Painter


@dataclass(frozen=True, slots=True)
class PoolCallbacks:
    """What is called on the loop, and when."""

    on_event: Callable[[PainterEvent, int], None]
    """Gets each event and the attempt that it belongs to."""
    on_free: Callable[[], None]
    """Some painter is free."""
    on_job_lost: Callable[[str], None]
    """Gets the id of a job whose painter broke down, and which any painter may go on with."""
    on_device_lost: Callable[[str], None]
    """Gets the id of a job with whose device only a new process can go on."""

    def of_painters(self) -> Callbacks:
        """Return what painters call that come back by themselves."""
        return Callbacks(self.on_event, self.on_free, self.on_job_lost)


class PainterPool:
    """Hold the painters. Every method is for the loop, where the callbacks are called."""

    def __init__(self, painters: list[Painter]) -> None:
        self.painters = painters

    async def start(self) -> None:
        """Get all painters ready; raise `engine.devices.BadDeviceError`."""
        await asyncio.gather(*(painter.start() for painter in self.painters))

    async def close(self, seconds: float) -> None:
        """Let all painters checkpoint and end within `seconds`."""
        await asyncio.gather(*(painter.close(seconds) for painter in self.painters))

    @property
    def alive(self) -> bool:
        """Return whether anybody is there to paint."""
        return any(painter.alive for painter in self.painters)

    @property
    def job_ids(self) -> list[str]:
        """List the jobs being painted."""
        return [painter.job_id for painter in self.painters if painter.job_id is not None]

    def free(self, chip: str | None = None) -> Painter | None:
        """Return a painter that is free, one of this chip if there is any: equal chips paint equally, bit by bit."""
        painters = [painter for painter in self.painters if painter.free]
        return next((painter for painter in painters if painter.chip == chip), next(iter(painters), None))

    def paints(self, job_id: str) -> bool:
        """Return whether a job is being painted."""
        return job_id in self.job_ids

    def want_preview(self, job_id: str) -> None:
        """Ask for a picture with the next progress of the job."""
        for painter in self.painters:
            painter.want_preview(job_id)

    def steer(self, job_id: str, steer: Steer) -> None:
        """Give the job other prompts from its next step on."""
        for painter in self.painters:
            painter.steer(job_id, steer)

    def finish_early(self, job_id: str) -> None:
        """Let the job end with the picture it has."""
        for painter in self.painters:
            painter.finish_early(job_id)

    def give_up(self, job_id: str) -> None:
        """Let the job end without a picture."""
        for painter in self.painters:
            painter.give_up(job_id)

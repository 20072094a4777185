"""The Ray driver: a child process of the bot that holds one actor per painter and passes orders and events on.

It is a process of its own because Ray ends the process that uses it when the cluster's head is lost, and takes over
signals and threads.
"""

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

import bot
from bot import logs
from bot.available_models import perceptors, usual_generator
from bot.background import spawn
from bot.settings import RaySettings, Settings
from bot.worker.child import tell_parent
from bot.worker.orders import Control, Order
from bot.worker.process import leave_signals_to_parent
from bot.worker.ray_actor import UNREAD, PaintingActor, code_version
from bot.worker.ray_messages import Emitted, EndHung, Finished, FromDriver, Joined, Left, ToDriver

log = logging.getLogger(__name__)

_OBJECT_STORE = 200_000_000
"""Bytes of shared memory of a cluster of ours: what passes through are checkpoints and pictures."""
_LOOK_SECONDS = 2.0
"""Between two looks at which machines there are."""
_LOOK_PATIENCE = 30.0
_PING_SECONDS = 5.0
_PING_PATIENCE = 60.0
"""An actor that is idle, or gets ready, answers within this, or is ended."""
_AGAIN_SECONDS = 0.5
_PROBLEM_SECONDS = 30.0
"""Before a machine is tried again that cannot paint."""


class Slot:
    """One painter: its actor, its orders, and the controls that came before its order was taken."""

    def __init__(self, key: int, actor: Any) -> None:
        self.key = key
        self.actor = actor
        self.orders: asyncio.Queue[Order] = asyncio.Queue()
        self.early: list[Control] | None = None
        """None: none are kept, for the order has been taken."""
        self.up = False
        self.idle = asyncio.Event()
        self.idle.set()
        self.task: asyncio.Task[None] | None = None

    def control(self, control: Control) -> None:
        """Pass a control on, now or once the order has been taken."""
        if self.early is not None:
            self.early.append(control)
        elif self.up:
            self.actor.control.remote(control)

    def taken(self) -> None:
        """Note that the order has been taken."""
        early, self.early = self.early or [], None
        for control in early:
            self.control(control)


class Driver:
    """Keep as many actors as the cluster has room for, and serve each."""

    def __init__(self, settings: Settings, send: Callable[[FromDriver], None], actor: type = PaintingActor) -> None:
        generator = usual_generator(settings.models)
        fixed = {"generator": generator, "perceptors": perceptors(generator, settings.models)}
        worker = {"device": "auto" if settings.ray.painters is None else "cpu"}
        # What `auto` means is decided here, where the bot's own files are, and is the same on all machines.
        self._settings = settings.model_copy(
            update={
                "models": settings.models.model_copy(update=fixed),
                "worker": settings.worker.model_copy(update=worker),
            }
        )
        self._send = send
        needs = {"num_gpus": 1, "num_cpus": 0} if settings.ray.painters is None else {"num_cpus": 1}
        # No retries: the ledger decides what is painted again, and from which checkpoint.
        self._actor = ray.remote(actor).options(
            max_concurrency=2, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD", **needs
        )
        self._slots: dict[int, Slot] = {}
        self._keys = 0
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve until the bot says no more, and then until no painter is busy."""
        looking = spawn(self._look(), "look at the cluster")
        await self._ended.wait()
        looking.cancel()
        await asyncio.gather(*(slot.idle.wait() for slot in self._slots.values()))

    def take(self, message: ToDriver | None) -> None:
        """Take what the bot says, on the loop; None: it will say no more."""
        if message is None:
            self._ended.set()
        elif (slot := self._slots.get(message.key)) is not None:
            self._take(slot, message)

    def _take(self, slot: Slot, message: ToDriver) -> None:
        if isinstance(message, EndHung):
            log.error("Painter %d is silent; Ray ends it and starts it anew", slot.key)
            spawn(_end(slot.actor), f"end painter {slot.key}")
        elif isinstance(message.message, Order):
            slot.early = []
            slot.idle.clear()
            slot.orders.put_nowait(message.message)
        else:
            slot.control(message.message)

    async def _look(self) -> None:
        """Have as many painters as there is room for, now and when machines come and go."""
        warned = False
        own_node = ray.get_runtime_context().get_node_id()
        while True:
            gpus = await _gpus(own_node)
            room = gpus if self._settings.ray.painters is None else self._settings.ray.painters
            if not room and not warned:
                warned = True
                log.warning("The cluster has no GPU; paintings wait for one. ray.painters lets CPUs paint.")
            while len(self._slots) < room:
                self._add()
            for slot in [slot for slot in self._slots.values() if not slot.up][: len(self._slots) - room]:
                await self._remove(slot)
            await asyncio.sleep(_LOOK_SECONDS)

    def _add(self) -> None:
        self._keys += 1
        slot = self._slots[self._keys] = Slot(self._keys, self._actor.remote())
        slot.task = spawn(self._serve(slot), f"serve painter {slot.key}")

    async def _remove(self, slot: Slot) -> None:
        del self._slots[slot.key]
        if slot.task is not None:
            slot.task.cancel()
        await asyncio.to_thread(ray.kill, slot.actor)
        self._send(Left(slot.key, for_good=True))

    async def _serve(self, slot: Slot) -> None:
        while True:
            try:
                await self._get_ready(slot)
                while True:
                    await self._work(slot)
            except (RayError, TimeoutError) as error:
                log.log(logging.ERROR if slot.up else logging.DEBUG, "Painter %d: %s", slot.key, _first_line(error))
                pause = await self._recover(slot, error)
            await asyncio.sleep(pause)

    async def _recover(self, slot: Slot, error: Exception) -> float:
        """Give a painter's job up and have its actor started anew; return the seconds to wait for that."""
        was_up, slot.up, slot.early, slot.orders = slot.up, False, None, asyncio.Queue()
        slot.idle.set()
        if was_up:
            self._send(Left(slot.key))
        if isinstance(error, RayTaskError) and not was_up:
            log.error("A painter cannot start: %s", _first_line(error.cause or error))
            return _PROBLEM_SECONDS
        if isinstance(error, RayActorError) and not isinstance(error, ActorUnavailableError):
            slot.actor = self._actor.remote()  # this one does not come back
        elif not isinstance(error, RayActorError):
            await _end(slot.actor)  # what it says from now on would belong to nobody
        return _AGAIN_SECONDS

    async def _get_ready(self, slot: Slot) -> None:
        node, pid = await slot.actor.here.remote()  # for as long as the cluster has no room
        ready = asyncio.ensure_future(_awaited(slot.actor.ready.remote(self._settings, code_version())))
        try:
            while not (await asyncio.wait([ready], timeout=_PING_SECONDS))[0]:  # networks may have to be fetched
                await self._ping(slot)
        finally:
            ready.cancel()  # nothing where it is done
        device = ready.result()
        slot.up = True
        log.info("Painting on %s of %s, in process %d", device, node, pid)
        self._send(Joined(slot.key, device, node, pid))

    async def _ping(self, slot: Slot) -> None:
        """Raise `RayError` or `TimeoutError` where the actor does not answer."""
        await asyncio.wait_for(_awaited(slot.actor.here.remote()), _PING_PATIENCE)

    async def _work(self, slot: Slot) -> None:
        """Work one order off; while there is none, make sure that the actor lives."""
        try:
            order = await asyncio.wait_for(slot.orders.get(), _PING_SECONDS)
        except TimeoutError:
            await self._ping(slot)
            return
        stream = slot.actor.paint.options(num_returns="streaming", _generator_backpressure_num_objects=UNREAD)
        async for reference in stream.remote(order):
            said = await reference
            if said is None:
                slot.taken()
            else:
                self._send(Emitted(slot.key, *said))
        slot.idle.set()
        self._send(Finished(slot.key))


async def _awaited(reference: Any) -> Any:
    return await reference


async def _end(actor: Any) -> None:
    await asyncio.to_thread(ray.kill, actor, no_restart=False)


async def _gpus(own_node: str) -> int:
    """Count the cluster's GPUs. End this process where it is a member of the cluster no more: the bot starts another.

    A head that was started again is another cluster at the same address, and Ray does not tell.
    """
    try:
        nodes = await asyncio.wait_for(asyncio.to_thread(ray.nodes), _LOOK_PATIENCE)
        alive = [node for node in nodes if node["Alive"]]
    except Exception as error:  # of a dozen kinds
        log.error("The cluster does not answer (%s)", _first_line(error))  # noqa: TRY400, it is no error of ours
        os._exit(1)
    if own_node not in {node["NodeID"] for node in alive}:
        log.error("The cluster that this process belonged to is gone")
        os._exit(1)
    return int(sum(node["Resources"].get("GPU", 0) for node in alive))


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def connect(settings: RaySettings) -> None:
    """Join the cluster, or start one of this machine alone. Not in the main thread: Ray would take its signals over."""
    root = str(Path(bot.__file__).resolve().parents[1])
    variables = {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
    common: dict[str, Any] = {
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": variables},
    }
    if settings.address == "local":
        cpus = max(os.cpu_count() or 1, settings.painters or 1)
        ray.init("local", num_cpus=cpus, object_store_memory=_OBJECT_STORE, **common)
    else:
        del common["include_dashboard"]
        ray.init(settings.address, **common)


def main(pipe: Connection, settings: Settings, actor: type = PaintingActor) -> None:
    """Be the driver until None comes through the pipe; the child's main function."""
    leave_signals_to_parent()
    logs.set_up(settings.log)
    asyncio.run(_drive(pipe, settings, actor))


async def _drive(pipe: Connection, settings: Settings, actor: type) -> None:
    await asyncio.to_thread(connect, settings.ray)
    driver = Driver(settings, functools.partial(tell_parent, pipe), actor)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_receive, args=(pipe, loop, driver), daemon=True).start()
    await driver.run()
    await asyncio.to_thread(ray.shutdown)


def _receive(pipe: Connection, loop: asyncio.AbstractEventLoop, driver: Driver) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)  # the bot is gone, and its actors go with this process
        loop.call_soon_threadsafe(driver.take, message)

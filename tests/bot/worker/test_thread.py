"""The painting thread: what it does for the loop, and what it leaves alone."""

import functools
import threading

from bot.settings import ModelSettings
from bot.worker.events import Painted
from bot.worker.painter import Callbacks
from bot.worker.thread import ThreadPainter
from engine.models import ModelStore
from tests.bot.conftest import make_order, until


async def test_every_callback_is_called_on_the_loop(settings, tiny_models, monkeypatch, ask):
    monkeypatch.setattr("bot.worker.thread.ModelStore", functools.partial(ModelStore, embedded=tiny_models))
    events, threads = [], set()

    def receive(event, _):
        events.append(event)
        threads.add(threading.current_thread())

    painter = ThreadPainter(settings, Callbacks(receive, lambda: threads.add(threading.current_thread()), print))
    await painter.start()
    painter.paint(make_order(ask()))
    await until(lambda: painter.free)
    assert isinstance(events[-1], Painted)
    assert threads == {threading.current_thread()}
    await painter.close(5)


async def test_models_that_are_not_here_are_named_and_do_not_stop_the_start(settings, caplog):
    without = settings.model_copy(update={"models": ModelSettings(generator="wikiart-16384")})
    painter = ThreadPainter(without, Callbacks(print, print, print))
    await painter.start()
    assert "run `models fetch wikiart-16384`" in caplog.text
    assert painter.alive
    await painter.close(5)

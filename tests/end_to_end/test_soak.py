"""The beginning of the soak: the command that people start, the pair that ships, everything that can be asked for."""

import pytest

from tests.end_to_end.bot_process import ROOT, BotProcesses
from tests.end_to_end.loopback import Loopback
from tests.end_to_end.soak import Plain, soak

pytestmark = pytest.mark.skipif(
    not (ROOT / "models" / "embedded-generator.safetensors").is_file(), reason="models/ holds no embedded pair"
)


@pytest.mark.timeout(600)  # much of it is waiting, on a busy machine
async def test_steady_work(tmp_path):
    bots = BotProcesses(await Loopback.start(), Plain(), tmp_path)
    try:
        course, bot = await soak(bots, minutes=1.2, every=4)
        assert bot.alive
        assert "Traceback" not in bot.log
        kinds = {request.kind for request in course.requests}
        assert kinds >= {
            "imagine",
            "🔁",
            "🎲",
            "vary",
            "timelapse",
            "history",
            "queue",
        }
        assert all(request.answer is not None for request in course.requests)
        pictures = [request for request in course.requests if request.kind not in ("queue", "history")]
        assert all(request.final is not None for request in pictures)
        await bots.delivered(len(pictures))
        assert len(bots.states()) == len(pictures)
        # In MiB. Over five minutes and 93 requests it was seen to rise by two blocks of 61, and to fall again: the heap
        # holds what goes on at the same time, and painting goes on beside enlarging. A job's activations are 50.
        assert course.growth() < 150, "nothing is kept of a job that has ended"
        assert course.open_files[-1][1] <= course.open_files[len(course.open_files) // 2][1] + 4
        await bot.end()
    finally:
        await bots.close()

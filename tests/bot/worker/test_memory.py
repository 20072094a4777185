"""Memory that really runs out: the process may take only so much, and asks for more."""

import pytest

from bot.jobs import JobState, smaller
from bot.worker.events import Shrunk
from engine.pictures import spec_of
from tests.bot.conftest import row
from tests.bot.queue.test_kill import PAINT
from tests.warm_processes import Program

MEGABYTES, NEXT_TO_NOTHING = 250, 20
"""More than the process needs, and less than the picture does; less than any picture does."""


@pytest.fixture
def paint(tmp_path, tiny_models):
    """Let a process paint what the ledger holds, with so many megabytes more than it has at the start."""

    def start(*megabytes):
        return Program(PAINT, tmp_path, tiny_models, *megabytes)

    return start


def lines(process):
    with process:
        return [line.split() for line in process.stdout]


async def test_what_does_not_fit_is_painted_smaller_and_said(ledger, tmp_path, paint, ask, spec):
    large = spec.but(width=512, height=384, steps=2)
    job, _ = await ledger.add(ask(spec=large))
    fits, _ = await ledger.add(ask(spec=spec))
    printed = lines(paint(MEGABYTES))
    assert [line[0] for line in printed].count("Rendered") == 2, printed
    painted = (await row(ledger, job.id)).spec
    assert painted == large.but(width=painted.width, height=painted.height)
    assert painted.width * painted.height <= 0.6 * 512 * 384
    assert spec_of(tmp_path / "pictures" / f"{job.id}.png") == painted
    notice = f"Memory ran short: painted at {painted.width} × {painted.height} instead of 512 × 384."
    assert [said for said in (await row(ledger, job.id)).notices if "painted at" in said] == [notice]
    assert (await row(ledger, fits.id)).spec == spec
    assert (await row(ledger, fits.id)).notices == ()


async def test_what_does_not_fit_at_any_size_is_a_plain_sentence(ledger, paint, ask, spec):
    """The process has all but nothing to spare, so that not even the smallest picture fits."""
    job, _ = await ledger.add(ask(spec=spec.but(width=512, height=512, steps=2)))
    lines(paint(NEXT_TO_NOTHING))
    ended = await row(ledger, job.id)
    assert ended.state is JobState.FAILED
    assert ended.error == "There is not enough memory for this, not even at 64 × 64 pixels; try again later."


async def test_a_restart_in_the_middle_goes_on_at_the_smaller_size(ledger, tmp_path, paint, ask, spec):
    job, _ = await ledger.add(ask(spec=spec.but(width=512, height=512, steps=400)))
    process = paint(MEGABYTES)
    seen = []
    for line in process.stdout:
        seen.append(line.split())
        if line.startswith("Checkpointed"):
            break
    process.kill()
    process.wait()
    assert ["Shrunk", job.id] in seen
    await ledger.database.write("UPDATE jobs SET spec = json_set(spec, '$.steps', ?)", (int(seen[-1][2]) + 3,))
    size = (await row(ledger, job.id)).spec.width
    assert 64 <= size < 512
    printed = lines(paint())  # all the memory there is
    assert int(next(line for line in printed if line[0] == "Started")[2]) >= int(seen[-1][2])
    ended = await row(ledger, job.id)
    assert ended.state is JobState.RENDERED
    assert spec_of(tmp_path / "pictures" / f"{job.id}.png").width == size
    assert f"Memory ran short: painted at {size} × {size} instead of 512 × 512." in ended.notices


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((512, 512), (368, 368)), ((512, 288), (368, 208)), ((128, 128), (96, 96)), ((96, 96), (64, 64))],
)
def test_smaller_is_half_the_area_in_the_same_shape(spec, size, wanted):
    found = smaller(spec.but(width=size[0], height=size[1]))
    assert found is not None
    assert (found.width, found.height) == wanted


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (512, 64)])
def test_what_would_show_nothing_is_not_tried(spec, size):
    assert smaller(spec.but(width=size[0], height=size[1])) is None


async def test_words_given_meanwhile_stay(ledger, ask, spec):
    job, _ = await ledger.add(ask(spec=spec.but(width=128, height=128)))
    await ledger.claim(job.id)
    other = spec.prompts[0].model_copy(update={"content": "a green apple"})
    await ledger.note_steer(job.id, (other,), "a green apple")
    shrunk = Shrunk(job.id, 96, 96, ("Memory ran short.",))
    await ledger.note_smaller(job.id, shrunk.width, shrunk.height, shrunk.notices, attempt=1)
    noted = await row(ledger, job.id)
    assert (noted.spec.width, noted.spec.prompts, noted.notices) == (96, (other,), ("Memory ran short.",))

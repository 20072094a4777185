"""The quota of what people send, at its limits."""

import pytest

from bot.queue.inputs import Inputs
from bot.refusals import Refusal


@pytest.fixture
def inputs(files, ledger, settings):
    """A thousand bytes for one, two and a half thousand for all."""
    limits = settings.limits.model_copy(update={"upload_megabytes_per_user": 1e-3, "upload_megabytes_in_all": 2.5e-3})
    return Inputs(files, ledger, limits)


async def test_one_person_may_send_as_much_as_is_said_and_not_a_byte_more(inputs):
    await inputs.keep(1, b"a" * 600, ".png")
    await inputs.keep(1, b"b" * 400, ".png")
    with pytest.raises(Refusal, match="as much as is kept of one person"):
        await inputs.keep(1, b"c", ".png")
    await inputs.keep(2, b"c", ".png")


async def test_all_together_have_a_limit_and_what_several_sent_counts_once(inputs):
    for user in (1, 2, 3):
        await inputs.keep(user, b"a" * 1000, ".png")
    await inputs.keep(4, b"d" * 1000, ".png")
    await inputs.keep(5, b"e" * 500, ".png")
    with pytest.raises(Refusal, match="no room"):
        await inputs.keep(5, b"f", ".png")


async def test_what_came_to_nothing_is_dropped_and_gives_room(inputs, files):
    path = await inputs.keep(1, b"a" * 1000, ".png")
    assert (files.folder / path).read_bytes() == b"a" * 1000
    await inputs.drop(1, [path])
    assert files.input_paths() == frozenset()
    await inputs.keep(1, b"b" * 1000, ".png")


async def test_what_somebody_else_sent_too_stays(inputs, files):
    path = await inputs.keep(1, b"a" * 1000, ".png")
    assert await inputs.keep(2, b"a" * 1000, ".png") == path
    await inputs.drop(1, [path])
    assert files.input_paths() == {path}
    await inputs.drop(2, [path])
    assert files.input_paths() == frozenset()


async def test_what_a_painting_starts_from_stays(inputs, files, ledger, ask, spec):
    path = await inputs.keep(1, b"a", ".png")
    await ledger.add(ask(spec=spec.but(init_image=path)))
    await inputs.drop(1, [path])
    assert files.input_paths() == {path}


async def test_a_refusal_says_how_much_there_is(files, ledger, settings):
    limits = settings.limits.model_copy(update={"upload_megabytes_per_user": 2.0})
    inputs = Inputs(files, ledger, limits)
    await inputs.keep(1, b"a" * 2_000_000, ".png")
    with pytest.raises(Refusal, match="You have sent 2 MB of pictures"):
        await inputs.keep(1, b"b", ".png")

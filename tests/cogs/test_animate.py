"""Films with a story, as MP4 and GIF."""

import io
from typing import Any

import av
import pytest
from PIL import Image

from bot.jobs import JobState
from bot.refusals import Refusal
from engine.spec import Motion
from tests.bot.chat.fake_discord import ALL
from tests.cogs.direct import GUILD, Use, made, use
from tests.simulated import shown, words


async def animated(world, prompt="a seed @0 | a tree @0.5", **options):
    options = {"seconds": 1, "size": "64x64", "steps": 2, "seed": 1, **options}
    result = await world.alice.slash(world.channel, "animate", prompt=prompt, **options)
    assert not result.ephemeral, words(result)
    return await world.ended(await world.ledger.by_message(result.response.id))


async def test_a_story_becomes_a_film_and_another_one(world):
    job = await animated(world, zoom=1.2)
    assert (job.state, job.kind, job.spec.steps) == (JobState.DELIVERED, "animate", 2 + 7 * 3)
    message = world.message(job.message_id)
    assert "Animated in" in shown(message)
    film = message.attachments[0]
    assert film.filename == f"painting-{job.id}.mp4"
    assert film.size < world.guild_limit()
    with av.open(io.BytesIO(film.content), "r") as opened:
        assert sum(1 for _ in opened.decode(video=0)) == 8
    form = await world.bob.click(message, label="Remix")
    result = await world.bob.submit(form, prompt="a seed @0 | a flower @0.5")
    remix = await world.ended(await world.ledger.by_message(result.response.id))
    assert remix.spec == job.spec.but(prompts=remix.spec.prompts)
    again = await world.alice.slash(world.channel, "show", job=job.id)
    assert again.response.attachments[0].filename == f"painting-{job.id}.mp4"


async def test_a_gif_repeats(world):
    job = await animated(world, "a cat", kind="gif", turn=30.0)
    film = world.message(job.message_id).attachments[0]
    assert film.filename == f"painting-{job.id}.gif"
    with Image.open(io.BytesIO(film.content)) as opened:
        assert (getattr(opened, "n_frames", 1), opened.info["loop"]) == (8, 0)


async def test_a_story_begins_at_its_beginning(world):
    result = await world.alice.slash(world.channel, "animate", prompt="a tree @4")
    assert result.ephemeral
    assert "begin @0" in words(result)


async def test_options_reach_the_spec(bot):
    story = "a seed @0 | a tree @1"
    given: dict[str, Any] = {"seconds": 2.0, "zoom": 1.3, "turn": -9.0, "right": 0.25, "down": -0.125}
    job = await made(
        bot, "animate", prompt=story, size="64x48", steps=3, seed=5, preset="fine", kind="gif", **given
    )  # fmt: skip
    spec = job.spec
    assert (job.kind, job.prompt) == ("animate", story)
    assert spec.motion is not None
    assert spec.motion == Motion(begin=3, format="gif", **given)
    assert (spec.width, spec.height, spec.seed, spec.preset, spec.steps) == (64, 48, 5, "fine", spec.motion.steps)
    assert [(prompt.content, prompt.since) for prompt in spec.prompts] == [("a seed", 0), ("a tree", 1)]


async def test_without_options_it_goes_slowly_into_the_picture(bot):
    motion = (await made(bot, "animate", prompt="a tree")).spec.motion
    assert motion is not None
    assert motion == Motion(seconds=6.0, zoom=1.1, turn=0, right=0, down=0, format="mp4", begin=motion.begin)


async def test_it_is_refused_where_and_to_whom_painting_is(bot):
    for asked, why in ((Use(bot, permissions=ALL & ~type(ALL)(attach_files=True)), "attach files"), (Use(bot), "word")):
        await bot.queue.change_guild(GUILD, blocked_words=frozenset({"weasel"}))
        with pytest.raises(Refusal, match=why):
            await use(bot, "animate", asked, prompt="a weasel")
    assert await bot.queue.ledger.queued() == []

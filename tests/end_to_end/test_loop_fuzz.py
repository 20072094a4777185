"""Whatever people type, block, send, fill in or look for, the loop is never away for longer than `loop_watch.LONGEST`.

What is tried is drawn at random from pieces that are hard on somebody: the words' automaton, Unicode's normal forms,
the language of prompts, numbers, decoders, forms. `FUZZ_SEED=7 pytest tests/end_to_end/test_loop_fuzz.py` tries others.
"""

import gc
import os
import random
from collections.abc import Iterator

import pytest

from local_discord.permissions import Permission
from tests.bot.chat.test_hostile_images import READ, REFUSED
from tests.end_to_end.loop_watch import free
from tests.end_to_end.test_loop_lag import picture
from tests.simulated import ENDLESS, Result, World, quick_settings, words

SEED = int(os.environ.get("FUZZ_SEED", "1"))
PIECES = (
    *(
        "a red apple",
        "il1|!",
        "1",
        "|",
        "::",
        "::-1",
        ":0.5:0.8",
        ": ",
        ",",
        " ",
        "\n",
        "_",
        "a_",
        "! ",
        "$",
        "(",
        "\\",
        "%s{}",
        "'",
    ),
    *("--no ", "--ar 16:9 ", "--size 9999x9999 ", "--steps 1", "--", "—no ", "0.", "1e308", "nan", "9" * 300, "-" * 50),
    *(
        "\u0308",
        "\u200b",
        "\u00ad",
        "\u202e",
        "\ufdfa",
        "\U0001d4f9",
        "🧑‍🚀",
        "рас",
        "漢字",
        "İ",
        "ß",
        "ﬃ",
        "@everyone",
        "```",
        "<@1>",
    ),
)


@pytest.fixture(autouse=True)
def nothing_frozen() -> None:
    """Let the bot of each test take out of garbage collection what is there now, as a process's first bot does."""
    gc.unfreeze()


@pytest.fixture
def settings(tmp_path, quick_start):
    settings = quick_settings(tmp_path)
    limits = settings.limits.model_copy(update={"per_user": 1000, "per_guild": 1000})
    return settings.model_copy(update={"limits": limits})


@pytest.fixture
async def paused(world: World) -> World:
    """A server where what is asked for waits: painting has a test of its own."""
    await world.bot.queue.change_guild(world.guild_id, paused=True)
    return world


def texts(count: int, longest: int) -> Iterator[str]:
    """Make texts of a few pieces, some of them again and again, half of them as long as may be."""
    rng = random.Random(SEED)
    for number in range(count):
        chosen = rng.choices(PIECES, k=rng.randint(1, 6))
        text = "".join(piece * rng.choice((1, 1, 3, 100)) for piece in chosen)
        if number % 2:
            text *= longest // len(text) + 1
        yield text[:longest]


async def test_no_prompt_does(paused: World):
    taken, ask = 0, paused.alice.slash
    for text in texts(25, 2000):
        result = await free(ask, paused.channel, "imagine", prompt=text, negative=text[:500], size=text[:20])
        taken += not result.ephemeral
        result = await free(ask, paused.channel, "imagine", prompt=text)
        taken += not result.ephemeral
    assert 12 <= taken < 50, "some can be painted and some cannot"


async def test_no_list_of_words_does(paused: World):
    admin = paused.person("admin", paused.role("admin", int(Permission.MANAGE_GUILD)))
    hard = [text.strip() for text in texts(195, 100)]
    await free(paused.bot.queue.change_guild, paused.guild_id, blocked_words=frozenset(hard))
    for word in texts(8, 100):
        await free(paused.alice.slash, paused.channel, "imagine", prompt=(word * 2000)[:2000])
        await free(admin.slash, paused.channel, "admin block word", word=f"{word[:90]} il1")


async def test_no_upload_does(paused: World):
    rng = random.Random(SEED)
    whole = list(READ.items()) + list(REFUSED.items())
    files = rng.sample(whole, 5)
    for name, content in rng.sample(whole, 2):
        broken = bytearray(content[: rng.randint(1, len(content))])
        for _ in range(20):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        files.append((f"{name}, broken", bytes(broken)))
    files += [("noise", rng.randbytes(2**20)), ("large", picture(1600, 1200))]
    answers: list[Result] = []
    for name, content in files:
        upload = (f"{name}.png", content)
        answers.append(await free(paused.bob.slash, paused.channel, "edit", image=upload, prompt="a hill"))
    assert any(answer.ephemeral for answer in answers)
    assert not answers[-1].ephemeral, words(answers[-1])


async def test_no_form_does(world: World):
    done = await world.ended(await world.imagine(world.alice, steps=2))
    running = await world.imagine(world.alice, steps=ENDLESS)
    await world.until(lambda: world.message(running.message_id).attachments)

    async def steer(text: str) -> None:
        form = await world.alice.click(world.message(running.message_id), label="Steer")
        await world.alice.submit(form, prompt=text)

    async def edit(text: str) -> None:
        form = await world.bob.context_menu("Edit this picture", world.message(done.message_id))
        await world.bob.submit(form, prompt=text)

    async def remix(text: str) -> None:
        form = await world.alice.click(world.message(done.message_id), label="Remix")
        await world.alice.submit(form, prompt=text, seed=text[:10])

    for text in texts(6, 2000):
        for fill_in in (steer, edit, remix):
            await free(fill_in, text)
    await world.alice.click(world.message(running.message_id), label="Stop")


async def test_no_autocomplete_does(paused: World):
    for _ in range(50):
        await paused.imagine(paused.alice)
    for text in texts(20, 1000):
        for command, option in (("imagine", "size"), ("imagine", "model"), ("cancel", "job"), ("show", "job")):
            await free(paused.alice.autocomplete, paused.channel, command, option, text)

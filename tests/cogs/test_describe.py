"""/describe: words, and the picture that they make."""

import discord
import pytest

from bot.chat import content
from bot.chat.components import GroupButton
from bot.jobs import JobState
from bot.refusals import Refusal
from cogs import describe
from tests.bot.chat.test_attachments import message
from tests.cogs.direct import GUILD, Use, attached, text_of, use
from tests.simulated import png, words


async def test_a_picture_is_described_and_its_words_are_painted(world):
    result = await world.alice.slash(world.channel, "describe", image=("a.png", png("red", (64, 64))))
    assert result.ephemeral
    text = words(result)
    assert "Things" in text
    assert "As a prompt" in text
    assert "best guess" in text
    await world.alice.click(result.response, label="Paint this")
    [job] = await world.ledger.history(world.alice.id)
    assert job.prompt in text
    assert (await world.ended(job)).state is JobState.DELIVERED


async def test_a_message_is_described_from_its_menu(world):
    message = await world.bob.send(world.channel, "look", ("a.png", png("blue", (64, 64))))
    result = await world.alice.context_menu("Describe this picture", message)
    assert "As a prompt" in words(result)
    empty = await world.bob.send(world.channel, "only words")
    assert "no picture" in words(await world.alice.context_menu("Describe this picture", empty))


@pytest.fixture
def described(bot, uploads, monkeypatch):
    """What the networks say, in no time; returns what they were asked."""
    asked = []

    def found(*what):
        asked.append(what)
        return {"words": {"things": [("a *cat*", 0.256), ("dog", 0.2)], "looks": [("oil", 0.1)]}, "prompt": "a *cat*"}

    monkeypatch.setattr(bot.extensions["cogs.describe"], "described", found)
    return asked


async def test_words_are_shown_by_kind_with_how_near_they_are_and_can_be_painted(bot, uploads, described):
    uploads.files["a"] = png("blue")
    asked = await use(bot, "describe", Use(bot, 2), image=attached("a.png"))
    assert asked.deferrals == [{"ephemeral": True, "thinking": True}]
    assert uploads.fetched == [(2, "a.png", "picture")]
    assert described == [(png("blue"), bot.settings.models.folder, "embedded")]
    assert asked.lines == [
        "**Things** · a \\*cat\\* (0.26), dog (0.20)",
        "**Looks** · oil (0.10)",
        "**As a prompt** · a \\*cat\\*",
        "-# by embedded, with how near each word is",
        describe._HONEST,
    ]
    assert asked.colour == content.BLUE
    (button,) = [part for part in asked.how["view"].walk_children() if isinstance(part, GroupButton)]
    assert button.item.label == "Paint this"
    kept = await bot.intake.read_note(2, button.note)
    assert (kept["options"], kept["asked"]) == ({"prompt": "a *cat*"}, asked.id)
    with pytest.raises(Refusal):
        await bot.intake.read_note(1, button.note)


async def test_of_larger_networks_it_is_no_guess(bot, described, monkeypatch):
    chosen = []
    module = bot.extensions["cogs.describe"]
    monkeypatch.setattr(module, "perceptors", lambda *which: chosen.append(which) or ("ViT-B/32", "RN50"))
    asked = await use(bot, "describe", image=attached("a.png"))
    assert chosen == [("embedded", bot.settings.models)]
    assert described[0][2] == "ViT-B/32"
    assert asked.lines[-1] == "-# by ViT-B/32, with how near each word is"


async def test_it_is_refused_to_whom_painting_is_and_after_some_in_a_minute(bot, uploads, described):
    for _ in range(describe._PER_MINUTE):
        await use(bot, "describe", image=attached("a.png"))
    asked = Use(bot)
    with pytest.raises(Refusal, match="in a minute"):
        await use(bot, "describe", asked, image=attached("a.png"))
    assert not asked.deferred
    await use(bot, "describe", Use(bot, 2), image=attached("a.png"))
    await bot.queue.change_guild(GUILD, blocked_users=frozenset({3}))
    with pytest.raises(Refusal, match="may not use"):
        await use(bot, "describe", Use(bot, 3), image=attached("a.png"))
    assert len(described) == describe._PER_MINUTE + 1 == len(uploads.fetched)


async def test_the_menu_describes_the_first_picture_and_goes_with_its_command(bot, uploads, described):
    kind = discord.AppCommandType.message
    menu = bot.tree.get_command("Describe this picture", type=kind)
    cdn = bot.settings.model_copy(update={"discord": type(bot.settings.discord)()})
    bot.settings = cdn
    asked = Use(bot)
    await menu.callback(asked, message(("a.txt",), ("b.png",), ("c.png",)))
    assert [name for _, name, _ in uploads.fetched] == ["b.png"]
    assert "As a prompt" in text_of(asked.how["view"])
    await bot.unload_extension("cogs.describe")
    assert bot.tree.get_command("Describe this picture", type=kind) is None
    assert bot.tree.get_command("Edit this picture", type=kind) is not None

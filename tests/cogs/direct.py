"""Commands as Discord calls them, on a bot that is not connected: in milliseconds, and nothing is painted."""

import itertools
from types import SimpleNamespace
from typing import Any

import discord

from bot.chat.attachments import Upload
from bot.chat.client import PaintingBot
from bot.jobs import Job
from tests.bot.chat.fake_discord import ALL, GUILD, Asked
from tests.simulated import png

__all__ = ["GUILD", "Uploads", "Use", "attached", "made", "text_of", "use"]
_messages = itertools.count(9000)
_RED = png("red")


class Use(Asked):
    """The interaction of a command; keeps the forms that it is answered with too."""

    def __init__(
        self,
        bot: PaintingBot,
        user_id: int = 1,
        *,
        permissions: discord.Permissions = ALL,
        guild_id: int | None = GUILD,
        **filled: Any,
    ) -> None:
        super().__init__(user_id, permissions, guild_id)
        self.client, self.namespace = bot, SimpleNamespace(**filled)
        self.message_id = next(_messages)
        self.forms: list[Any] = []
        self.deferrals: list[dict[str, Any]] = []

    async def send_message(self, content: str | None = None, **arguments: Any) -> Any:
        await super().send_message(content, **arguments)
        return SimpleNamespace(message_id=self.message_id)

    async def send_modal(self, form: Any) -> None:
        self.forms.append(form)

    async def defer(self, **how: Any) -> None:
        self.deferred = True
        self.deferrals.append(how)

    @property
    def how(self) -> dict[str, Any]:
        """Return what came with the one answer, or with its one edit."""
        (how,) = [how for _, how in self.answers] + self.edits
        return how

    @property
    def private(self) -> bool:
        """Return whether only who asked sees the answer."""
        return self.how.get("ephemeral") is True

    @property
    def lines(self) -> list[str]:
        """Return what the one answer says, without its heading."""
        return text_of(self.how["view"]).splitlines()[1:]

    @property
    def colour(self) -> int | None:
        """Return the colour of the one answer."""
        box = self.how["view"].children[0]
        return box.accent_colour.value if isinstance(box.accent_colour, discord.Colour) else box.accent_colour


def text_of(view: discord.ui.LayoutView) -> str:
    """Return all words of a message."""
    return "\n".join(part.content for part in view.walk_children() if isinstance(part, discord.ui.TextDisplay))


def _command(bot: PaintingBot, name: str) -> Any:
    command: Any = bot.tree
    for word in name.split():
        command = command.get_command(word)
    return command


async def use(bot: PaintingBot, command: str, /, asked: Use | None = None, **options: Any) -> Use:
    """Use a command; raise what it raises. What is not given has the command's own default."""
    asked = asked or Use(bot)
    known = _command(bot, command)
    await known.callback(known.binding, asked, **options)
    return asked


async def made(bot: PaintingBot, command: str, /, asked: Use | None = None, **options: Any) -> Job:
    """Use a command that asks for one painting; return its job, which that interaction shows."""
    asked = await use(bot, command, asked, **options)
    job = await bot.queue.ledger.by_interaction(asked.id)
    assert job is not None
    assert not asked.private
    assert (await bot.queue.ledger.by_message(asked.message_id)) == job
    return job


def attached(name: str = "a.png", *, spoiler: bool = False) -> Any:
    """Make an attachment of a command."""
    return SimpleNamespace(
        filename=name, url=f"https://cdn/{name}", size=7, content_type="image/png", is_spoiler=lambda: spoiler
    )


class Uploads:
    """Files that need no fetching: red, unless they are there by name; `fetched` is who asked for which as what."""

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.fetched: list[tuple[int, str, str]] = []

    async def fetch(self, user_id: int, file: Any, purpose: str = "picture") -> Upload:
        self.fetched.append((user_id, file.name, purpose))
        return Upload(self.files.get(file.name.partition(".")[0], _RED), 64, 32)

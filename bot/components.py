"""What people can press: persistent buttons with the job's id in their custom_id, and the forms they open."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import discord
from discord import ui

from bot.messages import ALT_LIMIT, Look
from bot.plain import bare

if TYPE_CHECKING:
    from bot.client import Painter

NOBODY = discord.AllowedMentions.none()
"""For edits: the client's own setting reaches sends only."""
FORM_SECONDS = 840.0
"""How long an open form waits: a little less than the interaction token lives."""
_PROMPT_LIMIT = 2000

_BUTTONS: dict[str, tuple[str, str, discord.ButtonStyle]] = {
    "rerun": ("Rerun", "🔁", discord.ButtonStyle.primary),
    "vary": ("Vary", "🎲", discord.ButtonStyle.secondary),
    "refine": ("Refine", "⬆️", discord.ButtonStyle.secondary),
    "timelapse": ("Timelapse", "🎞️", discord.ButtonStyle.secondary),
    "steer": ("Steer", "🧭", discord.ButtonStyle.primary),
    "stop": ("Stop", "⏹️", discord.ButtonStyle.secondary),
    "delete": ("Delete", "🗑️", discord.ButtonStyle.secondary),
}


class JobButton(ui.DynamicItem[ui.Button[Any]], template=r"job:(?P<action>[a-z-]{1,20}):(?P<job_id>[a-z2-7]{8})"):
    """A button under a job's message. Everything it needs is in its custom_id, so it outlives restarts."""

    def __init__(self, action: str, job_id: str) -> None:
        label, emoji, style = _BUTTONS.get(action, (action.title(), "❔", discord.ButtonStyle.secondary))
        super().__init__(ui.Button(label=label, emoji=emoji, style=style, custom_id=f"job:{action}:{job_id}"))
        self.action = action
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["action"], match["job_id"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Hand the press on; no exception leaves, as discord.py would only log it."""
        try:
            await _painter(interaction).actions.press(interaction, self.action, self.job_id)
        except Exception as error:
            await _painter(interaction).explain(interaction, error)


class PageButton(
    ui.DynamicItem[ui.Button[Any]], template=r"history:(?P<user_id>\d{1,20}):(?P<page>\d{1,6}):(?P<way>[on])"
):
    """Turn a page of somebody's history: `way` o for older, n for newer."""

    def __init__(self, user_id: int, page: int, way: str, *, disabled: bool = False) -> None:
        label, emoji = ("Older", "◀️") if way == "o" else ("Newer", "▶️")
        custom_id = f"history:{user_id}:{page}:{way}"
        super().__init__(ui.Button(label=label, emoji=emoji, custom_id=custom_id, disabled=disabled))
        self.user_id = user_id
        self.page = page

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(int(match["user_id"]), int(match["page"]), match["way"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the page in the same message."""
        try:
            await _painter(interaction).history.turn(interaction, self.user_id, self.page)
        except Exception as error:
            await _painter(interaction).explain(interaction, error)


class Form(ui.Modal):
    """A modal whose errors reach the one error handler."""

    def __init__(self, title: str) -> None:
        super().__init__(title=title, timeout=FORM_SECONDS)

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, /) -> None:
        """Tell the person what went wrong."""
        await _painter(interaction).explain(interaction, error)


class SteerForm(Form):
    """Ask for the words that a running painting shall follow from now on."""

    def __init__(self, job_id: str, prompt: str) -> None:
        super().__init__("Steer this painting")
        self.job_id = job_id
        self.prompt: ui.TextInput[Self] = ui.TextInput(
            style=discord.TextStyle.paragraph, default=prompt[:_PROMPT_LIMIT], min_length=1, max_length=_PROMPT_LIMIT
        )
        self.add_item(
            ui.Label(
                text="From now on, paint", description="The picture goes on from what it shows.", component=self.prompt
            )
        )

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Swap the prompt of the running painting."""
        await _painter(interaction).actions.steer(interaction, self.job_id, self.prompt.value)


def layout(look: Look, job_id: str, picture: str | None) -> ui.LayoutView:
    """Lay out a job's message; `picture` is the name of the file that travels with it, None without one."""
    box: ui.Container[Any] = ui.Container(ui.TextDisplay(look.title), accent_colour=look.colour)
    if picture is not None:
        gallery: ui.MediaGallery[Any] = ui.MediaGallery()
        alt = bare(look.alt, ALT_LIMIT) or None
        gallery.add_item(media=f"attachment://{picture}", description=alt, spoiler=look.veiled)
        box.add_item(gallery)
    box.add_item(ui.TextDisplay("\n".join((look.status, *look.small))))
    if look.buttons:
        box.add_item(row(*(JobButton(action, job_id) for action in look.buttons)))
    return boxed(box)


def row(*buttons: ui.Item[Any]) -> ui.ActionRow[Any]:
    """Put up to five buttons beside each other."""
    line: ui.ActionRow[Any] = ui.ActionRow()
    for button in buttons:
        line.add_item(button)
    return line


def boxed(*parts: ui.Item[Any]) -> ui.LayoutView:
    """Wrap `parts` in a view that never times out: its buttons are all rebuilt from their custom_id."""
    view = ui.LayoutView(timeout=None)
    for part in parts:
        view.add_item(part)
    return view


def _painter(interaction: discord.Interaction[Any]) -> "Painter":
    return interaction.client


def note(title: str, lines: Sequence[str], colour: int) -> ui.LayoutView:
    """Lay out a short notice: a heading and some lines of markdown."""
    return boxed(ui.Container(ui.TextDisplay(f"### {title}"), ui.TextDisplay("\n".join(lines)), accent_colour=colour))

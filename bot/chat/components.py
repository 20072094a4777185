"""Buttons and layouts. All state is in the custom_id, so that they work after a restart."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import discord
from discord import ui

from bot.chat.content import ALT_LIMIT, MessageContent
from bot.escaping import bare
from engine.spec import MOST_PICTURES

NOBODY = discord.AllowedMentions.none()
"""For edits: the client's own setting reaches sends only."""
BUTTONS_IN_A_ROW = 5

_BUTTONS: dict[str, tuple[str, str, discord.ButtonStyle]] = {
    "rerun": ("Rerun", "🔁", discord.ButtonStyle.primary),
    "remix": ("Remix", "🖋️", discord.ButtonStyle.secondary),
    "vary": ("Vary", "🎲", discord.ButtonStyle.secondary),
    "refine": ("Refine", "⬆️", discord.ButtonStyle.secondary),
    **{f"v{number}": (f"V{number}", "🎲", discord.ButtonStyle.secondary) for number in range(1, MOST_PICTURES + 1)},
    **{f"u{number}": (f"U{number}", "⬆️", discord.ButtonStyle.secondary) for number in range(1, MOST_PICTURES + 1)},
    "edit": ("Edit", "🖌️", discord.ButtonStyle.secondary),
    "zoom-out": ("Zoom out × 1.5", "🔎", discord.ButtonStyle.secondary),
    "zoom-out-far": ("Zoom out × 2", "🔍", discord.ButtonStyle.secondary),
    "pan-left": ("Left", "⬅️", discord.ButtonStyle.secondary),
    "pan-up": ("Up", "⬆️", discord.ButtonStyle.secondary),
    "pan-down": ("Down", "⬇️", discord.ButtonStyle.secondary),
    "pan-right": ("Right", "➡️", discord.ButtonStyle.secondary),
    "timelapse": ("Timelapse", "🎞️", discord.ButtonStyle.secondary),
    "tiled": ("2 × 2", "🧩", discord.ButtonStyle.secondary),
    "steer": ("Steer", "🧭", discord.ButtonStyle.primary),
    "stop": ("Stop", "⏹️", discord.ButtonStyle.secondary),
    "delete": ("Delete", "🗑️", discord.ButtonStyle.secondary),
}


class ButtonClient(Protocol):
    """What a client does when a button is pressed."""

    async def press_button(self, interaction: discord.Interaction[Any], action: str, job_id: str, /) -> None:
        """Do `action` with a job."""
        ...

    async def press_group(self, interaction: discord.Interaction[Any], note: str, /, *, stops: bool) -> None:
        """Queue the paintings of a prompt with choices, or stop them."""
        ...

    async def turn_page(self, interaction: discord.Interaction[Any], user_id: int, page: int, /) -> None:
        """Show another page of somebody's history."""
        ...


class JobButton(ui.DynamicItem[ui.Button[Any]], template=r"job:(?P<action>[a-z1-4-]{1,20}):(?P<job_id>[a-z2-7]{8})"):
    """A button under a job's message, rebuilt from its custom_id."""

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
        """Call the client's handler."""
        client: ButtonClient = interaction.client
        await client.press_button(interaction, self.action, self.job_id)


class GroupButton(
    ui.DynamicItem[ui.Button[Any]], template=r"group:(?P<note>[a-z0-9]{1,40}):(?P<count>\d{1,3})(?P<stops>:stop)?"
):
    """A button that queues all paintings of a prompt with choices, or `stops` them; they are written down in a note."""

    def __init__(self, note: str, count: int, *, stops: bool = False) -> None:
        label, emoji, style = "Stop all", "⏹️", discord.ButtonStyle.secondary
        if not stops:
            label = "Paint this" if count == 1 else f"Paint all {count}"
            emoji, style = "🖼️", discord.ButtonStyle.primary
        custom_id = f"group:{note}:{count}{':stop' if stops else ''}"
        super().__init__(ui.Button(label=label, emoji=emoji, style=style, custom_id=custom_id))
        self.note = note
        self.stops = stops

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["note"], int(match["count"]), stops=match["stops"] is not None)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Call the client's handler."""
        client: ButtonClient = interaction.client
        await client.press_group(interaction, self.note, stops=self.stops)


class PageButton(
    ui.DynamicItem[ui.Button[Any]], template=r"history:(?P<user_id>\d{1,20}):(?P<page>\d{1,6}):(?P<way>[on])"
):
    """A button that shows another page of a person's history; `way` is o (older) or n (newer)."""

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
        client: ButtonClient = interaction.client
        await client.turn_page(interaction, self.user_id, self.page)


def layout(body: MessageContent, job_id: str, pictures: Sequence[str] = ()) -> ui.LayoutView:
    """Lay out a job's message; `pictures` are the names of the files that travel with it."""
    box: ui.Container[Any] = ui.Container(ui.TextDisplay(body.title), accent_colour=body.colour)
    if pictures:
        gallery: ui.MediaGallery[Any] = ui.MediaGallery()
        for number, picture in enumerate(pictures, start=1):
            gallery.add_item(
                media=f"attachment://{picture}", description=alt_of(body, number, len(pictures)), spoiler=body.spoiler
            )
        box.add_item(gallery)
    box.add_item(ui.TextDisplay("\n".join((body.status, *body.small))))
    for some in _rows(body.buttons):
        box.add_item(row(*(JobButton(action, job_id) for action in some)))
    return boxed(box)


def alt_of(body: MessageContent, number: int, count: int) -> str | None:
    """Describe one of a message's pictures, for those who do not see it."""
    if count == 1:
        return bare(body.alt, ALT_LIMIT) or None
    return f"{bare(body.alt, ALT_LIMIT - 10)} ({number} of {count})"


def _rows(buttons: Sequence[str]) -> Iterator[Sequence[str]]:
    """Put up to five buttons in a row, and those of several pictures, V1 to V4 and U1 to U4, in rows of their own."""
    for _, group in itertools.groupby(buttons, key=lambda action: action[0] if action[-1].isdigit() else ""):
        alike = list(group)
        for first in range(0, len(alike), BUTTONS_IN_A_ROW):
            yield alike[first : first + BUTTONS_IN_A_ROW]


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


def note(title: str, lines: Sequence[str], colour: int) -> ui.LayoutView:
    """Lay out a short notice: a heading and some lines of markdown."""
    return boxed(ui.Container(ui.TextDisplay(f"### {title}"), ui.TextDisplay("\n".join(lines)), accent_colour=colour))

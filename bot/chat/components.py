"""Buttons, forms and layouts. All state is in the custom_id, so that they work after a restart."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import discord
from discord import ui

from bot.chat.content import ALT_LIMIT, MessageContent
from bot.escaping import bare

NOBODY = discord.AllowedMentions.none()
"""For edits: the client's own setting reaches sends only."""
_FORM = re.compile(r"form:(?P<kind>[a-z]{1,20}):(?P<about>[a-z0-9]{1,40})")
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


class ButtonClient(Protocol):
    """What a client does when a button is pressed."""

    async def press_button(self, interaction: discord.Interaction[Any], action: str, job_id: str, /) -> None:
        """Do `action` with a job."""
        ...

    async def turn_page(self, interaction: discord.Interaction[Any], user_id: int, page: int, /) -> None:
        """Show another page of somebody's history."""
        ...


class JobButton(ui.DynamicItem[ui.Button[Any]], template=r"job:(?P<action>[a-z-]{1,20}):(?P<job_id>[a-z2-7]{8})"):
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


class Form(ui.Modal):
    """A modal whose answer goes to `PaintingBot.on_interaction`, whichever process opened it."""

    def __init__(self, title: str, kind: str, about: str) -> None:
        super().__init__(title=title, custom_id=f"form:{kind}:{about}", timeout=None)
        self.stop()  # discord.py would wait for it in this process, and for ever where it is closed unsent

    def ask(self, text: str, hint: str | None, field: "ui.TextInput[Self]") -> None:
        """Add a field under a heading."""
        self.add_item(ui.Label(text=text, description=hint, component=field))


def form_of(interaction: discord.Interaction[Any]) -> tuple[str, str, dict[str, str]] | None:
    """Return kind, subject and fields of a submitted form; None for any other interaction."""
    data: Any = interaction.data
    found = _FORM.fullmatch(data["custom_id"]) if interaction.type is discord.InteractionType.modal_submit else None
    return None if found is None else (found["kind"], found["about"], _fields(data["components"]))


def _fields(components: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Collect the fields by their custom_id, however they are wrapped."""
    fields: dict[str, str] = {}
    for component in components:
        if "value" in component:
            fields[component["custom_id"]] = component["value"]
        fields |= _fields([component["component"]] if "component" in component else component.get("components", []))
    return fields


class SteerForm(Form):
    """Ask for the new prompt of a running job."""

    def __init__(self, job_id: str, prompt: str) -> None:
        super().__init__("Steer this painting", "steer", job_id)
        self.ask(
            "From now on, paint",
            "The picture goes on from what it shows.",
            ui.TextInput(
                custom_id="prompt",
                style=discord.TextStyle.paragraph,
                default=prompt[:_PROMPT_LIMIT],
                min_length=1,
                max_length=_PROMPT_LIMIT,
            ),
        )


def layout(body: MessageContent, job_id: str, picture: str | None) -> ui.LayoutView:
    """Lay out a job's message; `picture` is the name of the file that travels with it, None without one."""
    box: ui.Container[Any] = ui.Container(ui.TextDisplay(body.title), accent_colour=body.colour)
    if picture is not None:
        gallery: ui.MediaGallery[Any] = ui.MediaGallery()
        alt = bare(body.alt, ALT_LIMIT) or None
        gallery.add_item(media=f"attachment://{picture}", description=alt, spoiler=body.spoiler)
        box.add_item(gallery)
    box.add_item(ui.TextDisplay("\n".join((body.status, *body.small))))
    if body.buttons:
        box.add_item(row(*(JobButton(action, job_id) for action in body.buttons)))
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


def note(title: str, lines: Sequence[str], colour: int) -> ui.LayoutView:
    """Lay out a short notice: a heading and some lines of markdown."""
    return boxed(ui.Container(ui.TextDisplay(f"### {title}"), ui.TextDisplay("\n".join(lines)), accent_colour=colour))

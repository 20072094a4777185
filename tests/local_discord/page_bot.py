"""A small bot with one of everything that a message, a command and a form can have."""

import asyncio
import io
import threading
from typing import Any

import discord
from discord import app_commands, ui
from PIL import Image

THOUGHT = threading.Event()
"""Set as long as nobody wants to see the bot thinking."""

MARKDOWN = (
    "## Heading\n**bold** *slanted* __under__ ~~gone~~ `code <b>` ||hidden|| \\*plain\\*\n-# small\n> quoted\n"
    "- one\n- two\n1. first\n```py\nprint('<i>')\n```\n[a link](https://example.org/a_b_c) <script>alert(1)</script>"
    " <t:86400:R> <t:86400:D>"
)


def picture(colour: str = "red") -> discord.File:
    buffer = io.BytesIO()
    Image.new("RGB", (320, 200), colour).save(buffer, "PNG")
    buffer.seek(0)
    return discord.File(buffer, f"{colour}.png", description=f"all {colour}")


class Everything(ui.LayoutView):
    """One of each component that a message can hold."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        box: ui.Container[Any] = ui.Container(accent_colour=0x3BA55D)
        box.add_item(ui.TextDisplay(MARKDOWN))
        box.add_item(ui.Separator())
        box.add_item(ui.Section("beside it", accessory=ui.Thumbnail("attachment://red.png", description="small red")))
        gallery: ui.MediaGallery[Any] = ui.MediaGallery()
        gallery.add_item(media="attachment://green.png", description="all green")
        gallery.add_item(media="attachment://blue.png", description="all blue", spoiler=True)
        box.add_item(gallery)
        box.add_item(ui.File("attachment://words.txt"))
        row: ui.ActionRow[Any] = ui.ActionRow()
        for name in ("answers", "edits", "silent"):
            row.add_item(ui.Button(label=name, custom_id=name))
        row.add_item(ui.Button(label="elsewhere", url="https://example.org"))
        row.add_item(ui.Button(label="off", custom_id="off", disabled=True))
        box.add_item(row)
        one = [discord.SelectOption(label=word, value=word, description=f"the {word}") for word in ("apple", "pear")]
        selects: tuple[Any, ...] = (
            ui.Select(custom_id="one", options=one, placeholder="one of them"),
            ui.Select(custom_id="many", options=one, min_values=1, max_values=2, placeholder="some of them"),
            ui.UserSelect(custom_id="who"),
            ui.ChannelSelect(custom_id="where"),
        )
        for select in selects:
            line: ui.ActionRow[Any] = ui.ActionRow()
            box.add_item(line.add_item(select))
        self.add_item(box)


class Form(ui.Modal, title="Tell me"):
    """One of each field that a form can hold."""

    words = ui.Label(text="Words", component=ui.TextInput(custom_id="words", min_length=3))
    one = ui.Label(
        text="One", component=ui.Select(custom_id="one", options=[discord.SelectOption(label="pear", value="p")])
    )
    file = ui.Label(text="File", component=ui.FileUpload(custom_id="file"))
    pick = ui.Label(
        text="Pick",
        component=ui.RadioGroup(
            custom_id="pick",
            options=[
                discord.RadioGroupOption(label="left", value="l"),
                discord.RadioGroupOption(label="right", value="r"),
            ],
        ),
    )
    tick = ui.Label(text="Tick", component=ui.Checkbox(custom_id="tick"))

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        answers: dict[Any, Any] = {getattr(inner, "custom_id", None): inner for inner in self.walk_children()}
        file = answers["file"].values[0]
        taken = [
            answers["words"].value,
            answers["one"].values,
            file.filename,
            answers["pick"].value,
            answers["tick"].value,
        ]
        await interaction.response.send_message(f"got {taken}", ephemeral=True)


@app_commands.command(description="Show everything.")
async def everything(interaction: discord.Interaction) -> None:
    files = [picture(), picture("green"), picture("blue"), discord.File(io.BytesIO(b"hello"), "words.txt")]
    await interaction.response.send_message(view=Everything(), files=files)


@app_commands.command(description="Take every kind of option.")
@app_commands.choices(taste=[app_commands.Choice(name="sweet one", value=7)])
async def take(
    interaction: discord.Interaction,
    words: str,
    count: app_commands.Range[int, 1, 9],
    share: float,
    yes: bool,
    who: discord.User,
    where: discord.TextChannel,
    file: discord.Attachment,
    taste: int | None = None,
    found: str | None = None,
) -> None:
    taken = [words, count, share, yes, who.name, where.name, file.filename, taste, found]
    await interaction.response.send_message(f"took {taken}")


@take.autocomplete("found")
async def _found(interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
    names = ("north pole", "south pole")
    return [app_commands.Choice(name=name, value=name[:5]) for name in names if typed in name]


@app_commands.command(description="Open a form.")
async def form(interaction: discord.Interaction) -> None:
    await interaction.response.send_modal(Form())


@app_commands.command(description="Say nothing.")
async def silence(interaction: discord.Interaction) -> None:
    pass


@app_commands.command(description="Think first.")
async def think(interaction: discord.Interaction) -> None:
    await interaction.response.defer(thinking=True)
    await asyncio.to_thread(THOUGHT.wait, 60)
    embed = discord.Embed(title="Thought", description="**well**", colour=0xF0B232).add_field(name="so", value="what")
    await interaction.edit_original_response(content=f"in <#{interaction.channel_id}>", embed=embed)


@app_commands.context_menu(name="Count the letters")
async def count_letters(interaction: discord.Interaction, message: discord.Message) -> None:
    await interaction.response.send_message(f"{len(message.content)} letters", ephemeral=True)


class Bot(discord.Client):
    """A bot with one command for each thing that the page must be able to do."""

    def __init__(self, ready: threading.Event) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)
        self._ready_for_people = ready
        for command in (everything, take, form, silence, think, count_letters):
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def on_ready(self) -> None:
        self._ready_for_people.set()

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        data: Any = interaction.data or {}
        if interaction.type is not discord.InteractionType.component or data["custom_id"] == "silent":
            return
        if data["custom_id"] == "edits":
            view = ui.LayoutView().add_item(ui.TextDisplay("edited"))
            await interaction.response.edit_message(view=view, attachments=[])
        else:
            await interaction.response.send_message(f"{data['custom_id']} {data.get('values')}", ephemeral=True)

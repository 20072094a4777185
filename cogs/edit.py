"""/edit, and "Edit this picture" in a message's menu."""

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.chat.attachments import Upload, check_source
from bot.chat.client import PaintingBot
from bot.chat.components import Form
from bot.chat.intake import defer_if_slow
from bot.chat.message_files import ShownFile, files_of, of_attachment
from bot.chat.people import person_of
from bot.options import EDIT_STRENGTH, EditOptions, PaintingOptions
from bot.refusals import Refusal
from bot.worker.events import HIDING_NOTICES
from cogs.options import Preset, Seed, Steps, Strength


class Edit(commands.Cog):
    """Edit pictures by text."""

    def __init__(self, bot: PaintingBot) -> None:
        self.bot = bot
        self.menu = app_commands.ContextMenu(name="Edit this picture", callback=self.edit_message)

    async def cog_load(self) -> None:
        """Add the message menu, for which discord.py has no decorator inside a cog, and take its form."""
        self.bot.tree.add_command(self.menu)
        self.bot.forms |= {"edit": self.edit_job, "attached": self.edit_attached}

    async def cog_unload(self) -> None:
        """Take the message menu away again."""
        self.bot.tree.remove_command(self.menu.name, type=self.menu.type)

    @app_commands.command()
    @app_commands.rename(shows="from")
    @app_commands.describe(
        image="The picture to change",
        prompt="What it shall show: a house in winter",
        shows="What it shows now: a house in summer; then only the difference is painted",
        mask="A black and white picture of the same shape: only what is white changes",
        mask_text="Words for the part that may change: the sky",
        strength="How far it may leave the picture, from 0.05 to 1",
        steps="How long to paint; more is finer",
        seed="The same seed and settings give the same picture",
        preset="A named set of numbers: draft is quick, fine is slow",
    )
    async def edit(
        self,
        interaction: discord.Interaction[Any],
        image: discord.Attachment,
        prompt: app_commands.Range[str, 1, 2000],
        shows: app_commands.Range[str, 1, 500] | None = None,
        mask: discord.Attachment | None = None,
        mask_text: app_commands.Range[str, 1, 200] | None = None,
        strength: Strength = EDIT_STRENGTH,
        steps: Steps | None = None,
        seed: Seed | None = None,
        preset: Preset | None = None,
    ) -> None:
        """Change a picture by words."""
        if mask is not None and mask_text is not None:
            raise Refusal("Give either a mask picture or mask words, not both.")
        await self.bot.intake.admit(person_of(interaction), " ".join((prompt, shows or "", mask_text or "")))
        picture = await defer_if_slow(interaction, self.bot.uploads.fetch(interaction.user.id, of_attachment(image)))
        cut_out = None
        if mask is not None:
            cut_out = await self.bot.intake.keep(
                await defer_if_slow(
                    interaction, self.bot.uploads.fetch(interaction.user.id, of_attachment(mask), "mask")
                )
            )
        edit = await self._edit_options(picture, strength, mask=cut_out, mask_text=mask_text, edit_from=shows)
        options = PaintingOptions(prompt=prompt, steps=steps, seed=seed, preset=preset, edit=edit)
        spoiler = any(file.is_spoiler() for file in (image, mask) if file is not None)
        await self.paint(interaction, options, spoiler=spoiler)

    async def edit_message(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        """Open the form for the first picture of a message."""
        person_of(interaction).require_channel_permissions()
        job = await self.bot.queue.ledger.by_message(message.id)
        if job is not None and job.kind != "timelapse" and self.bot.queue.files.picture(job) is not None:
            form = EditForm("edit", job.id)
        else:
            form = EditForm("attached", await self.bot.intake.save_note(self._picture_in(message).to_json()))
        await interaction.response.send_modal(form)

    def _picture_in(self, message: discord.Message) -> ShownFile:
        """Return the first picture of a message that may be taken; raise `Refusal`."""
        pictures = [file for file in files_of(message) if file.is_picture]
        if not pictures:
            raise Refusal("That message has no picture; pick one that has.")
        for picture in pictures[:-1]:
            with contextlib.suppress(Refusal):
                check_source(picture, self.bot.settings)
                return picture
        check_source(pictures[-1], self.bot.settings)
        return pictures[-1]

    async def edit_job(self, interaction: discord.Interaction[Any], job_id: str, fields: Mapping[str, str]) -> None:
        """Queue an edit of a job's picture, from the original file."""
        strength = await self._admitted(interaction, fields)
        job = await self.bot.actions.job(job_id)
        picture = self.bot.queue.files.picture_of(job)
        edit = EditOptions(picture=picture, picture_size=(job.spec.width, job.spec.height), strength=strength)
        options = PaintingOptions(prompt=fields["prompt"], edit=edit)
        await self.paint(interaction, options, spoiler=not HIDING_NOTICES.isdisjoint(job.notices))

    async def edit_attached(self, interaction: discord.Interaction[Any], note: str, fields: Mapping[str, str]) -> None:
        """Queue an edit of a picture that a message showed."""
        strength = await self._admitted(interaction, fields)
        file = ShownFile.from_json(await self.bot.intake.read_note(note))
        picture = await defer_if_slow(interaction, self.bot.uploads.fetch(interaction.user.id, file))
        edit = await self._edit_options(picture, strength)
        await self.paint(interaction, PaintingOptions(prompt=fields["prompt"], edit=edit), spoiler=file.spoiler)

    async def _admitted(self, interaction: discord.Interaction[Any], fields: Mapping[str, str]) -> float:
        """Check what a form says and whether this person may ask for it; return the strength."""
        strength = _strength(fields["strength"])
        await self.bot.intake.admit(person_of(interaction), fields["prompt"])
        return strength

    async def paint(self, interaction: discord.Interaction[Any], options: PaintingOptions, *, spoiler: bool) -> None:
        """Queue the edit and answer; `spoiler`: what it is made from is hidden."""
        intake = self.bot.intake
        spec = await intake.spec(person_of(interaction), options)
        await intake.take(interaction, await intake.request(interaction, "edit", spec, options.prompt, spoiler=spoiler))

    async def _edit_options(self, picture: Upload, strength: float, **more: str | None) -> EditOptions:
        path = await self.bot.intake.keep(picture)
        return EditOptions(picture=path, picture_size=(picture.width, picture.height), strength=strength, **more)


class EditForm(Form):
    """Ask for the prompt and the strength of an edit."""

    def __init__(self, kind: str, about: str) -> None:
        super().__init__("Edit this picture", kind, about)
        self.ask(
            "It shall show",
            None,
            ui.TextInput(
                custom_id="prompt",
                style=discord.TextStyle.paragraph,
                placeholder="a house in winter",
                min_length=1,
                max_length=2000,
            ),
        )
        self.ask(
            "Strength",
            "0.05 hardly changes it, 1 paints it anew",
            ui.TextInput(custom_id="strength", default=f"{EDIT_STRENGTH:g}", min_length=1, max_length=4),
        )


def _strength(text: str) -> float:
    try:
        strength = float(text.replace(",", "."))
    except ValueError:
        strength = math.nan
    if not 0.05 <= strength <= 1:
        raise Refusal("Write the strength as a number from 0.05 to 1.")
    return strength


async def setup(bot: PaintingBot) -> None:
    """Add the cog."""
    await bot.add_cog(Edit(bot))

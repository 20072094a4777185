"""/edit, and "Edit this picture" in a message's menu."""

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.chat.attachments import check_source
from bot.chat.client import PaintingBot
from bot.chat.components import Form
from bot.chat.intake import defer_if_slow
from bot.chat.message_files import ShownFile, files_of, of_attachment
from bot.chat.people import person_of
from bot.options import EDIT_STRENGTH, EditOptions, PaintingOptions
from bot.refusals import Refusal
from bot.worker.events import HIDING_NOTICES
from cogs.options import Preset, Seed, Steps, Strength

_TO_BE_FETCHED = "to be fetched"
_ANY_SIZE = (512, 512)


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
        edit = EditOptions(
            picture=_TO_BE_FETCHED,
            picture_size=_ANY_SIZE,
            mask=None if mask is None else _TO_BE_FETCHED,
            mask_text=mask_text,
            edit_from=shows,
            strength=strength,
        )
        options = PaintingOptions(prompt=prompt, steps=steps, seed=seed, preset=preset, edit=edit)
        cut_out = None if mask is None else of_attachment(mask)
        await self._fetch_and_paint(interaction, options, edit, of_attachment(image), cut_out)

    async def edit_message(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        """Open the form for the first picture of a message."""
        person_of(interaction).require_channel_permissions()
        job = await self.bot.queue.ledger.by_message(message.id)
        if job is not None and job.kind != "timelapse" and self.bot.queue.files.picture(job) is not None:
            form = EditForm("edit", job.id)
        else:
            note = self._picture_in(message).to_note()
            form = EditForm("attached", await self.bot.intake.save_note(interaction.user.id, note))
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
        """Paint over a picture of ours, from the original and not from what Discord made of it."""
        person, strength = person_of(interaction), _strength(fields["strength"])
        job = await self.bot.actions.job(person, job_id)
        picture = self.bot.queue.files.picture_of(job)
        edit = EditOptions(picture=picture, picture_size=(job.spec.width, job.spec.height), strength=strength)
        options = PaintingOptions(prompt=fields["prompt"], edit=edit)
        await self.bot.intake.admit(person, options, parent=job)
        await self.paint(interaction, options, spoiler=not HIDING_NOTICES.isdisjoint(job.notices))

    async def edit_attached(self, interaction: discord.Interaction[Any], note: str, fields: Mapping[str, str]) -> None:
        """Queue an edit of a picture that a message showed."""
        strength = _strength(fields["strength"])
        image = ShownFile.from_note(await self.bot.intake.read_note(interaction.user.id, note))
        edit = EditOptions(picture=_TO_BE_FETCHED, picture_size=_ANY_SIZE, strength=strength)
        options = PaintingOptions(prompt=fields["prompt"], edit=edit)
        await self._fetch_and_paint(interaction, options, edit, image, None)

    async def _fetch_and_paint(
        self,
        interaction: discord.Interaction[Any],
        options: PaintingOptions,
        edit: EditOptions,
        image: ShownFile,
        mask: ShownFile | None,
    ) -> None:
        """Fetch the files, once everything else is known to be right, and queue the edit."""
        await self.bot.intake.admit(person_of(interaction), options)
        user_id, fetch = interaction.user.id, self.bot.uploads.fetch
        uploads = [await defer_if_slow(interaction, fetch(user_id, image))]
        if mask is not None:
            uploads.append(await defer_if_slow(interaction, fetch(user_id, mask, "mask")))
        async with self.bot.intake.keeping(user_id, *uploads) as paths:
            size = (uploads[0].width, uploads[0].height)
            edit = dataclasses.replace(
                edit, picture=paths[0], picture_size=size, mask=None if mask is None else paths[1]
            )
            spoiler = image.spoiler or (mask is not None and mask.spoiler)
            await self.paint(interaction, dataclasses.replace(options, edit=edit), spoiler=spoiler)

    async def paint(self, interaction: discord.Interaction[Any], options: PaintingOptions, *, spoiler: bool) -> None:
        """Queue the edit and answer; `spoiler`: what it is made from is hidden."""
        intake = self.bot.intake
        spec = await intake.spec(person_of(interaction), options)
        await intake.take(interaction, await intake.request(interaction, "edit", spec, options.prompt, spoiler=spoiler))


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

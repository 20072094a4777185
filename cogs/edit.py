"""/edit, and "Edit this picture" in a message's menu."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.attachments import Upload, picture_in
from bot.chat.client import PaintingBot
from bot.chat.forms import Answers, EditForm
from bot.chat.intake import fetch_all, is_hidden
from bot.chat.message_files import ShownFile, of_attachment
from bot.chat.people import person_of
from bot.jobs import Job
from bot.options import EDIT_STRENGTH, EditOptions, PaintingOptions
from bot.refusals import Refusal
from cogs.options import Preset, Seed, Steps, Strength, described
from engine.prompts import Prompt

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
    @described("mask", "mask_text", "strength", "steps", "seed", "preset", "towards")
    @described(image="picture", prompt="edit_prompt", shows="edit_from")
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
        towards: discord.Attachment | None = None,
    ) -> None:
        """Change a picture by words."""
        if mask is not None and mask_text is not None:
            raise Refusal("Give either a mask picture or mask words, not both.")
        edit = EditOptions(
            picture=_TO_BE_FETCHED,
            picture_size=_ANY_SIZE,
            mask_text=mask_text,
            edit_from=shows,
            strength=strength,
        )
        options = PaintingOptions(prompt=prompt, steps=steps, seed=seed, preset=preset, edit=edit)
        files = {"picture": image, "mask": mask, "towards": towards}
        given = {name: of_attachment(file) for name, file in files.items() if file is not None}
        await self._fetch_and_paint(interaction, options, given)

    async def edit_message(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        """Open the form for the first picture of a message."""
        person_of(interaction).require_channel_permissions()
        job = await self.bot.queue.ledger.by_message(message.id)
        if job is not None and job.kind != "timelapse" and self.bot.queue.files.picture(job) is not None:
            form = EditForm("edit", job.id)
        else:
            note = picture_in(message, self.bot.settings).to_note()
            form = EditForm("attached", await self.bot.intake.save_note(interaction.user.id, note))
        await interaction.response.send_modal(form)

    async def edit_job(self, interaction: discord.Interaction[Any], job_id: str, answers: Answers) -> None:
        """Paint over a picture of ours, from the original and not from what Discord made of it."""
        job = await self.bot.actions.job(person_of(interaction), job_id)
        picture = self.bot.queue.files.picture_of(job)
        edit = EditOptions(
            picture=picture,
            picture_size=(job.spec.width, job.spec.height),
            mask_text=answers.texts.get("mask_text") or None,
            strength=_strength(answers.texts["strength"]),
        )
        await self._fetch_and_paint(
            interaction, PaintingOptions(prompt=answers.texts["prompt"], edit=edit), answers.files, job
        )

    async def edit_attached(self, interaction: discord.Interaction[Any], note: str, answers: Answers) -> None:
        """Queue an edit of a picture that a message showed."""
        edit = EditOptions(
            picture=_TO_BE_FETCHED,
            picture_size=_ANY_SIZE,
            mask_text=answers.texts.get("mask_text") or None,
            strength=_strength(answers.texts["strength"]),
        )
        image = ShownFile.from_note(await self.bot.intake.read_note(interaction.user.id, note))
        options = PaintingOptions(prompt=answers.texts["prompt"], edit=edit)
        await self._fetch_and_paint(interaction, options, {"picture": image, **answers.files})

    async def _fetch_and_paint(
        self,
        interaction: discord.Interaction[Any],
        options: PaintingOptions,
        files: Mapping[str, ShownFile],
        parent: Job | None = None,
    ) -> None:
        """Fetch the files, once everything else is known to be right, and queue the edit.

        `files` may hold the `picture` to edit, a `mask`, and a picture to paint `towards`. `parent` is the job whose
        picture is edited.
        """
        person, intake = person_of(interaction), self.bot.intake
        stand_ins = dict.fromkeys(files, Upload(b"", *_ANY_SIZE))
        await intake.admit(person, _with_files(options, dict.fromkeys(files, _TO_BE_FETCHED), stand_ins), parent)
        uploads = await fetch_all(interaction, self.bot.uploads, files)
        async with intake.keeping(person.requester.user_id, *uploads.values()) as paths:
            options = _with_files(options, dict(zip(uploads, paths, strict=True)), uploads)
            spec = await intake.spec(person, options)
            spoiler = any(file.spoiler for file in files.values()) or (parent is not None and is_hidden(parent))
            request = await intake.request(interaction, "edit", spec, options.prompt, spoiler=spoiler, parent=parent)
            await intake.take(interaction, request)


def _with_files(options: PaintingOptions, paths: Mapping[str, str], uploads: Mapping[str, Upload]) -> PaintingOptions:
    """Put the paths of files, by what they are for, into the options of an edit."""
    edit = options.edit
    assert edit is not None
    if "picture" in paths:
        size = (uploads["picture"].width, uploads["picture"].height)
        edit = dataclasses.replace(edit, picture=paths["picture"], picture_size=size)
    if "mask" in paths:
        edit = dataclasses.replace(edit, mask=paths["mask"])
    towards = (Prompt(kind="image", content=paths["towards"]),) if "towards" in paths else ()
    return dataclasses.replace(options, edit=edit, image_prompts=(*options.image_prompts, *towards))


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

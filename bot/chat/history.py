"""One person's pictures, a page at a time, with thumbnails."""

import asyncio
import io
from pathlib import Path
from typing import Any

import discord
from discord import ui
from PIL import Image

from bot.chat import content
from bot.chat.components import PageButton, boxed, row
from bot.escaping import plain
from bot.jobs import Job
from bot.queue.service import PaintingQueue
from bot.refusals import Refusal
from bot.worker.events import HIDING_NOTICES

PAGE = 5
_THUMBNAIL_SIDE = 160
_TITLE_LIMIT = 120


class History:
    """Show a person their own jobs, in private, as they span channels."""

    def __init__(self, queue: PaintingQueue) -> None:
        self._queue = queue

    async def open(self, interaction: discord.Interaction[Any]) -> None:
        """Answer with the newest page."""
        view, files = await self._page(interaction.user.id, 0)
        await interaction.response.send_message(view=view, files=files, ephemeral=True)

    async def turn(self, interaction: discord.Interaction[Any], user_id: int, page: int) -> None:
        """Replace the page shown; raise `Refusal` for somebody else's history."""
        if interaction.user.id != user_id:
            raise Refusal("This is somebody else's history; /history shows yours.")
        view, files = await self._page(user_id, page)
        await interaction.response.edit_message(view=view, attachments=files)

    async def _page(self, user_id: int, page: int) -> tuple[ui.LayoutView, list[discord.File]]:
        jobs = await self._queue.ledger.history(user_id, PAGE + 1, page * PAGE)
        if not jobs and page == 0:
            raise Refusal("You have not asked for a picture yet; try /imagine a lighthouse in a storm.")
        box: ui.Container[Any] = ui.Container(ui.TextDisplay("### Your pictures"), accent_colour=content.BLUE)
        files: list[discord.File] = []
        for job in jobs[:PAGE]:
            path = self._queue.files.picture(job) if job.kind != "timelapse" else None
            thumbnail = await asyncio.to_thread(_thumbnail, path) if path is not None else None
            box.add_item(ui.Separator())
            box.add_item(_entry(job, thumbnail, files))
        newer = PageButton(user_id, max(page - 1, 0), "n", disabled=page == 0)
        older = PageButton(user_id, page + 1, "o", disabled=len(jobs) <= PAGE)
        box.add_item(row(older, newer))
        return boxed(box), files


def _entry(job: Job, thumbnail: bytes | None, files: list[discord.File]) -> ui.Item[Any]:
    text = f"**{plain(job.prompt, _TITLE_LIMIT)}**\n-# {content.settings_line(job.spec)}\n"
    text += f"-# `{job.id}` · {content.STATES[job.state]} · <t:{int(job.created_at)}:R>{_link(job)}"
    if thumbnail is None:
        return ui.TextDisplay(text)
    file = discord.File(io.BytesIO(thumbnail), filename=f"thumbnail-{job.id}.jpg", description=job.prompt[:1000])
    files.append(file)
    return ui.Section(text, accessory=ui.Thumbnail(file, spoiler=not HIDING_NOTICES.isdisjoint(job.notices)))


def _link(job: Job) -> str:
    if job.message_id is None:
        return ""
    return f" · [message](https://discord.com/channels/{job.guild_id or '@me'}/{job.channel_id}/{job.message_id})"


def _thumbnail(path: Path) -> bytes | None:
    """Encode a small JPEG; None where the picture has been deleted meanwhile."""
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except OSError:
        return None
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()

"""Files that people send: kept with their name on them, within a quota, and deleted when nothing needs them."""

import asyncio
from collections.abc import Iterable

from bot.queue.files import Files
from bot.queue.ledger import Ledger
from bot.refusals import Refusal
from bot.settings import LimitSettings


class Inputs:
    """Keep what people send."""

    def __init__(self, files: Files, ledger: Ledger, limits: LimitSettings) -> None:
        self._files = files
        self._ledger = ledger
        self._limits = limits

    async def keep(self, user_id: int, content: bytes, suffix: str) -> str:
        """Keep a file as long as pictures are kept; return its path for a spec.

        Raises `Refusal` where there is too much already, and `StorageError` for a full disk.
        """
        own, of_all = await self._ledger.personal_data.uploaded(user_id)
        if own + len(content) > self._limits.upload_megabytes_per_user * 1e6:
            raise Refusal(
                f"You have sent {own / 1e6:.0f} MB of pictures, which is as much as is kept of one person; "
                "delete paintings that you do not need, or see /privacy."
            )
        if of_all + len(content) > self._limits.upload_megabytes_in_all * 1e6:
            raise Refusal("There is no room for more pictures that people send; try again tomorrow.")
        path = await asyncio.to_thread(self._files.save_input, content, suffix)
        await self._ledger.personal_data.note_upload(path, user_id, len(content))
        return path

    async def drop(self, user_id: int, paths: Iterable[str]) -> None:
        """Delete what a person sent for something that came to nothing."""
        await self.delete(await self._ledger.personal_data.release(list(paths), user_id))

    async def delete(self, paths: Iterable[str]) -> None:
        """Delete files that nothing refers to any more."""
        await asyncio.to_thread(self._files.delete_inputs, list(paths))

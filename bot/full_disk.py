"""Distinguish a full disk from everything else that may go wrong with files."""

import errno

FULL_DISK = "The disk of the bot is full; its owner has to make room before anything is painted."


def is_full_disk(error: BaseException) -> bool:
    """Return whether the disk is full; safetensors reports it in words of its own."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"os error {errno.ENOSPC}" in str(error)

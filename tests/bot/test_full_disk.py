"""A full disk is told from all else that may go wrong with files."""

import errno

import pytest

from bot.full_disk import is_full_disk


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "os error 28"), False),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("I/O error: Permission denied (os error 13)"), False),
        (ValueError("28"), False),
    ],
)
def test_a_full_disk_is_one_whoever_says_so(error, full):
    assert is_full_disk(error) is full

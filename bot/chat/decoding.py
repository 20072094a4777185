"""Decode one stranger's picture: file on standard input, pixels on standard output, a sentence on standard error.

Run as a child process, so that a decoder that goes wrong, or is taken over by what it reads, has nothing but this
process: `python -m bot.chat.decoding picture|mask LARGEST_FILE_IN_BYTES LONGEST_SIDE_IN_PIXELS`. Exit 3: the picture
is refused, for the reason given. Exit 4: nothing confines a process on this system, so nothing was read.
"""

import resource
import struct
import sys

from PIL import Image

from bot.sandbox import SandboxError, confine
from engine.pictures import BadPictureError, PictureLimits, read_mask, read_picture

REFUSED, NOT_CONFINED = 3, 4
HEADER = struct.Struct("!4sII")
_MEMORY_BYTES = 2 * 2**30
_CPU_SECONDS = 10
_LIMITS = {
    resource.RLIMIT_AS: _MEMORY_BYTES,
    resource.RLIMIT_CPU: _CPU_SECONDS,
    resource.RLIMIT_FSIZE: 0,  # it writes to a pipe and to nothing else
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 32,  # its own modules, one after the other
}


def main(purpose: str, file_bytes: int, longest_side: int) -> int:
    """Give up everything but computing, then read, decode and write; return the exit status.

    What comes out is `HEADER` (mode, width, height) and the pixels, at most `longest_side` wide and high. It is no
    picture file, so that nobody has to decode what a decoder that was taken over has written.
    """
    for kind, limit in _LIMITS.items():
        resource.setrlimit(kind, (limit, limit))
    Image.init()  # imports what it would import later, when no file can be opened any more
    try:
        confine()
    except SandboxError:
        return NOT_CONFINED
    limits = PictureLimits(file_bytes=file_bytes)
    try:
        image = (read_mask if purpose == "mask" else read_picture)(sys.stdin.buffer.read(), limits)
        image.thumbnail((longest_side, longest_side))
        pixels = HEADER.pack(image.mode.encode(), *image.size) + image.tobytes()
    except BadPictureError as error:
        sys.stderr.write(str(error))
        return REFUSED
    except MemoryError:
        sys.stderr.write("That picture needs too much memory; send a smaller one.")
        return REFUSED
    sys.stdout.buffer.write(pixels)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

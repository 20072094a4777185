"""Decode one stranger's picture: file on standard input, PNG on standard output, a sentence on standard error.

Run as a child process, so that a decoder that goes wrong takes only this process with it:
`python -m bot.chat.decoding picture|mask LARGEST_FILE_IN_BYTES`. Exit 3: the picture is refused, for the reason given.
"""

import io
import resource
import sys

from engine.pictures import BadPictureError, PictureLimits, read_mask, read_picture

REFUSED = 3
_MEMORY_BYTES = 2 * 2**30
_CPU_SECONDS = 15
_LONGEST_SIDE = 4096
"""Pixels: no painting is larger, so what is kept of an upload need not be."""
_LIMITS = {
    resource.RLIMIT_AS: _MEMORY_BYTES,
    resource.RLIMIT_CPU: _CPU_SECONDS,
    resource.RLIMIT_FSIZE: 0,  # it writes to a pipe and to nothing else
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 32,  # its own modules, one after the other
}


def main(purpose: str, file_bytes: int) -> int:
    """Read, decode and write; return the exit status."""
    for kind, limit in _LIMITS.items():
        resource.setrlimit(kind, (limit, limit))
    limits = PictureLimits(file_bytes=file_bytes)
    try:
        image = (read_mask if purpose == "mask" else read_picture)(sys.stdin.buffer.read(), limits)
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
    except BadPictureError as error:
        sys.stderr.write(str(error))
        return REFUSED
    except MemoryError:
        sys.stderr.write("That picture needs too much memory; send a smaller one.")
        return REFUSED
    sys.stdout.buffer.write(buffer.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

"""The decoding child's program, forked from a process that has done its imports: a second of work for each else."""

import io
import multiprocessing
import sys

from bot.chat import attachments, decoding


def decoded(content, limit):
    """Return the PNG that comes out, or the sentence of a refusal."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=decode, args=(theirs, content, limit))
    process.start()
    theirs.close()
    status, written, said = ours.recv()
    process.join()
    assert process.exitcode == 0
    if status == decoding.REFUSED:
        assert not written
        return said
    assert (status, said) == (0, "")
    upload = attachments.from_pixels(written, limit)
    assert upload is not None
    return upload.png


def decode(pipe, content, limit):
    """Be the child process: its program, its limits, its three streams."""
    sys.stdin, sys.stdout, sys.stderr = (io.TextIOWrapper(io.BytesIO(start)) for start in (content, b"", b""))
    status = decoding.main("picture", limit, 4096)
    sys.stderr.seek(0)
    pipe.send((status, sys.stdout.buffer.getvalue(), sys.stderr.read()))

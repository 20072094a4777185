"""Describe a picture in a process of its own: `-m bot.worker.describing FOLDER PERCEPTOR < picture`, to JSON.

The painter is not waited for, its device not shared, and the memory of the networks is given back.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.refusals import Refusal

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 600.0


def described(png: bytes, folder: Path, perceptor: str) -> Mapping[str, Any]:
    """Return `words`, by kind, and the `prompt` they make; raise `Refusal`. Blocks: not for the loop."""
    command = [sys.executable, "-m", "bot.worker.describing", str(folder.absolute()), perceptor]
    try:
        done = subprocess.run(  # noqa: S603, our own interpreter and words of ours
            command,
            input=png,
            capture_output=True,
            timeout=_SECONDS,
            cwd=_ROOT,
            env={"OMP_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refusal("Describing this takes too long; try again later.") from None
    if done.returncode:
        raise Refusal("That picture could not be described; the bot's owner can look with `python -m bot describe`.")
    return json.loads(done.stdout)


def main() -> None:
    """Read a PNG, write JSON."""
    os.nice(5)
    from engine.describe import describe
    from engine.devices import pick_device
    from engine.models import ModelStore
    from engine.pictures import read_picture

    store = ModelStore(Path(sys.argv[1]), pick_device("cpu", "fp32"))
    found = describe(read_picture(sys.stdin.buffer.read()), store.perceptor(sys.argv[2]))
    json.dump({"words": found.words, "prompt": found.prompt}, sys.stdout)


if __name__ == "__main__":
    main()

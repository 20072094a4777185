"""How this program is called, for lines that people paste."""

import shlex
import sys
from pathlib import Path


def program() -> str:
    """Return the beginning of a command line for this program, from the working folder: .venv/bin/python -m bot."""
    python = Path(sys.executable)
    here = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shlex.quote(str(here))} -m bot"

"""What all commands share: errors as one sentence, exit codes, settings."""

import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from bot.escaping import visible
from bot.settings import Settings, load_settings

FAILED, BAD_INPUT, STOPPED = 1, 2, 130
CONSOLE = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandError(Exception):
    """Something the command line cannot do; the text is one sentence."""


class CommandGroup(TyperGroup):
    """Run a command; print one sentence for its errors instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("Stopped; nothing was saved.")
            raise typer.Exit(STOPPED) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            about = f"{error.filename}: " if error.filename else ""
            say(f"{about}{error.strerror or error}.")
            raise typer.Exit(BAD_INPUT) from None
        except Exception as error:
            if ctx.params.get("trace") or _package_of(error) == "typer":
                raise
            if _package_of(error) in ("engine", "bot"):  # each of ours is a sentence for people
                say(str(error))
                raise typer.Exit(FAILED if isinstance(error, RuntimeError) else BAD_INPUT) from None
            say(f"This should not happen ({type(error).__name__}: {error}); `python -m bot --trace …` shows where.")
            raise typer.Exit(FAILED) from None


def settings_of(config: Path | None) -> Settings:
    """Read the settings; raise `BadSettingsError`."""
    return load_settings(config or default_config())


def default_config() -> Path | None:
    """Return config.yaml of this folder, if there is one."""
    path = Path("config.yaml")
    return path if path.is_file() else None


def _package_of(error: Exception) -> str:
    """Return the package that an error's class comes from."""
    return type(error).__module__.partition(".")[0]


def say(sentence: str) -> None:
    """Print something for people, where it is in nobody's pipe."""
    CONSOLE.print("\n".join(map(visible, sentence.split("\n"))), markup=False)


def require_yes(paintings: int, *, yes: bool) -> None:
    """Ask whether so many paintings are meant, where somebody sits at a terminal; exit where they are not."""
    if paintings > 1 and not yes and at_terminal() and not typer.confirm(f"{paintings} paintings?", err=True):
        raise typer.Exit(STOPPED)


def at_terminal() -> bool:
    """Return whether somebody sits there to be asked."""
    return sys.stdin.isatty()

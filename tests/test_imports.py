"""Imports run one way: cogs, then bot, then engine; training and bench know the engine only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"engine", "bot", "cogs", "local_discord", "training", "bench", "tests"}
MAY_IMPORT = {
    "engine": {"engine"},
    "bot": {"bot", "engine"},
    "bot/cli": {"bot", "engine", "local_discord"},
    "cogs": {"cogs", "bot", "engine"},
    "local_discord": {"local_discord"},
    "training": {"training", "engine"},
    "bench": {"bench", "engine"},
}


def imported(path):
    """List the packages of ours that a file imports, also inside its functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").partition(".")[0])
    return found & OURS


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_knows_only_those_below_it(package):
    inner = [ROOT / other for other in MAY_IMPORT if other.startswith(f"{package}/")]
    files = [path for path in (ROOT / package).rglob("*.py") if not any(path.is_relative_to(one) for one in inner)]
    assert files
    for path in files:
        assert imported(path) <= MAY_IMPORT[package], path


def test_a_forbidden_import_would_be_seen(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def f():\n    from bot.jobs import Job\n    import cogs.admin\n")
    assert imported(path) == {"bot", "cogs"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("engine.painting", {"discord", "aiohttp", "aiosqlite", "bot", "cogs"}),
        ("engine.spec", {"torch"}),
        ("bot.cli.commands", {"torch", "discord", "local_discord"}),
        ("bot.chat.client", {"local_discord", "cogs"}),
        ("bot.chat.decoding", {"torch", "discord", "pydantic_settings", "aiosqlite"}),
    ],
)
def test_what_is_loaded_with_a_module(module, absent):
    """Look at what Python really loads: the engine alone, a fast command line, a lean child for decoding."""
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

"""What CONTRIBUTING.md and the README say of the code exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALKS = re.findall(r"`([\w/]+\.py):([\w.]+)`", GUIDE)


def names_in(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """List the functions and classes of a module, methods as `Class.method`."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= names_in(node.body, f"{node.name}.")
    return found


def test_the_walks_are_there():
    assert len(WALKS) > 25


@pytest.mark.parametrize(("path", "name"), sorted(set(WALKS)))
def test_every_step_of_the_walks_exists(path, name):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in names_in(tree.body)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_every_file_that_is_named_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"\b((?:bot|cogs|engine|tests|training|bench|deploy|local_discord|models)/[\w./-]+\.\w+)", text)
    assert named
    for path in named:
        assert (ROOT / path).exists(), f"{page} names {path}"


SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PLAYED = [
    (path, fragment)
    for row in SECURITY.splitlines()
    if row.startswith("|")
    for path, names in re.findall(r"`([\w/]+\.py)`(?:: ((?:\w+(?:, )?)+))?", row.rpartition(" | ")[2])
    for fragment in names.split(", ") or [""]
]


def test_every_row_of_security_names_a_test_that_plays_it():
    rows = [line for line in SECURITY.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 15
    assert all(".py`" in row.rpartition(" | ")[2] for row in rows)


@pytest.mark.parametrize(("path", "fragment"), PLAYED)
def test_every_test_that_security_names_exists(path, fragment):
    code = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"def test_\w*{fragment.strip()}", code)


def test_every_test_file_that_the_page_on_tests_names_exists():
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(?:tests/[\w/]*)?(test_\w+)(?:\.py)?`", page):
        assert list((ROOT / "tests").rglob(f"{name}.py")), name


def test_every_test_that_proves_a_row_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    proofs = re.findall(r"`(tests/[\w/]+\.py):(test_\w+)`", readme)
    assert len(proofs) > 10
    for path, name in proofs:
        assert name in names_in(ast.parse((ROOT / path).read_text(encoding="utf-8")).body), f"{path}:{name}"

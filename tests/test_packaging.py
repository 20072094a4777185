"""What pip installs: the declared dependencies, the pinned sets, and a wheel that paints from any folder."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
LEFT_OUT = {canonicalize_name(Requirement(text).name) for text in PYPROJECT["tool"]["uv"]["override-dependencies"]}
SETS = {
    "requirements.txt": PROJECT["dependencies"],
    "requirements-dev.txt": [*PROJECT["dependencies"], *EXTRAS["training"], *EXTRAS["dev"]],
    "requirements-cluster.txt": [*PROJECT["dependencies"], *EXTRAS["cluster"]],
}
WITH_OTHERS = {"ray", "triton"}
"""Imported where it is there: an extra of ours, and what torch for GPUs brings along."""
SHIPPED = ("engine", "bot", "cogs", "local_discord")


def entries(name: str) -> list[tuple[str, list[str]]]:
    """Return what a file of requirements says of each package, and its hashes."""
    lines = (ROOT / name).read_text().replace("\\\n", "").splitlines()
    parts = [line.split("--hash=") for line in lines if line and not line.lstrip().startswith("#")]
    return [(first.strip(), [one.strip() for one in hashes]) for first, *hashes in parts]


def pins(name: str) -> dict[str, str]:
    """Return the versions that a file pins and that count on this machine."""
    found = [Requirement(line) for line, _ in entries(name)]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in found
        if one.marker is None or one.marker.evaluate()
    }


@pytest.mark.parametrize("name", SETS)
def test_the_pinned_sets_are_in_step_with_what_is_declared(name):
    pinned = pins(name)
    for requirement in map(Requirement, SETS[name]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is missing in {name}: run `make requirements`"
        assert requirement.specifier.contains(version), f"{requirement} and {name}: run `make requirements`"


@pytest.mark.parametrize("name", SETS)
def test_the_pinned_sets_hold_all_that_their_packages_need(name):
    pinned = pins(name)
    declared = [Requirement(text) for text in SETS[name]]
    extras = {str(canonicalize_name(one.name)): one.extras for one in declared}
    seen = 0
    for package, version in pinned.items():
        assert importlib.metadata.version(package).partition("+")[0] == version, f"{package}: run `make setup`"
        for requirement in map(Requirement, importlib.metadata.requires(package) or ()):
            wanted = canonicalize_name(requirement.name)
            marker = requirement.marker
            counts = marker is None or any(
                marker.evaluate({"extra": extra}) for extra in ("", *extras.get(package, ()))
            )
            if counts and wanted not in LEFT_OUT:
                assert wanted in pinned, f"{package} needs {requirement}, which {name} lacks: run `make requirements`"
                seen += 1
    assert seen > len(declared)


def test_both_sets_pin_the_same():
    base, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: dev.get(name) for name in base} == base


@pytest.mark.parametrize("name", SETS)
def test_every_package_is_installed_by_hash_but_torch(name):
    for requirement, hashes in entries(name):
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)
    for path in ("Makefile", "Dockerfile"):
        text = (ROOT / path).read_text()
        installs = [line for line in text.splitlines() if "-r requirements" in line and "pip compile" not in line]
        assert installs
        assert all("--require-hashes" in line or "$(PINNED)" in line for line in installs), path
    assert "PINNED := $(PIP) --no-deps --require-hashes" in (ROOT / "Makefile").read_text()


def test_the_line_that_installs_torch_reads_its_version():
    for path in ("Makefile", "Dockerfile"):
        (command,) = set(re.findall(r"grep -o '[^']*' requirements\.txt", (ROOT / path).read_text()))
        done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == f"torch=={pins('requirements.txt')['torch']}"


def test_every_package_that_is_imported_is_declared():
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    provided = importlib.metadata.packages_distributions()
    known = sys.stdlib_module_names | {*SHIPPED, *WITH_OTHERS}
    missing = set()
    for path in [path for package in SHIPPED for path in (ROOT / package).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in {name.partition(".")[0] for name in modules} - known:
                if not declared & {canonicalize_name(owner) for owner in provided.get(module, [])}:
                    missing.add(module)
    assert missing == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy, as the build writes beside what it builds
    for name in (*SHIPPED, "models"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSES.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, folder, source], check=True, cwd=folder)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_code_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {*SHIPPED, "models"}
    assert {name for name in names if name.startswith("models/")} == {
        f"models/{path.name}" for path in (ROOT / "models").glob("embedded-*")
    }
    code = {str(path.relative_to(ROOT)) for package in SHIPPED for path in (ROOT / package).rglob("*.py")}
    assert code <= set(names)


def test_what_the_wheel_installs_finds_its_own_files_from_any_folder(wheel, tmp_path):
    installed, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    entry = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    found = re.search(r"^vqgan-clip-bot = ([\w.]+):(\w+)$", entry, re.MULTILINE)
    assert found is not None
    module, function = found.groups()
    script = f"""
import sys
sys.path.insert(0, {str(installed)!r})
from pathlib import Path
from {module} import {function}
from bot.queue.database import MIGRATIONS
from engine.catalog import catalogue
from engine.devices import pick_device
from engine.models import ModelStore
models = ModelStore(Path("none"), pick_device("cpu", "fp32"))
print(len(catalogue()), len(list(MIGRATIONS.glob("*.sql"))), models.generator("embedded") is not None)
print(__import__("bot").__file__)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    counts, path = done.stdout.splitlines()
    assert counts.split()[1:] == [str(len(list((ROOT / "bot/queue/migrations").glob("*.sql")))), "True"]
    assert Path(path).is_relative_to(installed)
    assert list(elsewhere.iterdir()) == []

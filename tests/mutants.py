"""Put small mistakes into the code, one at a time, and count those that the tests notice: `make mutants`.

mutmut makes the mistakes and runs the tests. Added here: which tests mirror a module, a fixed sample of its mistakes,
and the bodies of decorated functions (commands, properties), which mutmut leaves alone.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m

ROOT = Path(__file__).parent.parent
SCRATCH = ROOT / "mutants"
TREE = SCRATCH / "tree"
OUTCOMES, SURVIVORS = SCRATCH / "outcomes.json", SCRATCH / "survivors.diff"
MUTMUT = """
import functools, gc, os, sys
from mutmut import __main__ as mutmut
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.workers.isolation import ForkRunner

collect = mutmut.collect_or_load_stats

def collect_and_choose(*arguments, **options):
    collect(*arguments, **options)
    quick = {test for test, seconds in state().duration_by_test.items() if seconds <= LONGEST}
    holding = state().tests_by_mangled_function_name
    holding.update({function: tests & quick or tests for function, tests in holding.items()})

def run_afresh(runner, *, mutant_name, tests, run=PytestRunner.run_tests):
    gc.unfreeze()
    for one in gc.get_objects():
        if isinstance(one, functools._lru_cache_wrapper) and one.__module__.split(".")[0] in PACKAGES:
            one.cache_clear()
    return run(runner, mutant_name=mutant_name, tests=tests)

mutmut.collect_or_load_stats = collect_and_choose
PytestRunner.run_tests = run_afresh
ForkRunner.run_clean_tests = lambda runner, tests: 0
ForkRunner.run_forced_fail = lambda runner: 1
try:
    mutmut.cli()
except SystemExit as end:
    sys.stdout.flush()
    os._exit(end.code if isinstance(end.code, int) else 0)
"""
"""mutmut; it does not wait for the threads of connections that a failed test left open. Of the three runs of all tests
before the first mistake one is enough, a mistake is not shown to tests that take long where others run it too, and what
was remembered from that run (`functools.cache`) is forgotten."""
LONGEST = 8
"""Seconds."""
NOTICED = {"killed", "timeout", "segfault", "suspicious"}
PACKAGES = ("engine", "bot", "cogs")
_NOT_MOVED = re.compile(r"^(staticmethod|typing\.overload|overload|abstractmethod|abc\.abstractmethod|.*\.setter)$")
DOCSTRING = m.SimpleStatementLine([m.Expr(m.SimpleString())])
_UNSEEN = re.compile(r",? *\b(device|memory_format|strict)=[\w.]+|,? *$", re.MULTILINE)
"""Where and in which order a tensor lies, and that two lists are of a length: what comes of it is the same here."""
_LITERAL = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Outcome:
    """What became of one mistake; `status` is mutmut's word for it."""

    module: Path
    name: str
    status: str
    diff: str


@dataclass(frozen=True)
class Sample:
    """The mistakes that are tried in a module, of how many."""

    module: Path
    names: Sequence[str]
    of: int


def main() -> None:
    """Run the modules that are named, all by default, and print what was noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=PACKAGES, help="files or folders")
    parser.add_argument("--each", type=int, default=20, help="mistakes tried in each module, 0 for all")
    parser.add_argument("--again", action="store_true", help="try only what the last run of a module did not notice")
    arguments = parser.parse_args()
    modules = [module for name in arguments.modules for module in _modules(ROOT / name)]
    known: dict[str, dict[str, str]] = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    _copy_tree(modules)
    os.chdir(TREE)
    print("| module | tried | of | noticed | not noticed | timed out | no tests | score |\n|" + " --- |" * 8)
    for tests, group in _by_tests(modules).items():
        samples = {module: _sample(module, arguments.each) for module in group}
        before = {module: known.get(str(module), {}) if arguments.again else {} for module in group}
        tried = {
            module: [name for name in sample.names if before[module].get(name) not in NOTICED]
            for module, sample in samples.items()
        }
        if (found := _run(tried, tests)) is None:
            continue
        for module, sample in samples.items():
            new = {one.name: one.status for one in found if one.module == module}
            known[str(module)] = {name: new.get(name) or before[module][name] for name in sample.names}
            print(_summary(sample, known[str(module)]), flush=True)
        OUTCOMES.write_text(json.dumps(known, indent=1))
        with SURVIVORS.open("a") as survivors:
            survivors.writelines(f"{one.status}: {one.diff}\n" for one in found if one.status not in NOTICED)
    print(f"\nWhat was not noticed:\n\n{SURVIVORS.read_text() or 'nothing'}")


def _modules(path: Path) -> list[Path]:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [file.relative_to(ROOT) for file in files if file.name != "__main__.py" and "def " in file.read_text()]


def _by_tests(modules: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Group modules by the tests that hold them: the file at the mirrored path and what pyproject.toml adds."""
    more = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    groups: dict[tuple[str, ...], list[Path]] = {}
    for module in modules:
        name = module.parent.with_suffix(".py") if module.name == "__init__.py" else module
        mirrored = Path("tests", name.parent, f"test_{name.name}")
        own = [str(mirrored)] if (ROOT / mirrored).exists() else []
        if tests := (*own, *more.get(str(module), ())):
            groups.setdefault(tests, []).append(module)
        else:
            print(f"no tests mirror {module}: name some in pyproject.toml", file=sys.stderr)
    return groups


def _copy_tree(modules: Sequence[Path]) -> None:
    """Copy what git knows or would add; in the modules decorated functions become thin."""
    shutil.rmtree(TREE, ignore_errors=True)
    SCRATCH.mkdir(exist_ok=True)
    SURVIVORS.write_text("")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)
    for module in modules:
        thin = cst.parse_module((ROOT / module).read_text()).visit(_Thin())
        (TREE / module).write_text(thin.code)


class _Thin(cst.CSTTransformer):
    """Move the body of each decorated function into a plain one beside it."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_class = [False]

    def visit_ClassDef(self, node: cst.ClassDef) -> None:  # noqa: N802
        self._in_class.append(True)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:  # noqa: N802
        self._in_class.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802
        self._depth += 1

    def leave_FunctionDef(  # noqa: N802
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.FunctionDef]:
        self._depth -= 1
        names = [cst.Module([]).code_for_node(one.decorator).split("(")[0] for one in updated_node.decorators]
        if self._depth or not names or names == ["classmethod"] or any(map(_NOT_MOVED.match, names)):
            return updated_node
        body = cst.Name(f"{updated_node.name.value}_body")
        kept = [one for one in updated_node.decorators if m.matches(one.decorator, m.Name("classmethod"))]
        plain = updated_node.with_changes(name=body, decorators=kept, params=_without_defaults(updated_node.params))
        return cst.FlattenSentinel([plain, _calling(updated_node, body, self._in_class[-1])])


def _without_defaults(params: cst.Parameters) -> cst.Parameters:
    """Return the parameters of a function that is always given all of them: no mistake in a default would be seen."""

    def required(some: Sequence[cst.Param]) -> list[cst.Param]:
        return [one.with_changes(default=None, equal=cst.MaybeSentinel.DEFAULT) for one in some]

    return params.with_changes(
        posonly_params=required(params.posonly_params),
        params=required(params.params),
        kwonly_params=required(params.kwonly_params),
    )


def _calling(function: cst.FunctionDef, body: cst.Name, method: bool) -> cst.FunctionDef:
    """Return the function with a body that calls `body`; the docstring stays, commands are described by it."""
    parameters = [*function.params.posonly_params, *function.params.params]
    arguments = [cst.Arg(one.name) for one in parameters]
    if isinstance(function.params.star_arg, cst.Param):
        arguments.append(cst.Arg(function.params.star_arg.name, star="*"))
    arguments += [cst.Arg(one.name, keyword=one.name) for one in function.params.kwonly_params]
    if function.params.star_kwarg:
        arguments.append(cst.Arg(function.params.star_kwarg.name, star="**"))
    call = cst.Call(cst.Attribute(parameters[0].name, body), arguments[1:]) if method else cst.Call(body, arguments)
    awaited = function.asynchronous is not None and not m.findall(function, m.Yield())
    returned = cst.SimpleStatementLine([cst.Return(cst.Await(call) if awaited else call)])
    first = function.body.body[0]
    described = [cst.ensure_type(first, cst.SimpleStatementLine)] if m.matches(first, DOCSTRING) else []
    return function.with_changes(
        body=cst.IndentedBlock([*described, returned]),
        asynchronous=function.asynchronous if awaited else None,
        leading_lines=[],
    )


def _sample(module: Path, each: int) -> Sample:
    """Choose mistakes: the same ones each time, while the functions they are in do not change."""
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    mutated = mutate_file_contents(str(module), (TREE / module).read_text())
    lines = mutated.code.splitlines()

    def text(function: str) -> list[str]:
        span = mutated.line_span_by_function_name[function]
        return lines[span.start - 1 : span.end]

    names = [
        get_mutant_name(module, name)
        for name in mutated.mutant_names
        if not _is_left_out(text(f"{name.partition('__mutmut_')[0]}__mutmut_orig"), text(name))
    ]
    chosen = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return Sample(module, chosen[: each or None], len(names))


def _is_left_out(before: Sequence[str], after: Sequence[str]) -> bool:
    """Return whether no test here should notice a mistake: it is in wording, or is not to be seen."""
    before, after = ([line for line in lines if "__mutmut_" not in line] for lines in (before, after))
    old, new = "\n".join(set(before) - set(after)), "\n".join(set(after) - set(before))
    return _is_wording(old, new) or _UNSEEN.sub("", old) == _UNSEEN.sub("", new)


def _is_wording(old: str, new: str) -> bool:
    """Return whether a mistake is in the letters of a sentence (or of SQL, where case is nothing): tests quote few."""
    if old.casefold().replace("xx", "") != new.casefold().replace("xx", ""):
        return False
    return any(" " in literal for literal in set(_LITERAL.findall(old)) - set(_LITERAL.findall(new)))


def _run(tried: Mapping[Path, Sequence[str]], tests: Sequence[str]) -> list[Outcome] | None:
    """Run mistakes in modules that share their tests; return None where the tests fail by themselves."""
    from mutmut.configuration import reset_config
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    names = [name for chosen in tried.values() for name in chosen]
    if not names:
        return []
    shutil.rmtree(TREE / "mutants", ignore_errors=True)
    chosen = f"only_mutate = {[*map(str, tried)]}\npytest_add_cli_args_test_selection = {[*tests]}\n"
    configured = (ROOT / "pyproject.toml").read_text().replace("[tool.mutmut]\n", f"[tool.mutmut]\n{chosen}")
    (TREE / "pyproject.toml").write_text(configured)
    reset_config()
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"LONGEST, PACKAGES = {LONGEST}, {PACKAGES}{MUTMUT}",
            "run",
            "--max-children",
            "1",
            *names,
        ],
        cwd=TREE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        print(f"{', '.join(tests)}:\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}", file=sys.stderr)
        return None
    outcomes: list[Outcome] = []
    for module, chosen in tried.items():
        data = SourceFileMutationData(path=module)
        data.load()
        for name in chosen:
            status = status_by_exit_code[data.exit_code_by_key[name]]
            outcomes.append(Outcome(module, name, status, get_diff_for_mutant(name, path=module)))
    return outcomes


def _summary(sample: Sample, statuses: Mapping[str, str]) -> str:
    def count(*wanted: str) -> int:
        return sum(status in wanted for status in statuses.values())

    late = count(*NOTICED - {"killed"})
    score = f"{100 * (count('killed') + late) / len(statuses):.0f} %" if statuses else ""
    numbers = [len(statuses), sample.of, count("killed"), count("survived"), late, count("no tests")]
    return f"| {sample.module} | {' | '.join(map(str, numbers))} | {score} |"


if __name__ == "__main__":
    main()

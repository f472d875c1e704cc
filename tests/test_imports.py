"""Imports go one way, the core imports nothing that does anything, and ``import agentguard`` stays light."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agentguard

PACKAGE = Path(agentguard.__file__).parent
CHECKOUT = Path(__file__).parents[1]

# Each layer may import those below it; parts of one layer never each other.
LAYERS = (
    {"cli"},
    {"server", "integrations", "evidence", "testing"},
    {"guard"},
    {"policy", "identity", "destinations", "signals", "approvals", "ledger", "audit"},
    {"jose"},
    {"display", "errors", "loops"},
    {"core"},
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}

# What may be loaded only by whoever uses it.
HEAVY = (
    "cel_expr_python", "cryptography", "email_validator", "grpc", "httpx", "joserfc", "jsonschema_rs", "langchain_core",
    "openai", "psycopg", "pydantic", "pydantic_core", "re2", "requests", "rich", "spiffe", "sqlglot", "starlette",
    "tenacity", "typer", "uvicorn", "yaml",
)  # fmt: skip


def _imports(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Every module a source imports, wherever the import stands, type checking and ``import_module`` included."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                parents = module.split(".")[: len(module.split(".")) - level + is_package]
                whole = ".".join([*(parents if level else []), *([base] if base else [])])
                # `from agentguard import core` imports a module, `from agentguard import Guard` a name of one.
                yield from (f"{whole}.{name.name}" if whole == "agentguard" else whole for name in names)
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(named)), *_],
            ):
                yield named


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _wrong(importer: str, imported: str) -> str | None:
    """Why this import breaks the contract, or None where it keeps it."""
    ours, theirs = _part(importer), _part(imported)
    if imported.split(".")[0] != "agentguard" or ours == theirs or theirs.startswith("__"):
        return None
    if theirs not in RANK:
        # A public name, which may load anything: only the layers above the guard have everything below them.
        return None if RANK[ours] < RANK["guard"] else f"{importer} imports the public name `{imported}`"
    if RANK[ours] < RANK[theirs]:
        return None
    return f"{importer} imports {imported}"


def _modules() -> Iterator[tuple[str, Path]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = ("agentguard", *file.relative_to(PACKAGE).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


INNER = [(module, file) for module, file in _modules() if module != "agentguard"]


def _imports_of(module: str, file: Path) -> set[str]:
    return set(_imports(file.read_text("utf-8"), module, is_package=file.name == "__init__.py"))


def test_every_part_of_the_package_has_a_layer() -> None:
    """A new folder must say where it stands before anything may import it."""
    assert {_part(module) for module, _ in INNER} <= RANK.keys()


def test_imports_go_one_way() -> None:
    """What decides must not depend on what asks; siblings meet in core values only."""
    wrong = [_wrong(module, imported) for module, file in INNER for imported in _imports_of(module, file)]

    assert sorted(filter(None, wrong)) == []


def test_core_imports_nothing_but_the_standard_library_and_encoders_of_json() -> None:
    """The decision is pure; a library that reads a file or a clock must not come in by a side door."""
    allowed = {"agentguard", "orjson", "rfc8785", *sys.stdlib_module_names}
    outside = {
        f"{module} imports {imported}"
        for module, file in INNER
        if _part(module) == "core"
        for imported in _imports_of(module, file)
        if imported.split(".")[0] not in allowed
    }

    assert outside == set()


IMPURE = {
    "asyncio", "concurrent", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets",
    "socket", "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip


def test_core_does_no_input_or_output() -> None:
    """No I/O, clock, randomness, logging or await in the decision: same input, same answer."""
    for module, file in INNER:
        if _part(module) != "core":
            continue
        source = file.read_text("utf-8")
        assert not {name.split(".")[0] for name in _imports_of(module, file)} & IMPURE, module
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Global), module
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert called not in {"open", "print", "input", "now", "utcnow", "today", "eval", "exec"}, module


def test_importing_agentguard_loads_nothing_heavy() -> None:
    """An agent that never meets a framework, a parser or a key server does not wait for one."""
    code = f"import sys, agentguard; print(*({HEAVY!r} and [m for m in {HEAVY!r} if m in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert ran.stdout.split() == []


@pytest.mark.parametrize("name", agentguard.__all__)
def test_a_public_name_is_imported_without_what_only_its_use_needs(name: str) -> None:
    """Every worker of a service pays for the import; what reads YAML, conditions or keys waits for its first use."""
    wanted = (
        () if name != "Gate" else ("pydantic", "pydantic_core", "re2", "jsonschema_rs")
    )  # calls are read through it
    code = (
        f"import sys; from agentguard import {name}; "
        f"print(*{{m.split('.')[0] for m in sys.modules}} & set({HEAVY!r}) - set({wanted!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert ran.stdout.split() == []


def test_a_guard_is_imported_without_what_asks_over_a_network() -> None:
    """Key servers, streams of signals and installed adapters are met by a few processes, and the import by all."""
    late = ("agentguard.signals", "email.message", "http.client", "importlib.metadata")
    code = f"import sys; from agentguard import Guard; print(*(m for m in {late!r} if m in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert ran.stdout.split() == []


@pytest.mark.parametrize(
    "use",
    [
        "from agentguard import Guard, ConfigurationError\n",
        "from agentguard.cli import main\nraise SystemExit(main(['audit', 'list', '--ledger', sys.argv[1]]))",
    ],
    ids=["library", "command line"],
)
def test_a_system_without_file_locks_is_told_where_to_go(use: str, tmp_path: Path) -> None:
    """Windows has no ``fcntl``. The remedy comes at once, not as a missing module of ours."""
    (tmp_path / "ledger.sqlite3").write_bytes(b"SQLite format 3\0" + bytes(84))
    code = f"import sys; sys.modules['fcntl'] = None\n{use}"
    command = [sys.executable, "-c", code, str(tmp_path / "ledger.sqlite3")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)

    assert ran.returncode != 0
    assert "needs a POSIX system" in ran.stderr.splitlines()[-1] and "WSL" in ran.stderr.splitlines()[-1]


def test_deciding_loads_nothing_heavy() -> None:
    """The whole decision runs on the core alone."""
    code = (
        "import sys, agentguard.core.decide; "
        f"print(*[m for m in sys.modules if m.split('.')[0] in {HEAVY!r} "
        "or m.startswith('agentguard.') and not m.startswith('agentguard.core')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert ran.stdout.split() == []


@pytest.mark.parametrize(
    ("source", "importer", "breaks"),
    [
        ("import agentguard.guard", "agentguard.core.x", True),
        ("from agentguard import guard", "agentguard.core.x", True),
        ("from agentguard.ledger import open_ledger", "agentguard.policy.x", True),
        ("from ..ledger import open_ledger", "agentguard.policy.x", True),
        ("from ...ledger import open_ledger", "agentguard.policy.x.y", True),
        ("def f():\n    from agentguard.errors import PolicyError", "agentguard.core.x", True),
        ("import importlib\nimportlib.import_module('agentguard.cli')", "agentguard.guard.x", True),
        ("from agentguard import Guard", "agentguard.ledger.x", True),
        ("from agentguard import Guard", "agentguard.integrations.x", False),
        ("from agentguard.core.values import Risk", "agentguard.ledger.x", False),
        ("from .values import Risk", "agentguard.core.x", False),
        ("from agentguard import __version__", "agentguard.ledger.x", False),
        ("import sqlite3", "agentguard.ledger.x", False),
    ],
)
def test_the_check_itself_sees_every_way_to_import(source: str, importer: str, breaks: bool) -> None:
    """A contract that looks past one spelling of an import holds for nobody."""
    assert any(_wrong(importer, imported) for imported in _imports(source, importer)) is breaks


@pytest.mark.skipif(
    shutil.which("lint-imports", path=Path(sys.executable).parent) is None, reason="import-linter is not installed"
)
def test_import_linter_agrees() -> None:
    """A second opinion on the same contract, as pyproject.toml states it."""
    command = shutil.which("lint-imports", path=Path(sys.executable).parent)
    ran = subprocess.run([str(command), "--no-cache"], capture_output=True, text=True, check=False, cwd=CHECKOUT)

    assert ran.returncode == 0, ran.stdout + ran.stderr

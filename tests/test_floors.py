"""The house: who may import whom, and what the core must never touch."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "smsflow").rglob("*.py"))

IMPURE = {
    "asyncio", "socket", "os", "io", "pathlib", "threading", "random", "secrets", "time", "sqlite3", "subprocess",
    "structlog", "smpplib", "sqlite_utils", "fastapi", "httpx2", "click", "rich",
}  # fmt: skip
HOUSE_FLOORS = ["core", "library", "smpp", "store", "shell"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floor_of(module: str) -> int:
    parts = module.split(".")
    part = parts[1] if len(parts) > 1 else ""
    return HOUSE_FLOORS.index(part if part in HOUSE_FLOORS else "shell")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_import_only_from_lower_floors(path: Path) -> None:
    """core knows nobody; the library knows core; smpp and store not each other; the rest stands above."""
    mine = floor_of(name_of(path))
    for imported in imports_of(path):
        if not imported.startswith("smsflow."):
            continue
        theirs = floor_of(imported)
        assert theirs <= mine, f"{name_of(path)} imports {imported}, from a higher floor"
        assert {mine, theirs} != {2, 3}, (
            f"{name_of(path)} imports {imported}: smpp and store do not know each other"
        )


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name == "core"], ids=name_of)
def test_core_is_pure(path: Path) -> None:
    """No socket, file, clock, thread, randomness, environment or logging in the core."""
    touched = {imported.split(".")[0] for imported in imports_of(path)} & IMPURE

    assert not touched


def test_clock_is_asked_in_one_place() -> None:
    """Time comes in as an argument everywhere else."""
    asking = {
        name_of(path) for path in MODULES if "datetime.now(" in path.read_text() and path.parent.name != "demo"
    }

    assert asking <= {"smsflow.clock", "smsflow.smpp.smsc"}


@pytest.mark.parametrize("library", ["smpplib", "transitions", "sqlite_utils"])
def test_each_fixed_library_has_one_home(library: str) -> None:
    """What could be replaced stands in one file."""
    homes = {name_of(path) for path in MODULES if any(i.split(".")[0] == library for i in imports_of(path))}

    assert (
        homes
        == {
            "smpplib": {"smsflow.smpp.codec"},
            "transitions": {"smsflow.core.machine"},
            "sqlite_utils": {"smsflow.store.schema"},
        }[library]
    )


def test_modules_say_what_they_are_and_what_they_offer() -> None:
    """A docstring and `__all__` in each."""
    for path in MODULES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
        names = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "__all__" in names or path.name in ("__init__.py", "__main__.py"), f"{name_of(path)} has no __all__"


def test_whoever_silences_the_linter_says_why() -> None:
    """A rule's number alone tells nobody whether it still holds."""
    files = [*MODULES, *(ROOT / "tests").rglob("*.py")]
    lines = [(path, line) for path in files for line in path.read_text().splitlines()]
    bare = re.compile(r"#\s*noqa\b(?!.* - \S)")

    assert [f"{path.name}: {line.strip()}" for path, line in lines if bare.search(line)] == []


def test_core_has_no_circles() -> None:
    """Within the core, too, imports run one way."""
    core = {
        path.stem: imports_of(path) for path in MODULES if path.parent.name == "core" and path.stem != "__init__"
    }
    edges = {
        name: {other for other in core if f"smsflow.core.{other}" in found} - {name} for name, found in core.items()
    }
    ground: list[str] = []
    while len(ground) < len(edges):
        ready = [name for name in edges if name not in ground and edges[name] <= set(ground)]
        assert ready, f"a circle among {sorted(set(edges) - set(ground))}"
        ground += ready

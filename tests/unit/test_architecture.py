"""An import in ``oauth_tokens`` goes down, or stays on its floor without going in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "oauth_tokens"

#: Whose files are short.
FOLDERS = ("oauth_tokens", "project", "tests")
FLOORS = {
    5: [
        *("views", "urls", "decorators", "admin", "management", "templatetags"),
        *("tasks", "schedule", "checks", "receivers", "apps", "middleware"),
    ],
    4: ["connect", "contrib", "upkeep", "words", "scope_words", "answers", "overview", "notices"],
    3: ["models", "managers", "reader", "writer", "usage", "migrations"],
    2: ["refresh", "rescue", "revocation", "clients"],
    1: ["connection", "encryption", "locks", "transport", "providers", "jwks"],
    0: [
        "exceptions",
        "signals",
        "conf",
        "options",
        "token_set",
        "spellings",
        "distances",
        "marking",
    ],
}
#: Depend on nothing above: modules of the first column may use those of the second.
APART = {
    # A resource server may ask for keys like everybody else.
    "bearer": {"bearer", "jwks", "transport", "providers"},
    "testing": {"testing", *FLOORS[0], *FLOORS[1], *FLOORS[2], *FLOORS[3]},
    "pytest_plugin": {"testing"},
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name within the package -> file."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
        if path != package / "__init__.py"
    }


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def imports(package: Path, module: str, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that ``module`` imports anywhere at runtime, in functions too."""
    path = known[module]
    parents = list(path.relative_to(package.parent).parts[:-1])
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = parents[: len(parents) - node.level + 1] if node.level else []
            base = [*start, *(node.module or "").split(".")]
            prefix = ".".join(part for part in base if part)
            names = [f"{prefix}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            inside = name.removeprefix(f"{package.name}.")
            if inside == name:
                continue
            while inside and inside not in known:
                inside = inside.rpartition(".")[0]
            if inside and inside != module:
                yield inside


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from runtime_nodes(child)


def violations(package: Path) -> list[str]:
    """Everything that is wrong with the imports of ``package``, in words."""
    known = modules(package)
    found = []
    graph: dict[str, set[str]] = {}
    for module in known:
        graph[module] = set(imports(package, module, known))
        here = room(module)
        if here not in FLOOR_OF and here not in APART:
            found.append(f"{module} has no floor")
            continue
        for target in graph[module]:
            there = room(target)
            if here in APART:
                allowed = there in APART[here]
            else:
                allowed = there not in APART and FLOOR_OF.get(there, 9) <= FLOOR_OF[here]
            if not allowed:
                found.append(f"{module} imports {target}, which is not below it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"circle: {' -> '.join(error.args[1])}")
    return sorted(found)


def test_imports_go_down() -> None:
    assert modules(PACKAGE), "the package is somewhere else"
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"models": "from . import conf", "conf": ""}, []),
        ({"conf": "from .models import X", "models": ""}, ["conf imports models"]),
        ({"conf": "from oauth_tokens import models", "models": ""}, ["conf imports models"]),
        (
            {"conf": "def f():\n    import oauth_tokens.models", "models": ""},
            ["conf imports models"],
        ),
        ({"providers/base": "from ..refresh import f", "refresh": ""}, ["providers.base imports"]),
        ({"locks": "from .conf import x", "conf": "from . import signals", "signals": ""}, []),
        ({"models": "from .managers import M", "managers": "from . import models"}, ["circle"]),
        ({"managers": "if TYPE_CHECKING:\n    from .models import X", "models": ""}, []),
        ({"attic": ""}, ["attic has no floor"]),
        ({"bearer": "from . import conf", "conf": ""}, ["bearer imports conf"]),
    ],
)
def test_the_check_sees(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    package = tmp_path / "oauth_tokens"
    for name, text in files.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = violations(package)
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_no_file_is_longer_than_400_lines() -> None:
    root = PACKAGE.parent
    files = [path for name in FOLDERS for path in (root / name).rglob("*.py")]
    assert {path.relative_to(root).parts[0] for path in files} == set(FOLDERS)
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > 400} == {}

"""The rooms of the package and their order: a module imports from its own room and from those below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bnnbench"
# From the top of the house to its foundations. Rooms of one line stand beside each other and do not see one another.
ORDER: tuple[tuple[str, ...], ...] = (
    ("__main__", "bench", "defaults"),
    ("cli",),
    ("paper",),
    ("check",),
    ("tune",),
    ("sweep",),
    ("deploy",),
    ("experiment",),
    ("analysis",),
    ("store",),
    ("inference",),
    ("tasks",),
    ("priors",),
    ("samplers", "layers", "models", "schedules", "data"),
    ("kernels",),
    ("config", "publishing"),
    ("errors",),
)
# Public doors to functions whose room may change: nothing of the package itself goes through them.
DOORS = {"results": "store", "csr": "deploy", "export": "deploy"}
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def modules() -> dict[str, Path]:
    """Return the dotted name of every module → its file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room_of(module: str) -> str:
    """Return the room of a module, "" of the package itself."""
    return [*module.split("."), ""][1]


def imports(source: str, module: str) -> set[str]:
    """Return the package's modules that `source` imports: anywhere, also in functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module" and node.args:
            names = [
                n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant) and isinstance(n.value, str)
            ]
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                found.add(name)
    return found - {module, "bnnbench"}


GRAPH = {name: imports(path.read_text("utf-8"), name) for name, path in MODULES.items()}


def test_every_module_has_a_room() -> None:
    assert {room_of(name) for name in MODULES} - {""} == {*LEVEL, *DOORS}


@pytest.mark.parametrize("module", [name for name in GRAPH if room_of(name) in LEVEL])
def test_a_module_imports_from_its_own_room_and_those_below(module: str) -> None:
    mine = room_of(module)
    wrong = [
        f"{module} imports {other}: '{room_of(other)}' does not lie below '{mine}'"
        for other in sorted(GRAPH[module])
        if room_of(other) != mine and LEVEL.get(room_of(other), -1) <= LEVEL[mine]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_leads_into_one_room(door: str) -> None:
    assert {room_of(other) for other in GRAPH[f"bnnbench.{door}"]} == {DOORS[door]}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A package counts for what its ``__init__`` imports; a plug-in is looked up by name and is no import."""
    circles = []
    for start in GRAPH:
        seen, todo = set(), [start]
        while todo:
            for other in GRAPH[todo.pop()]:
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        if start in seen:
            circles.append(start)
    assert not circles, f"in a circle: {', '.join(circles)}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    from bnnbench.cli import app", {"bnnbench.cli.app"}),
        ("if TYPE_CHECKING:\n    import bnnbench.tune.study", {"bnnbench.tune.study"}),
        ("from bnnbench.errors import ConfigError", {"bnnbench.errors"}),
        ("importlib.import_module('bnnbench.experiment.run')", {"bnnbench.experiment.run"}),
        ("import torch", set()),
    ],
)
def test_imports_are_seen_wherever_they_stand(source: str, expected: set[str]) -> None:
    assert imports(source, "bnnbench.x") == expected


def of_room(*rooms: str) -> list[str]:
    return [name for name in MODULES if room_of(name) in rooms and not name.endswith("__main__")]


@pytest.mark.parametrize(
    ("heavy", "modules"),
    [
        ("torch pandas numpy hydra matplotlib omegaconf pydantic", ["bnnbench.cli.app"]),
        ("torch pandas hydra pydantic", ["bnnbench.config"]),
        ("torch pandas", ["bnnbench.store", "bnnbench.tasks", "bnnbench.tasks.measures"]),
        ("torch pandas matplotlib", ["bnnbench.results"]),
        ("torch pandas hydra", ["bnnbench.experiment.finished", "bnnbench.experiment.progress"]),
        ("torch hydra", of_room("analysis")),
        ("torch", of_room("config")),
        ("torch matplotlib", of_room("paper")),
        ("pandas hydra", [f"bnnbench.paper.{name}" for name in ("_figure", "_state", "psgld_mnist", "vd_kl")]),
    ],
)
def test_modules_that_load_nothing_heavy(heavy: str, modules: list[str]) -> None:
    """They are imported one after the other in a process of their own: the first that loads too much is named."""
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = sorted(set({heavy.split()!r}) & set(sys.modules))\n"
        "    assert not loaded, f'{name} loads {loaded}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr.splitlines()[-1]

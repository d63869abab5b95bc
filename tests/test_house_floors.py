"""Imports go down the floors, never up and never to a neighbour."""

import ast
from pathlib import Path

import pytest

# The floor of every room: a module may import its own room and the floors below.
FLOORS = {
    "core": 0,
    "geometry": 1,
    "hands": 2,
    "video": 3,
    "contracts": 2,
    "tabletop": 4,
    "reconstruction": 4,
    "segmentation": 4,
    "captioning": 4,
    "episodes": 5,
    "pipeline": 6,
    "dataset": 7,
    "policy": 8,
    "training": 9,
    "evaluation": 10,
    "plotting": 11,
    "runs": 12,
    "cli": 13,
}


def offences(room: str, source: str) -> list[str]:
    """The imports in `source`, a module of `room`, that do not go down."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.append("a relative import, which hides its floor")
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module else []
        for name in names:
            parts = name.split(".")
            if parts[0] == "robot" and room != "robot":
                found.append(f"{name}: the library never imports the robot")
            if parts[0] != "vitra_lib" or len(parts) < 2 or parts[1] in (room, "__version__"):
                continue
            if room != "robot" and FLOORS.get(parts[1], 99) >= FLOORS[room]:
                found.append(f"{name} is not below {room}")
    return found


def modules(repository: Path) -> list[tuple[str, Path]]:
    """(room, file) of every module of the library and of the robot."""
    library = repository / "vitra_lib"
    found = [(path.relative_to(library).parts[0], path) for path in sorted(library.glob("*/**/*.py"))]
    return found + [("robot", path) for path in sorted((repository / "robot").glob("**/*.py"))]


def test_imports_go_down(repository: Path) -> None:
    found = {
        str(path.relative_to(repository)): bad
        for room, path in modules(repository)
        if (bad := offences(room, path.read_text(encoding="utf-8")))
    }
    assert not found, found


def test_every_room_has_a_floor(repository: Path) -> None:
    rooms = {p.parent.name for p in (repository / "vitra_lib").glob("*/*.py")}
    assert rooms <= set(FLOORS), f"rooms without a floor: {rooms - set(FLOORS)}"


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("hands", "from vitra_lib.video import probe"),  # up
        ("segmentation", "import vitra_lib.captioning.prompt"),  # to a neighbour
        ("core", "def f():\n    from vitra_lib.cli.main import main"),  # up, hidden in a function
        ("video", "from vitra_lib import tabletop"),  # up, by the short form
        ("episodes", "from robot import safety"),  # to the robot
        ("cli", "from . import main"),  # relative
    ],
)
def test_control_a_bad_import_is_caught(room: str, line: str) -> None:
    assert offences(room, line)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("contracts", "from vitra_lib.geometry.transforms import apply"),
        ("robot", "from vitra_lib.hands import skeleton"),
    ],
)
def test_a_good_import_passes(room: str, line: str) -> None:
    assert not offences(room, line)

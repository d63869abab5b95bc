"""The exercises of the notebooks: every folded solution is the code in solutions/, and passes the notebook's check."""

import ast
import contextlib
import html
import importlib.util
import io
import re
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vitra_lib.core.paths import notebooks_folder
from vitra_lib.episodes import build_episodes, step_actions
from vitra_lib.runs.exercises import check
from vitra_lib.runs.parameters import read_notebook
from vitra_lib.runs.tour import tour_inputs
from vitra_lib.segmentation import SegmentationConfig, segment

SOLUTIONS = sorted((notebooks_folder() / "solutions").glob("[0-9][0-9]_*.py"))
TURN = "my_answer = ...  # your turn"
LETTER = SegmentationConfig(max_cut_ratio=1, min_pause_s=0, rest_min_s=0, min_duration_s=0, max_duration_s=1e6)


def load(path: Path) -> ModuleType:
    """A solutions file as a module."""
    spec = importlib.util.spec_from_file_location(f"solutions_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions(path: Path) -> list[ast.FunctionDef]:
    """The answers in a solutions file, in order."""
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return sorted(found, key=lambda node: node.name)


def notebook_of(path: Path) -> Any:
    """The notebook that a solutions file answers."""
    return read_notebook(notebooks_folder() / f"{path.stem}.ipynb")


def exercises(path: Path) -> list[str]:
    """The source of the cells with an exercise, in order."""
    return [cell.source for cell in notebook_of(path).cells if cell.cell_type == "code" and TURN in cell.source]


@lru_cache(maxsize=1)
def names() -> dict[str, Any]:
    """What exercises refer to; the truth of the sample stands in for its reconstruction, which takes no time."""
    clip = tour_inputs("tiny").truth
    truth = clip.truth
    pieces = segment(truth).segments
    episode = build_episodes(truth, tuple(c for c in clip.captions if not c.is_na))[0][0]
    actions, action_mask = step_actions(episode)
    return {
        "reconstruction": truth,
        "camera": truth.camera,
        "side": "right",
        "hand": truth.right,
        "hands": {"left": truth.left, "right": truth.right},
        "frame": 40,
        "expected": truth.t_world_wrist("right")[40],
        "letter": LETTER,
        "minima": segment(truth, LETTER).cuts["right"],
        "segment": segment,
        "one_segment": pieces[0],
        "episode": episode,
        "actions": actions,
        "action_mask": action_mask,
    }


def namespace(path: Path) -> dict[str, Any]:
    """The imports of a notebook and what its exercises refer to."""
    setup = next(c.source for c in notebook_of(path).cells if c.cell_type == "code" and "banner" in c.source)
    imports = [node for node in ast.parse(setup).body if isinstance(node, ast.Import | ast.ImportFrom)]
    space: dict[str, Any] = {}
    exec(compile(ast.Module(imports, []), path.name, "exec"), space)
    space |= names()
    if "caption" in path.stem:
        space["segment"] = names()["one_segment"]
    return space


def verdict(source: str, space: dict[str, Any], answer: str) -> str:
    """What an exercise's cell prints when the answer is written in."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(source.replace(TURN, f"my_answer = {answer}  # your turn"), space)
    return shown.getvalue().splitlines()[0]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_folded_solutions_are_the_code_in_solutions(path: Path) -> None:
    prose = "\n".join(cell.source for cell in notebook_of(path).cells if cell.cell_type == "markdown")
    folded = re.findall(r"<details>.*?<pre><code>my_answer = (.*?)</code></pre></details>", prose, re.DOTALL)
    answers = [function.body[-1].value for function in functions(path)]
    assert len(folded) == len(answers) == len(exercises(path)) >= 2
    for text, answer in zip(folded, answers, strict=True):
        assert ast.dump(ast.parse(html.unescape(text), mode="eval").body) == ast.dump(answer)


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_check_takes_its_solution_and_nothing_else(path: Path) -> None:
    module = load(path)
    for function, source in zip(functions(path), exercises(path), strict=True):
        space = namespace(path)
        arguments = [space[argument.arg] for argument in function.args.args]
        assert getattr(module, function.name)(*arguments) is not None
        assert verdict(source, space, ast.unparse(function.body[-1].value)) == "right", function.name
        assert verdict(source, space, "...") == "not attempted"
        for wrong in ("0.2", "'nothing'", "None", "np.zeros(3)"):
            assert verdict(source, space | {"np": np}, wrong).startswith("not yet"), (function.name, wrong)


def test_every_notebook_of_the_tour_has_solutions() -> None:
    notebooks = [path.stem for path in sorted(notebooks_folder().glob("0[0-4]_*.ipynb"))]
    assert [path.stem for path in SOLUTIONS if path.stem < "05"] == notebooks


def test_a_check_never_stops_a_notebook() -> None:
    assert check(..., lambda a: 1 / 0, "x") == "not attempted"
    assert check(3, lambda a: a == 3, "x") == "right"
    assert check(4, lambda a: a == 3, "Think.") == "not yet. Think."
    assert check("a", lambda a: a + 1, "Think.").startswith("not yet (TypeError")

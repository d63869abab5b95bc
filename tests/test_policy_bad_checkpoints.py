"""Checkpoints that are damaged, foreign or hostile: one clear sentence each, and nothing in them is run."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_makers import tiny_policy
from safetensors.torch import load_file, save_file

from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.policy.checkpoint import load_policy, save_policy
from vitra_lib.policy.official_weights import import_official


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good checkpoint."""
    save_policy(tiny_policy(), tmp_path / "good", {"steps": 1})
    return tmp_path / "good"


def described(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Change the description."""

    def apply(folder: Path) -> None:
        path = folder / "policy.json"
        content = json.loads(path.read_text())
        changed = change(content)
        path.write_text(json.dumps(content if changed is None else changed))

    return apply


def weighed(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Change the weights."""

    def apply(folder: Path) -> None:
        path = folder / "weights.safetensors"
        values = load_file(path)
        change(values)
        save_file(values, path)

    return apply


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (described(lambda d: d.pop("config") and None), "has no configuration"),
        (described(lambda d: d.update(config=[1, 2])), "has no configuration"),
        (described(lambda d: d["config"].pop("backbone") and None), "configuration can't be read"),
        (described(lambda d: d["config"]["denoiser"].update(flavour=3)), "configuration can't be read"),
        (described(lambda d: d["config"]["denoiser"].update(width="wide")), "configuration can't be read"),
        (described(lambda d: d["config"]["denoiser"].update(width=10**6)), "does not fit"),
        (described(lambda d: d["config"]["denoiser"].update(width=10**9)), "whole numbers from 1 to"),
        (described(lambda d: d["config"]["denoiser"].update(depth=-1)), "whole numbers from 1 to"),
        (described(lambda d: d.update(schema=99)), "schema 1"),
        (described(lambda d: ["no", "object"]), "schema 1"),
        (weighed(lambda w: w.pop("denoiser.positional_embedding")), "does not fit this policy"),
        (weighed(lambda w: w.update(extra=torch.zeros(1))), "does not fit this policy"),
        (weighed(lambda w: w.update({"backbone.cognition_token": torch.zeros(7)})), r"is \(7,\), wanted"),
        (weighed(lambda w: w["backbone.cognition_token"].fill_(torch.inf)), "NaN or infinite"),
        (lambda f: (f / "weights.safetensors").unlink(), "missing or cut short"),
        (lambda f: (f / "weights.safetensors").write_bytes(b""), "missing or cut short"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"\xff" * 64), "missing or cut short"),
        (lambda f: (f / "policy.json").write_bytes(b"\xff\xfe\x00"), "is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_one_sentence(folder: Path, damage: Callable[[Path], Any], sentence: str) -> None:
    assert load_policy(folder).config.profile == "test"  # the control: it was good
    damage(folder)
    with pytest.raises(VitraError, match=sentence) as caught:
        load_policy(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_pickle_in_the_place_of_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    trap, bait = tmp_path / "sprung", pickle.dumps(Trap(tmp_path / "sprung"))
    (folder / "weights.safetensors").write_bytes(bait)
    with pytest.raises(BadInput, match="missing or cut short"):
        load_policy(folder)
    released = tmp_path / "released.pt"
    torch.save({"cognition_token": Trap(trap)}, released)
    with pytest.raises(BadInput, match="nothing in it was run"):
        import_official(tiny_policy(), released)
    released.write_bytes(bait)
    with pytest.raises(BadInput):
        import_official(tiny_policy(), released)
    assert not trap.exists()
    pickle.loads(bait)
    assert trap.exists()  # the control: the bait works where it is swallowed

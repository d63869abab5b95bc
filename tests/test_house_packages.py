"""pyproject.toml and environment.yml name the same versions, and what must never be installed is not."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml


def requirement(line: str) -> tuple[str, frozenset[str]]:
    """Name and set of version bounds of a requirement line."""
    name, bounds = re.match(r"([A-Za-z0-9._-]+)(.*)", line).groups()
    return re.sub(r"[-_.]+", "-", name).lower(), frozenset(b.strip() for b in bounds.split(",") if b.strip())


def lines_of_pyproject(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lines_of_environment(repository: Path) -> tuple[list[str], list[str]]:
    """conda lines and pip lines of environment.yml."""
    lines = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(line["pip"] for line in lines if isinstance(line, dict))
    return [line for line in lines if isinstance(line, str)], pip


def difference(project: list[str], environment: list[str]) -> set:
    """What only one of two lists of requirements says."""
    return set(map(requirement, project)) ^ set(map(requirement, environment))


def test_environment_and_pyproject_agree(repository: Path) -> None:
    project = lines_of_pyproject(repository)
    conda, pip = lines_of_environment(repository)
    assert not difference(project["dependencies"], pip)
    assert requirement(f"python{project['requires-python']}") in set(map(requirement, conda))
    assert project["optional-dependencies"]["tracker"][0] in (repository / "environment.yml").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("changed", [["torch==2.13.1"], ["torch==2.13.0", "timm"], []])
def test_control_a_difference_is_seen(changed: list[str]) -> None:
    assert difference(["torch==2.13.0"], changed)
    assert not difference(["torch==2.13.0", "a>=1,<2"], ["A <2, >=1", "torch==2.13.0"])


def test_nothing_harmful_is_installed() -> None:
    names = {(d.metadata["Name"] or "").lower() for d in metadata.distributions()}
    # torchvision and timm pull another torch in, and break transformers when they do not fit it.
    assert not names & {"torchvision", "timm"}
    if metadata.version("torch").endswith("+cpu"):
        assert not {name for name in names if name.startswith("nvidia") or name == "triton"}


def test_cv2_is_the_headless_one() -> None:
    import cv2

    gui = re.search(r"GUI:\s*(\S+)", cv2.getBuildInformation())
    assert gui and gui.group(1) == "NONE", "opencv-contrib-python has replaced the headless cv2: run `make clean env`"


def test_the_hand_landmarker_needs_neither_jax_nor_a_sound_card() -> None:
    pytest.importorskip("mediapipe", reason="mediapipe isn't installed: run `make env`")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('jax', 'jaxlib', 'sounddevice')));"
        "from mediapipe.tasks.python import vision; vision.HandLandmarker; print('ok')"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr[-500:]

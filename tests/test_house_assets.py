"""Cards of licensed files; provenance; devices."""

import subprocess
import sys
from pathlib import Path

import pytest

from vitra_lib.core import assets, devices, provenance
from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty assets folder."""
    monkeypatch.setenv("VITRA_ASSETS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", assets.names())
def test_every_card_says_all_a_user_must_know(name: str, home: Path) -> None:
    card = assets.card(name)
    text = assets.explain(name)
    for part in (card.title, card.what, card.licence, card.used_for, card.register or card.install):
        assert part and part in text
    assert card.what.endswith(".") and card.used_for.endswith(".")
    state, sentence = assets.verify(name)
    assert state in ("present", "absent") and sentence.endswith(".")


def test_a_missing_asset_is_explained_in_one_sentence(home: Path) -> None:
    assert assets.find("mano_right") is None
    with pytest.raises(MissingAsset) as caught:
        assets.require("mano_right")
    text = str(caught.value)
    assert "mano.is.tue.mpg.de" in text and str(home / "mano" / "MANO_RIGHT.pkl") in text and "\n" not in text


def test_a_file_in_its_place_is_found(home: Path) -> None:
    (home / "mano").mkdir()
    (home / "mano" / "MANO_RIGHT.pkl").write_bytes(b"x")
    assert assets.require("mano_right") == (home / "mano" / "MANO_RIGHT.pkl",)
    assert assets.verify("mano_right")[0] == "present"


def test_a_wrong_file_is_noticed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = assets.Card("x", "X", "A file.", "Nothing.", "none", "somewhere", ("x.bin",), sha256=(("x.bin", "0" * 64),))
    monkeypatch.setattr(assets, "card", lambda name: card)
    (home / "x.bin").write_bytes(b"x")
    assert assets.verify("x")[0] == "wrong"


def test_an_unknown_name_lists_the_legal_ones() -> None:
    with pytest.raises(UnknownName, match="mano_right"):
        assets.card("mano_left")


def test_a_card_needs_a_place_to_get_it() -> None:
    with pytest.raises(BadInput, match="where to get"):
        assets.Card("x", "X", "A file.", "Nothing.", "none", files=("x.bin",))


def test_git_state_of_a_clean_and_of_a_changed_checkout(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) == provenance.GitState(None, None, None)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a.txt").write_text("1")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    clean = provenance.git_state(tmp_path)
    assert clean.sha and len(clean.sha) == 40 and clean.dirty is False and clean.diff_sha256 is None
    digests = set()
    for text in ("2", "3"):
        (tmp_path / "a.txt").write_text(text)
        changed = provenance.git_state(tmp_path)
        assert changed.sha == clean.sha and changed.dirty
        digests.add(changed.diff_sha256)
    assert len(digests) == 2 and "+3" in provenance.git_diff(tmp_path)


def test_inputs_that_are_not_there_are_recorded_as_missing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    digests = provenance.input_digests({"a": tmp_path / "a", "b": tmp_path / "b", "c": None})
    assert digests["a"].startswith("sha256:2d711642") and digests["b"] is None and digests["c"] is None


def test_the_banner_names_versions_and_device() -> None:
    text = provenance.banner()
    assert "torch 2.13.0" in text and "numpy " in text and "device: " in text and str(Path.home()) not in text


def test_devices() -> None:
    assert devices.choose_device("cpu") == "cpu" and devices.choose_device() in devices.DEVICES
    with pytest.raises(UnknownName, match="cuda"):
        devices.choose_device("tpu")
    settings = {"OMP_NUM_THREADS": "2"}
    devices.settle_threads(settings)
    assert settings["OMP_WAIT_POLICY"] == "PASSIVE" and settings["OMP_NUM_THREADS"] == "2"


def test_only_one_file_names_an_accelerator(repository: Path) -> None:
    naming = {
        str(path.relative_to(repository))
        for path in (repository / "vitra_lib").rglob("*.py")
        if any(f"{quote}cuda" in path.read_text(encoding="utf-8") for quote in ("'", '"'))
    }
    assert naming <= {"vitra_lib/core/devices.py"}


def test_importing_the_ground_floor_is_cheap() -> None:
    code = "import sys, vitra_lib.core.assets, vitra_lib.core.provenance as p; p.environment();"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False" or devices.choose_device() != "cpu"

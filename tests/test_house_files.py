"""Files are written whole or not at all."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import WriteFailed
from vitra_lib.core.files import atomic_folder, atomic_path, remove_partials, sha256_of, write_json, write_text


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.mp4"
    for content in (b"one", b"two"):
        with atomic_path(target) as part:
            assert part.suffix == ".mp4" and part.parent == target.parent and not target.exists() or content == b"two"
            part.write_bytes(content)
        assert target.read_bytes() == content
    assert os.listdir(target.parent) == ["a.mp4"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    old = tmp_path / "old.txt"
    old.write_text("old")
    for target in (old, tmp_path / "deep" / "er" / "new.txt"):
        with pytest.raises(type(error)), atomic_path(target) as part:
            part.write_text("half")
            raise error
    assert old.read_text() == "old"
    assert os.listdir(tmp_path) == ["old.txt"]


def test_control_a_plain_write_leaves_half_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), (tmp_path / "plain.txt").open("w") as stream:
        stream.write("half")
        raise ValueError("no")
    assert os.listdir(tmp_path) == ["plain.txt"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    full = Path("/dev/full")
    with pytest.raises(WriteFailed, match="the disk is full") as caught, atomic_path(tmp_path / "a.bin") as part:
        part.write_bytes(b"x")
        if full.exists():
            full.write_bytes(b"x" * 10_000)
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(caught.value) and not os.listdir(tmp_path)


def test_a_file_where_a_folder_is_needed_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteFailed, match="choose another output folder"):
        write_text(tmp_path / "file" / "sub" / "a.txt", "x")


def test_a_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        folder = Path("/sys/kernel")  # root may write nearly everywhere, but not there
        if not folder.exists():
            pytest.skip("This user may write everywhere, so permissions can't be tested.")
    with pytest.raises(WriteFailed, match="Can't write"):
        write_text(folder / "a.txt", "x")


def test_an_input_that_can_not_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "elsewhere" / "input.mp4"))


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    for name in ("a", "b"):
        with atomic_folder(target) as part:
            (part / name).write_text(name)
        assert os.listdir(target) == [name]
    with pytest.raises(ValueError, match="no"), atomic_folder(target) as part:
        (part / "c").write_text("c")
        raise ValueError("no")
    assert os.listdir(target) == ["b"] and os.listdir(tmp_path) == ["dataset"]


def test_what_a_killed_process_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom vitra_lib.core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as part:\n    part.write_text('half')\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    for name in ("a.txt", "b.txt"):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(os.listdir(tmp_path)) == 2
    write_text(tmp_path / "a.txt", "whole")
    assert sorted(os.listdir(tmp_path))[1:] == ["a.txt"] and len(os.listdir(tmp_path)) == 2
    remove_partials(tmp_path)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_json_is_the_same_bytes_and_nan_is_missing(tmp_path: Path) -> None:
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": (Path("x"), {"ü"})}
    write_json(tmp_path / "1.json", value)
    time.sleep(0.01)
    write_json(tmp_path / "2.json", value)
    assert sha256_of(tmp_path / "1.json") == sha256_of(tmp_path / "2.json")
    assert json.loads((tmp_path / "1.json").read_text()) == {"a": 0.5, "b": [0, 1], "c": None, "d": ["x", ["ü"]]}


def test_the_digest_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    write_text(tmp_path / "f" / "a.txt", "1")
    first = sha256_of(tmp_path / "f")
    os.rename(tmp_path / "f" / "a.txt", tmp_path / "f" / "b.txt")
    second = sha256_of(tmp_path / "f")
    write_text(tmp_path / "f" / "b.txt", "2")
    assert len({first, second, sha256_of(tmp_path / "f")}) == 3

"""The stored reconstruction: nothing lost, equal bytes, whole files or none, clear words for a wrong file."""

from dataclasses import fields, replace

import numpy as np
import pytest
from reconstruction_motions import hand_motion, moving_camera

from vitra_lib.contracts import HandTrack, Reconstruction, Rejection
from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.reconstruction import store
from vitra_lib.reconstruction.store import load_reconstruction, save_reconstruction


def example() -> Reconstruction:
    times, right = hand_motion(0, 20)
    return Reconstruction(
        video_name="tölü.mp4",
        video_sha256="ab" * 32,
        fps=29.97,
        source_frame=np.arange(5, 25),
        time_s=times,
        camera=replace(moving_camera(times), scale_rel_std=float("nan")),
        left=HandTrack.absent("left", 20),
        right=right,
        rejections=(Rejection("reconstruction", "right hand, frames [3, 4)", "outlier_position", "0.2 m", 3, 4),),
        quality={"right_coverage": 1.0, "left_jitter_m": float("nan")},
    )


def assert_same(a: object, b: object) -> None:
    for field in fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        elif hasattr(x, "__dataclass_fields__"):
            assert_same(x, y)
        elif isinstance(x, dict):
            assert list(x) == sorted(y, key=list(x).index)
            np.testing.assert_array_equal(list(x.values()), [y[name] for name in x])
        elif isinstance(x, float):
            np.testing.assert_array_equal(x, y)
        else:
            assert x == y, field.name


def test_nothing_is_lost(tmp_path):
    save_reconstruction(example(), tmp_path / "a.npz")
    assert_same(example(), load_reconstruction(tmp_path / "a.npz"))


def test_equal_content_gives_equal_bytes_and_other_content_does_not(tmp_path):
    save_reconstruction(example(), tmp_path / "a.npz")
    save_reconstruction(load_reconstruction(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    save_reconstruction(replace(example(), fps=30.0), tmp_path / "c.npz")
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "c.npz").read_bytes()


def test_the_file_needs_no_pickle(tmp_path):
    save_reconstruction(example(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    save_reconstruction(example(), tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()

    def interrupted(path, arrays):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_write_npz", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_reconstruction(replace(example(), fps=1.0), tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(WriteFailed):
        save_reconstruction(example(), tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip at all"])
def test_a_wrong_file_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadInput, match="not a reconstruction"):
        load_reconstruction(tmp_path / "x.npz")


def test_missing_truncated_foreign_and_newer_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="no reconstruction"):
        load_reconstruction(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(BadInput, match="not a reconstruction"):
        load_reconstruction(tmp_path / "other.npz")
    save_reconstruction(example(), tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="damaged"):
        load_reconstruction(tmp_path / "cut.npz")
    middle = whole.find(b"right.R_parent_joint.npy") + 200
    (tmp_path / "flipped.npz").write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    with pytest.raises(BadInput, match="damaged"):
        load_reconstruction(tmp_path / "flipped.npz")
    monkeypatch.setattr(store, "VERSION", 99)
    save_reconstruction(example(), tmp_path / "new.npz")
    monkeypatch.undo()
    with pytest.raises(BadInput, match="version 99"):
        load_reconstruction(tmp_path / "new.npz")
    with pytest.raises(BadInput, match=".npz"):
        save_reconstruction(example(), tmp_path / "a.json")

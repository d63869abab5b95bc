"""The index over official folders: same answers as the official arrays, nothing opened, rebuilt when stale."""

import pickle

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, UnsafePickle
from vitra_lib.episodes import open_vitra_1m
from vitra_lib.episodes import vitra_1m_index as room

EXAMPLE = "Ego4D_03cc49c3-a7d1-445b-9a2a-545c4fae6843_ep_example.npy"


def make_set(root, name, lengths, prefix="epic", pairs=None):
    """An official index without files: names and lengths are all that is needed."""
    folder = root / name
    (folder / "episodic_annotations").mkdir(parents=True)
    names = [f"{prefix}_P01_{n % 7:02d}_ep_{n:06d}" for n in range(len(lengths))]
    if pairs is None:
        pairs = np.array([(n, frame) for n, length in enumerate(lengths) for frame in range(length)])
    np.savez(folder / "episode_frame_index.npz", index_frame_pair=pairs, index_to_episode_id=np.array(names))
    return names, pairs


def test_samples_are_those_of_the_official_arrays(tmp_path):
    rng = np.random.default_rng(0)
    first, first_pairs = make_set(tmp_path / "Annotation", "ego4d_other", rng.integers(1, 9, 40), "Ego4D")
    second, second_pairs = make_set(tmp_path / "Annotation", "epic", rng.integers(1, 9, 30))
    index = open_vitra_1m(tmp_path)
    assert len(index) == 70 and index.sets == ("ego4d_other", "epic")
    assert index.total_samples == len(first_pairs) + len(second_pairs)
    assert [index.name(n) for n in range(70)] == first + second
    shifted = np.concatenate([first_pairs, second_pairs + [40, 0]])
    assert [index.sample(n) for n in range(index.total_samples)] == [tuple(pair) for pair in shifted]
    order = rng.permutation(index.total_samples)
    episodes, frames = index.samples(order)
    assert np.array_equal(np.stack([episodes, frames], axis=1), shifted[order])
    assert index.path(41) == tmp_path / "Annotation/epic/episodic_annotations" / f"{second[1]}.npy"
    assert index.set_of(39) == 0 and index.set_of(40) == 1
    assert index.sample_count(3) == int((first_pairs[:, 0] == 3).sum())
    assert not (tmp_path / "Annotation/ego4d_other/.vitra-index/frames.npy").exists()
    for bad in (-1, 70):
        with pytest.raises(IndexError, match="0 to 69"):
            index.name(bad)


def test_a_list_that_skips_frames_is_kept(tmp_path):
    pairs = np.array([(1, 4), (0, 2), (0, 0), (1, 5), (3, 1)])  # unsorted, with gaps, episode 2 without samples
    make_set(tmp_path, "ssv2", [9, 9, 9, 9], pairs=pairs.astype(np.uint32))
    index = open_vitra_1m(tmp_path)
    assert [index.sample(n) for n in range(5)] == [(0, 2), (0, 0), (1, 4), (1, 5), (3, 1)]
    assert [index.sample_count(n) for n in range(4)] == [2, 2, 0, 1]


def test_it_is_made_once_and_again_when_its_source_changes(tmp_path, monkeypatch):
    make_set(tmp_path, "epic", [3, 4])
    open_vitra_1m(tmp_path)
    made = []
    really = room._make
    monkeypatch.setattr(room, "_make", lambda *args: (made.append(1), really(*args)))
    assert len(open_vitra_1m(tmp_path)) == 2 and not made
    make_set(tmp_path, "ssv2", [5])
    assert len(open_vitra_1m(tmp_path)) == 3 and len(made) == 1
    (tmp_path / ".vitra-index/index.json").write_text("{")
    assert len(open_vitra_1m(tmp_path)) == 3 and len(made) == 2


def test_a_read_only_root_has_its_index_in_the_cache(tmp_path, monkeypatch):
    make_set(tmp_path / "data", "epic", [3, 4])
    monkeypatch.setenv("VITRA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data/.vitra-index").write_text("a file where the folder would be")
    assert len(open_vitra_1m(tmp_path / "data")) == 2
    assert list((tmp_path / "cache/index").glob("*/index.json"))
    assert len(open_vitra_1m(tmp_path / "data", tmp_path / "here")) == 2 and (tmp_path / "here/names.npy").exists()


def test_workers_open_it_anew(tmp_path):
    make_set(tmp_path, "epic", [3, 4])
    index = open_vitra_1m(tmp_path)
    sent = pickle.dumps(index)
    assert len(sent) < 1000  # folders, not arrays
    assert pickle.loads(sent).name(1) == index.name(1)


def test_a_released_file_is_read_without_an_official_index(tmp_path, shared_data):
    folder = tmp_path / "set/episodic_annotations"
    folder.mkdir(parents=True)
    (folder / EXAMPLE).write_bytes((shared_data / "vitra_ego4d_episode" / EXAMPLE).read_bytes())
    index = open_vitra_1m(tmp_path)
    assert (len(index), index.total_samples) == (1, 25)
    episode = index.episode(0, fps=30.0)
    assert episode.primary_hand == "right" and len(episode) == 25
    (folder / EXAMPLE).unlink()
    with pytest.raises(BadInput, match="names an episode that is not there"):
        index.episode(0)


def test_damaged_indices_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="No official episodes"):
        open_vitra_1m(tmp_path / "empty")
    cases = {
        "../up": (BadInput, "can't be the name"),
        "out": (BadInput, "don't exist"),
        "flat": (BadInput, r"must be whole numbers \(n, 2\)"),
        "evil": (UnsafePickle, "nothing in it was run"),
    }
    for name, (kind, message) in cases.items():
        root = tmp_path / name.replace("/", "-")
        make_set(root, "epic", [2])
        arrays = {"index_frame_pair": np.zeros((2, 2), int), "index_to_episode_id": np.array(["epic_P01_00_ep_000000"])}
        if name == "../up":
            arrays["index_to_episode_id"] = np.array([name])
        if name == "out":
            arrays["index_frame_pair"][1, 0] = 1
        if name == "flat":
            arrays["index_frame_pair"] = np.zeros(4)
        if name == "evil":
            arrays["index_to_episode_id"] = np.array([Evil()], dtype=object)
        np.savez(root / "epic/episode_frame_index.npz", **arrays)
        with pytest.raises(kind, match=message):
            open_vitra_1m(root)
        assert not (root / ".vitra-index").exists()

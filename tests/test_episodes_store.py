"""The store: exact round trip, LeRobot's contract read by hand, shared video, appending, all or nothing."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from episodes_makers import FPS, frame_grey, make_captions, make_reconstruction, make_video

from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.episodes import EpisodeStore, FootageConfig, build_episodes, prepare_footage, state, step_actions
from vitra_lib.episodes.statistics import Moments
from vitra_lib.video import probe

VIDEO_KEY = "observation.images.ego"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    videos = [make_video(folder / "clip.mp4", 60), make_video(folder / "other.mp4", 70, fps=25.0, width=80, height=80)]
    episodes = build_episodes(make_reconstruction(), make_captions(), dataset_prefix="Own")[0]
    others = build_episodes(make_reconstruction(70, 1, "other.mp4"), make_captions(), dataset_prefix="Own")[0]
    return videos, episodes, others


def write(root, source, sittings=1):
    videos, episodes, others = source
    with EpisodeStore.create(root) as writer:
        writer.add_video("clip", [videos[0]], "Own")
        for episode in episodes:
            writer.append(episode)
        if sittings == 2:
            writer.finalize().close()
            writer = EpisodeStore.append(root)
        writer.add_video("other", [videos[1]], "Own")
        for episode in others:
            writer.append(episode)
        return writer.finalize()


@pytest.fixture(scope="module")
def store(tmp_path_factory, source):
    return write(tmp_path_factory.mktemp("store") / "set", source)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_reading_back_gives_equal_episodes(store, source):
    _, episodes, others = source
    assert len(store) == 8 and store.total_frames == sum(map(len, episodes)) + sum(map(len, others))
    for index, episode in enumerate([*episodes, *others]):
        assert store[index].equals(episode)
    assert store[-1].equals(others[-1]) and not store[0].equals(others[0])
    assert store.names == [episode.name for episode in [*episodes, *others]]
    assert sum(1 for _ in store) == 8
    again = pickle.loads(pickle.dumps(store))
    assert again[2].equals(episodes[2])


def test_lerobot_contract(store):
    root = store.root
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 30 and info["chunks_size"] == 1000
    assert (info["total_episodes"], info["total_frames"]) == (8, len(pq.read_table(root / "data")))
    assert info["splits"] == {"train": "0:8"}
    assert not any("/" in name for name in info["features"])
    trained = {name for name in info["features"] if name.startswith(("observation", "action"))}
    assert trained == {VIDEO_KEY, "observation.state", "action"}

    path = root / info["data_path"].format(chunk_index=0, file_index=0)
    with pq.ParquetFile(path) as data:
        assert data.num_row_groups == 8
        for name, feature in info["features"].items():
            if feature["dtype"] != "video":
                kind = data.schema_arrow.field(name).type
                assert str(kind).startswith("fixed_size_list") == (feature["shape"] != [1])
                assert feature["shape"] == [1] or kind.list_size == feature["shape"][0]
        assert set(data.schema_arrow.names) == {n for n, f in info["features"].items() if f["dtype"] != "video"}
        rows = data.read().to_pydict()
    assert rows["index"] == list(range(info["total_frames"]))
    assert np.allclose(rows["timestamp"], np.array(rows["frame_index"]) / 30, atol=1e-6)

    tasks = pq.read_table(root / "meta/tasks.parquet").to_pandas()
    assert tasks["task_index"].tolist() == list(range(info["total_tasks"]))
    episodes = pq.read_table(root / "meta/episodes").to_pylist()
    start = 0
    for number, row in enumerate(episodes):
        assert row["episode_index"] == number and row["length"] == row["dataset_to_index"] - row["dataset_from_index"]
        assert row["dataset_from_index"] == start
        window = slice(start, row["dataset_to_index"])
        assert set(rows["episode_index"][window]) == {number}
        assert list(dict.fromkeys(tasks.index[rows["task_index"][window]])) == row["tasks"]
        video = info["video_path"].format(
            video_key=VIDEO_KEY,
            chunk_index=row[f"videos/{VIDEO_KEY}/chunk_index"],
            file_index=row[f"videos/{VIDEO_KEY}/file_index"],
        )
        assert (root / video).is_file()
        duration = row[f"videos/{VIDEO_KEY}/to_timestamp"] - row[f"videos/{VIDEO_KEY}/from_timestamp"]
        assert duration == pytest.approx(row["length"] / 30)
        assert (row["data/chunk_index"], row["data/file_index"], row["meta/episodes/file_index"]) == (0, 0, 0)
        start = row["dataset_to_index"]


def test_statistics_equal_the_datas_own(store):
    stats = json.loads((store.root / "meta/stats.json").read_text())
    names = ("mean", "std", "min", "max", "count", "q01", "q10", "q50", "q90", "q99")
    assert all(set(entry) == set(names) for entry in stats.values())
    assert np.shape(stats[VIDEO_KEY]["mean"]) == (3, 1, 1) and 0.1 < stats[VIDEO_KEY]["mean"][0][0][0] < 0.9
    for name, function, size in (("observation.state", state, 61), ("action", step_actions, 51)):
        pairs = [function(episode) for episode in store]
        values = np.concatenate([v for v, _ in pairs]).astype(np.float32).astype(np.float64)
        mask = np.concatenate([m for _, m in pairs])
        for hand in (0, 1):
            part = values[mask[:, hand]][:, hand * size : (hand + 1) * size]
            window = slice(hand * size, (hand + 1) * size)
            assert np.allclose(stats[name]["mean"][window], part.mean(0), atol=1e-12)
            assert np.allclose(stats[name]["std"][window], part.std(0), atol=1e-12)
            assert np.array_equal(stats[name]["min"][window], part.min(0))
            assert np.array_equal(stats[name]["max"][window], part.max(0))
        # Control: counting masked zeros as data moves the mean.
        assert np.abs(values.mean(0) - stats[name]["mean"])[:size].max() > 1e-3
        assert stats[name]["count"] == [store.total_frames]


def test_moments_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    values, mask = rng.normal(3, 2, (90, 4)), rng.random((90, 4)) < 0.7
    mask[:, 3] = False
    mask[:30, 2] = False
    whole = Moments.of(values, mask)
    merged = Moments.of(values[:30], mask[:30]).merged(Moments.of(values[30:70], mask[30:70]))
    merged = merged.merged(Moments.of(values[70:], mask[70:]))
    for name in ("count", "mean", "m2", "low", "high"):
        assert np.allclose(getattr(merged, name), getattr(whole, name), atol=1e-10), name
    for column in range(3):
        kept = values[mask[:, column], column]
        assert whole.mean[column] == pytest.approx(kept.mean()) and whole.low[column] == kept.min()
        assert np.allclose(whole.quantiles[:, column], np.quantile(kept, [0.01, 0.1, 0.5, 0.9, 0.99]))
    assert not whole.mean[3] and not whole.quantiles[:, 3].any()
    again = Moments.from_json(json.loads(json.dumps(merged.to_json())))
    assert all(np.array_equal(getattr(again, name), value) for name, value in vars(merged).items())


def test_overlapping_episodes_share_video_and_show_their_frames(store, source):
    assert len(list((store.root / "videos").rglob("*.mp4"))) == 2
    for index, episode in enumerate(source[1]):
        images = store.images(index, [0, len(episode) - 1])
        for frame, image in zip((0, len(episode) - 1), images, strict=True):
            assert abs(float(image.mean()) - frame_grey(int(episode.source_frame[frame]))) < 3
    stretched = store.images(5, [0])[0]
    assert stretched.shape == (64, 96, 3)  # the second video is square: all frames of a store have one size
    info = probe(store.video_path(0))
    assert (info.codec, info.frame_count, info.fps, info.is_variable_rate) == ("h264", 60, 30.0, False)


def test_same_input_same_bytes_and_appending_equals_writing_at_once(tmp_path, source, store):
    write(tmp_path / "once", source)
    write(tmp_path / "twice", source, sittings=2)
    assert digests(tmp_path / "once") == digests(store.root)
    assert digests(tmp_path / "twice") == digests(store.root)


def test_many_small_files_append_alike(tmp_path, source, monkeypatch):
    """Files roll over where the rows say, not where a sitting ended."""
    monkeypatch.setattr("vitra_lib.episodes.writer.DATA_FILE_BYTES", 60 * 5400)
    for module in ("writer", "store", "lerobot_files"):
        monkeypatch.setattr(f"vitra_lib.episodes.{module}.LABELS_PER_FILE", 3)
    for module in ("writer", "store"):
        monkeypatch.setattr(f"vitra_lib.episodes.{module}.LABELS_PER_GROUP", 2)
    once, twice = write(tmp_path / "once", source), write(tmp_path / "twice", source, sittings=2)
    assert digests(once.root) == digests(twice.root)
    assert len(list((once.root / "data").rglob("*.parquet"))) > 2
    assert len(list((once.root / "meta/episodes").rglob("*.parquet"))) == 3
    for index, episode in enumerate([*source[1], *source[2]]):
        assert twice[index].equals(episode)


def test_a_prepared_video_gives_the_same_store(tmp_path, source):
    videos, episodes, _ = source
    for name in ("direct", "prepared"):
        with EpisodeStore.create(tmp_path / name) as writer:
            ready = tmp_path / "footage" if name == "prepared" else None
            if ready:
                prepare_footage([videos[0]], ready, writer.footage_config)
            writer.add_video("clip", [videos[0]], "Own", prepared=ready)
            writer.append(episodes[0])
            writer.finalize()
    assert digests(tmp_path / "direct") == digests(tmp_path / "prepared")
    with EpisodeStore.append(tmp_path / "direct") as writer:
        prepare_footage([videos[1]], tmp_path / "other", FootageConfig())
        with pytest.raises(BadInput, match="doesn't fit this dataset: width_px 80 instead of 96"):
            writer.add_video("other", [], "Own", prepared=tmp_path / "other")


def test_long_videos_become_overlapping_pieces(tmp_path, source):
    videos, episodes, _ = source
    config = FootageConfig(max_piece_s=50 / FPS, overlap_s=39.9 / FPS, gop=5)
    with EpisodeStore.create(tmp_path / "set", config) as writer:
        writer.add_video("clip", [videos[0]], "Own")
        for episode in episodes:
            writer.append(episode)
        store = writer.finalize()
    assert [(video["start"], video["stop"]) for video in store.videos] == [(0, 50), (10, 60)]
    assert [store.label(n)["video_file"] for n in range(4)] == [0, 0, 0, 1]
    for index, episode in enumerate(episodes):
        image = store.images(index, [len(episode) - 1])[0]
        assert abs(float(image.mean()) - frame_grey(int(episode.source_frame[-1]))) < 3


def test_leaving_without_finalize_leaves_nothing(tmp_path, source):
    videos, episodes, others = source
    with EpisodeStore.create(tmp_path / "set") as writer:
        writer.add_video("clip", [videos[0]], "Own")
        writer.append(episodes[0])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="at least one episode"), EpisodeStore.create(tmp_path / "set") as writer:
        writer.finalize()
    assert list(tmp_path.iterdir()) == []
    store = write(tmp_path / "set", source)
    before = digests(store.root)
    with pytest.raises(KeyboardInterrupt), EpisodeStore.append(store.root) as writer:
        writer.add_video("third", [videos[0]], "Own")
        raise KeyboardInterrupt
    assert digests(store.root) == before


KILLED = """
import sys, os, signal
sys.path[:0] = [{tests!r}, {repository!r}]
from pathlib import Path
from episodes_makers import make_captions, make_reconstruction
from vitra_lib.episodes import EpisodeStore, build_episodes
episodes = build_episodes(make_reconstruction(), make_captions(), dataset_prefix="Own")[0]
writer = EpisodeStore.create({root!r}) if {fresh} else EpisodeStore.append({root!r})
writer.add_video("again", [{video!r}], "Own")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("fresh", [True, False])
def test_killed_in_the_middle(tmp_path, source, repository, fresh):
    root = tmp_path / "set"
    before = {} if fresh else digests(write(root, source).root)
    values = {"tests": str(repository / "tests"), "repository": str(repository), "root": str(root)}
    code = KILLED.format(**values, fresh=fresh, video=str(source[0][0]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if fresh:
        assert not root.exists()
        store = write(root, source)
    else:
        seen = {name: digest for name, digest in digests(root).items() if not name.startswith(".staged")}
        assert seen == before and len(EpisodeStore.open(root)) == 8
        with EpisodeStore.append(root) as writer:
            writer.finalize()
        assert digests(root) == before
        store = EpisodeStore.open(root)
    assert [path.name for path in tmp_path.iterdir()] == ["set"] and len(store) == 8


def test_a_change_that_was_decided_is_finished(tmp_path, source, monkeypatch):
    videos, episodes, others = source
    whole = write(tmp_path / "whole", source)
    root = tmp_path / "set"
    with EpisodeStore.create(root) as writer:
        writer.add_video("clip", [videos[0]], "Own")
        for episode in episodes:
            writer.append(episode)
        writer.finalize()
    writer = EpisodeStore.append(root)
    writer.add_video("other", [videos[1]], "Own")
    for episode in others:
        writer.append(episode)
    moved = []
    real = os.replace

    def stop_after_three(a, b):
        if Path(b).is_relative_to(root) and ".staged" not in str(b):
            moved.append(b)
            if len(moved) > 3:
                raise KeyboardInterrupt
        real(a, b)

    monkeypatch.setattr(os, "replace", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        writer.finalize()
    monkeypatch.undo()
    assert digests(root) != digests(whole.root)
    assert len(EpisodeStore.open(root)) == 8
    assert digests(root) == digests(whole.root)


def test_refusals_are_sentences(tmp_path, source, store):
    videos, episodes, _ = source
    with pytest.raises(BadInput, match="exists already"):
        EpisodeStore.create(store.root)
    with pytest.raises(BadInput, match="doesn't exist"):
        EpisodeStore.open(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="not an episode store: meta/info.json is missing"):
        EpisodeStore.open(tmp_path / "empty")
    with EpisodeStore.create(tmp_path / "set") as writer:
        with pytest.raises(BadInput, match="being written by another process"):
            EpisodeStore.create(tmp_path / "set")
        with pytest.raises(BadInput, match="add its video 'clip' before it"):
            writer.append(episodes[0])
        writer.add_video("clip", [make_video(tmp_path / "short.mp4", 20)], "Own")
        with pytest.raises(BadInput, match="needs frames 0 to 24, but its video has 20"):
            writer.append(episodes[0])
        with pytest.raises(BadInput, match="is in the dataset already"):
            writer.add_video("clip", [videos[0]], "Own")
    with pytest.raises(IndexError):
        store[8]


def test_damaged_stores_are_refused(tmp_path, source):
    store = write(tmp_path / "set", source)
    info = store.root / "meta/info.json"
    text = info.read_text()
    info.write_text(text.replace('"v3.0"', '"v2.1"'))
    with pytest.raises(BadInput, match="LeRobot v2.1"):
        EpisodeStore.open(store.root)
    info.write_text(text.replace('"time_s"', '"time"'))
    with pytest.raises(BadInput, match="time_s, time in meta/info.json"):
        EpisodeStore.open(store.root)
    info.write_text(text[:100])
    with pytest.raises(BadInput, match="not JSON"):
        EpisodeStore.open(store.root)
    info.write_text(text)
    next((store.root / "data").rglob("*.parquet")).write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="can't be read as Parquet"):
        EpisodeStore.open(store.root)[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may write anywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(WriteFailed):
        EpisodeStore.create(tmp_path / "set")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("module", ["shards.pq.ParquetWriter.write_table", "shards.pq.ParquetWriter.close"])
def test_full_disk(tmp_path, source, monkeypatch, module):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    videos, episodes, _ = source
    with pytest.raises(WriteFailed, match="No space left on device"), EpisodeStore.create(tmp_path / "set") as writer:
        writer.add_video("clip", [videos[0]], "Own")
        monkeypatch.setattr(f"vitra_lib.episodes.{module}", fail)
        writer.append(episodes[0])
        writer.finalize()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []

"""Importing official data: goes on after a kill with the same bytes, says what doesn't fit, keeps what was released."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from episodes_makers import make_captions, make_reconstruction, make_video

from vitra_lib.core.errors import BadInput
from vitra_lib.episodes import (
    EpisodeStore,
    ExportConfig,
    ImportConfig,
    build_episodes,
    export_vitra_1m,
    import_vitra_1m,
    to_official,
)
from vitra_lib.episodes.mismatch import find_mismatches

NAMES = ("a", "b", "c")


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    with EpisodeStore.create(folder / "set") as writer:
        for seed, name in enumerate(NAMES):
            writer.add_video(name, [make_video(folder / f"{name}.mp4", 60)], "Ego4D")
            tracks = make_reconstruction(60, seed, f"{name}.mp4")
            for episode in build_episodes(tracks, make_captions(), dataset_prefix="Ego4D")[0]:
                writer.append(episode)
        return writer.finalize()


@pytest.fixture
def official(tmp_path, store):
    export_vitra_1m(store, tmp_path / "official")
    return tmp_path / "official/ego4d_cooking_and_cleaning"


def test_an_import_that_was_stopped_goes_on_and_gives_the_same_bytes(tmp_path, official, monkeypatch):
    import_vitra_1m(official, None, tmp_path / "at_once")
    often = ImportConfig(commit_s=0)
    import_vitra_1m(official, None, tmp_path / "often", often)
    assert digests(tmp_path / "often") == digests(tmp_path / "at_once")

    from vitra_lib.episodes import vitra_1m_import as room

    read, opened = [], []
    really_read, really_open = room.read_official, room._open_video
    monkeypatch.setattr(room, "read_official", lambda path, fps: (read.append(path.name), really_read(path, fps))[1])

    def stop_at_the_third(episodes, *args):
        opened.append(episodes[0].video_name)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return really_open(episodes, *args)

    monkeypatch.setattr(room, "_open_video", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        import_vitra_1m(official, None, tmp_path / "set", often)
    assert not (tmp_path / "set").exists() and len(EpisodeStore.open(tmp_path / "set.work/dataset")) == 8
    read.clear()
    import_vitra_1m(official, None, tmp_path / "set", often)
    assert opened == ["a", "b", "c", "c"] and {name.split("_")[1] for name in read} == {"c"}  # nothing redone
    assert digests(tmp_path / "set") == digests(tmp_path / "at_once")
    assert not (tmp_path / "set.work").exists()


def test_an_import_that_was_killed_goes_on(tmp_path, official):
    import_vitra_1m(official, None, tmp_path / "at_once")
    code = (
        "import sys; from vitra_lib.episodes import *; "
        "import_vitra_1m(sys.argv[1], None, sys.argv[2], ImportConfig(commit_s=0))"
    )
    for wait_for in ("journal.jsonl", "dataset"):
        out = tmp_path / f"killed_{wait_for[:4]}"
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(official), str(out)], cwd=Path(__file__).parent.parent
        )
        waited = out.with_name(out.name + ".work") / wait_for
        while not waited.exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not out.exists():  # it may have been faster than the signal
            assert waited.exists()
            import_vitra_1m(official, None, out, ImportConfig(commit_s=0))
        assert digests(out) == digests(tmp_path / "at_once")


def test_work_of_another_import_is_not_gone_on_with(tmp_path, official):
    work = tmp_path / "set.work"
    work.mkdir()
    (work / "key.txt").write_text("something else")
    (work / "dataset").mkdir()
    (work / "dataset/junk").write_text("x")
    import_vitra_1m(official, None, tmp_path / "set")
    assert not work.exists() and not (tmp_path / "set/junk").exists()


def test_a_video_that_came_in_without_its_line_is_not_written_twice(tmp_path, official):
    """The process died between the commit and the journal."""
    import_vitra_1m(official, None, tmp_path / "at_once")
    from vitra_lib.episodes import vitra_1m_import as room
    from vitra_lib.episodes.vitra_1m_work import ImportWork

    config = ImportConfig(commit_s=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImportWork, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            import_vitra_1m(official, None, tmp_path / "set", config)
    journal = tmp_path / "set.work/journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:7])  # a torn last line
    assert room.REPORT
    import_vitra_1m(official, None, tmp_path / "set", config)
    assert digests(tmp_path / "set") == digests(tmp_path / "at_once")


def change(folder: Path, name: str, edit) -> None:
    path = folder / "episodic_annotations" / name
    content = np.load(path, allow_pickle=True).item()
    edit(content)
    whole = np.empty((), dtype=object)
    whole[()] = content
    np.save(path, whole, allow_pickle=True)


def test_what_does_not_fit_its_video_is_reported_and_not_passed_on(tmp_path, official):
    def beside(content):
        for side in ("left", "right"):
            content[side]["joints_worldspace"] = content[side]["joints_worldspace"] + 5.0

    change(official, "Ego4D_a_ep_000000.npy", beside)
    change(official, "Ego4D_a_ep_000001.npy", lambda c: c["video_decode_frame"].__iadd__(50))
    make_video(official / "videos/b.mp4", 60, width=64, height=96)
    skipping = ImportConfig(skip_bad=True)
    store, rejections = import_vitra_1m(official, None, tmp_path / "set", skipping)
    reasons = {rejection.item: rejection.reason for rejection in rejections}
    assert reasons.pop("Ego4D_a_ep_000000") == "hands_outside_image"
    assert reasons.pop("Ego4D_a_ep_000001") == "frames_outside_video"
    assert set(reasons.values()) == {"size_mismatch"} and len(reasons) == 4
    assert len(store) == 6 and {video["video_name"] for video in store.videos} == {"a", "c"}  # b is of no use
    report = json.loads((store.root / "meta/vitra/import.json").read_text())
    assert [one["item"] for one in report["left_out"]] == [rejection.item for rejection in rejections]
    with pytest.raises(BadInput, match="Ego4D_a_ep_000000 the left palm falls into the image in only 0%"):
        import_vitra_1m(official, None, tmp_path / "strict")
    assert not (tmp_path / "strict").exists() and not (tmp_path / "strict.work").exists()


def test_mismatches_have_a_control(store):
    episode = store[0]
    assert find_mismatches(episode, 60, 96, 64) == ()
    assert find_mismatches(episode, 60, 192, 128) == ()  # another size of the same shape
    last = int(episode.source_frame[-1])
    assert [m.reason for m in find_mismatches(episode, last, 96, 64)] == ["frames_outside_video"]
    assert find_mismatches(episode, last + 1, 96, 64) == ()
    assert [m.reason for m in find_mismatches(episode, 60, 96, 72)] == ["size_mismatch"]


def test_the_released_example_fits_its_video_and_a_wrong_crop_does_not(shared_data):
    from vitra_lib.episodes import read_official

    path = next((shared_data / "vitra_ego4d_episode").glob("*.npy"))
    episode = read_official(path, 30.0)
    assert find_mismatches(episode, 25, 480, 368) == ()
    assert [m.reason for m in find_mismatches(episode, 25, 480, 480)] == ["size_mismatch"]


def test_two_sets_of_one_prefix_stay_apart_and_share_their_videos(tmp_path, official, store):
    other = tmp_path / "official/ego4d_other/episodic_annotations"
    other.mkdir(parents=True)
    moved = sorted((official / "episodic_annotations").glob("Ego4D_b_*"))[:2]
    for path in moved:
        os.replace(path, other / path.name)
    (official / "episode_frame_index.npz").unlink()
    released = b'{"dataset_name": "ego4d_other", "state_right": {"mean": [0.1], "std": [1.0]}, "num_traj": 7}'
    statistics = tmp_path / "official/statistics"
    statistics.mkdir()
    (statistics / "ego4d_other_angle_statistics.json").write_bytes(released)
    imported, _ = import_vitra_1m(tmp_path / "official", official / "videos", tmp_path / "set")
    assert len(imported) == 12 and len(imported.videos) == 3
    assert {e.provenance["dataset"] for e in imported} == {"ego4d_cooking_and_cleaning", "ego4d_other"}
    for layout, folder, own in (
        ("flat", "{}", "{}/statistics.json"),
        ("training", "Annotation/{}", "Annotation/statistics/{}_angle_statistics.json"),
    ):
        out = tmp_path / layout
        export_vitra_1m(imported, out, ExportConfig(layout=layout))
        back = out / folder.format("ego4d_other")
        assert sorted(p.name for p in (back / "episodic_annotations").iterdir()) == [p.name for p in moved]
        assert (out / own.format("ego4d_other")).read_bytes() == released
        computed = json.loads((out / own.format("ego4d_cooking_and_cleaning")).read_text())
        assert len(computed["state_left"]["mean"]) == 61 and len(computed["action_right"]["std"]) == 51
        assert computed["num_traj"] == imported.total_frames
        videos = sorted(str(p.relative_to(out)) for p in out.rglob("*.mp4"))
        if layout == "flat":
            assert videos == [f"ego4d_cooking_and_cleaning/videos/{n}.mp4" for n in NAMES] + [
                "ego4d_other/videos/b.mp4"
            ]
        else:
            assert videos == [f"Video/Ego4D_root/{name}.mp4" for name in NAMES]
        again, _ = import_vitra_1m(out, None if layout == "flat" else out, tmp_path / f"{layout}_again")
        for ours in imported:
            theirs = again[again.names.index(ours.name)]
            a, b = to_official(ours), to_official(theirs)
            for key in ("extrinsics", "intrinsics", "video_decode_frame"):
                assert np.array_equal(a[key], b[key])
            for side in ("left", "right"):
                for key in ("beta", "hand_pose", "transl_worldspace", "kept_frames", "global_orient_worldspace"):
                    assert np.array_equal(a[side][key], b[side][key])
            assert a["text"] == b["text"] and theirs.provenance["dataset"] == ours.provenance["dataset"]
    shutil.rmtree(tmp_path / "set")


def test_the_cropped_set_goes_both_ways(tmp_path, store):
    """EgoExo4D: labels for the undistorted image of 1408 px, videos of the 256 px in the middle of 448."""
    annotations = tmp_path / "in/egoexo4d/episodic_annotations"
    annotations.mkdir(parents=True)
    content = to_official(store[0]) | {"video_name": "take_1"}
    content["intrinsics"] = np.array([[412.5, 0, 704.0], [0, 412.5, 704.0], [0, 0, 1]])
    whole = np.empty((), dtype=object)
    whole[()] = content
    np.save(annotations / "EgoExo4D_take_1_ep_000000.npy", whole, allow_pickle=True)
    videos = tmp_path / "in/egoexo4d/videos"
    videos.mkdir()
    make_video(videos / "take_1.mp4", 60, width=256, height=256)
    imported, _ = import_vitra_1m(tmp_path / "in", None, tmp_path / "set")
    assert np.rad2deg(imported[0].fov_rad) == pytest.approx([88.56, 88.56], abs=0.02)
    export_vitra_1m(imported, tmp_path / "out", ExportConfig(layout="training"))
    assert (tmp_path / "out/Video/EgoExo4D_root/take_1.mp4").is_file()
    back = tmp_path / "out/Annotation/egoexo4d/episodic_annotations/EgoExo4D_take_1_ep_000000.npy"
    assert np.array_equal(np.load(back, allow_pickle=True).item()["intrinsics"], content["intrinsics"])
    again, _ = import_vitra_1m(tmp_path / "out", tmp_path / "out", tmp_path / "again")
    assert again[0].equals(imported[0])
    # Control: the whole image of a wide camera in place of the square is another crop.
    make_video(videos / "take_1.mp4", 60, width=256, height=192)
    with pytest.raises(BadInput, match="the video is 256 x 192, but its labels are for an image 805 x 805"):
        import_vitra_1m(tmp_path / "in", None, tmp_path / "third")


def test_computed_statistics_are_those_of_the_data(store):
    from vitra_lib.episodes import state, step_actions
    from vitra_lib.episodes.vitra_1m_statistics import official_statistics

    found = json.loads(official_statistics("x", store.moments()))
    for kind, function, size in (("state", state, 61), ("action", step_actions, 51)):
        pairs = [function(episode) for episode in store]
        values = np.concatenate([v for v, _ in pairs])
        mask = np.concatenate([m for _, m in pairs])
        for hand, side in enumerate(("left", "right")):
            part = values[mask[:, hand]][:, hand * size : (hand + 1) * size].astype(np.float32).astype(float)
            assert np.allclose(found[f"{kind}_{side}"]["mean"], part.mean(0), atol=1e-6)
            assert np.allclose(found[f"{kind}_{side}"]["std"], part.std(0), atol=1e-6)
    # Control: statistics of all rows, invalid ones counted as zeros, are others.
    assert not np.allclose(
        found["state_left"]["mean"], np.concatenate([state(e)[0] for e in store])[:, :61].mean(0), atol=1e-6
    )

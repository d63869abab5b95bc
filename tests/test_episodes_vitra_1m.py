"""The official layout both ways: exact labels, readable by plain NumPy, folder layouts, and nothing is ever run."""

import os
import pickle
import pickletools
import shutil
import subprocess
import sys

import numpy as np
import pytest
from episodes_makers import make_captions, make_reconstruction, make_video

from vitra_lib.core.errors import BadInput, UnknownName, UnsafePickle
from vitra_lib.episodes import (
    EpisodeStore,
    ExportConfig,
    FootageConfig,
    ImportConfig,
    build_episodes,
    export_vitra_1m,
    find_annotations,
    from_official,
    import_vitra_1m,
    official_bytes,
    read_official,
    to_official,
)
from vitra_lib.video import VideoReader, probe

FOLDER = "vitra_ego4d_episode"
EXAMPLE = "Ego4D_03cc49c3-a7d1-445b-9a2a-545c4fae6843_ep_example.npy"
USED = ("extrinsics", "intrinsics", "video_decode_frame")
USED_OF_HAND = ("beta", "global_orient_worldspace", "hand_pose", "transl_worldspace", "kept_frames")
USED_OF_HAND += ("joints_worldspace",)
LENGTHS = {"clip": 60, "other": 70}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, frames in LENGTHS.items():
        make_video(folder / f"{name}.mp4", frames)
    return folder


def build(name="clip", seed=0, prefix="Own"):
    return build_episodes(make_reconstruction(LENGTHS[name], seed, f"{name}.mp4"), make_captions(), None, prefix)[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory, videos):
    with EpisodeStore.create(tmp_path_factory.mktemp("store") / "set") as writer:
        for seed, name in enumerate(LENGTHS):
            writer.add_video(name, [videos / f"{name}.mp4"], "Own")
            for episode in build(name, seed):
                writer.append(episode)
        return writer.finalize()


def same_used_values(a: dict, b: dict) -> None:
    assert a.keys() == b.keys() and a["left"].keys() == b["left"].keys()
    for key in ("video_name", "anno_type", "text", "text_rephrase"):
        assert a.get(key) == b.get(key)
    for key in USED:
        assert a[key].dtype == b[key].dtype and a[key].tobytes() == b[key].tobytes(), key
    for side in ("left", "right"):
        for key in USED_OF_HAND:
            assert a[side][key].dtype == b[side][key].dtype and a[side][key].tobytes() == b[side][key].tobytes(), key


def test_the_official_example_comes_back(shared_data, tmp_path):
    folder = shared_data / FOLDER
    official = np.load(folder / EXAMPLE, allow_pickle=True).item()
    store, rejections = import_vitra_1m(folder, folder, tmp_path / "set")
    assert len(store) == 1 and not rejections
    export_vitra_1m(store, tmp_path / "out")
    written = tmp_path / "out/ego4d_cooking_and_cleaning"
    again = np.load(written / "episodic_annotations" / EXAMPLE, allow_pickle=True).item()
    same_used_values(official, again)
    # What the loader doesn't read is derived anew, in the same types and to the rounding of the original.
    for key in ("avg_speed", "total_rotvec_degree", "total_transl_dist"):
        assert again[key] == official[key] and type(again[key]) is np.float64
    assert np.array_equal(again["video_clip_id_segment"], official["video_clip_id_segment"])
    for side in ("left", "right"):
        for key, value in official[side].items():
            if value is None:
                assert again[side][key] is None
            else:
                assert np.asarray(again[side][key]).dtype == np.asarray(value).dtype, key
                assert np.abs(again[side][key] - value).max() < 2e-7, (side, key)
    index = np.load(written / "episode_frame_index.npz")
    assert index["index_frame_pair"].tolist() == [[0, frame] for frame in range(25)]
    assert index["index_to_episode_id"].tolist() == [EXAMPLE.removesuffix(".npy")]
    video = next((written / "videos").iterdir())
    assert video.name == "03cc49c3-a7d1-445b-9a2a-545c4fae6843.mp4" and probe(video).frame_count == 25


def test_derived_figures_of_the_example(shared_data):
    """What the official figures mean: without the stored ones, two of three are reproduced exactly."""
    import dataclasses

    official = np.load(shared_data / FOLDER / EXAMPLE, allow_pickle=True).item()
    episode = dataclasses.replace(read_official(shared_data / FOLDER / EXAMPLE, 30.0), quality={})
    ours = to_official(episode)
    assert ours["total_rotvec_degree"] == pytest.approx(official["total_rotvec_degree"], rel=1e-6)
    assert ours["total_transl_dist"] == pytest.approx(official["total_transl_dist"], rel=1e-6)
    assert ours["avg_speed"] == pytest.approx(official["avg_speed"], rel=0.1)
    # Joints agree with the wrist and with the camera, so the conventions are understood.
    assert np.abs(episode.right.joints_world[:, 0] - episode.right.t_world_wrist).max() < 1e-7
    assert np.abs(episode.joints_cam("right") - official["right"]["joints_camspace"]).max() < 1e-6


def test_official_dict_and_episode_are_inverse():
    for episode in build():
        content = to_official(episode)
        again = to_official(from_official(content, episode.name, episode.fps))
        same_used_values(content, again)
        assert all(np.isfinite(content[side]["joints_worldspace"]).all() for side in ("left", "right"))
        assert content["left"]["kept_frames"].dtype == np.int64
        assert ("text_rephrase" in content) == any(c.rephrasings for c in episode.right.captions)


def test_bytes_are_the_same_and_any_numpy_reads_them(tmp_path, store):
    for written, read in zip(build(), store, strict=False):
        assert official_bytes(written) == official_bytes(read) == official_bytes(written)
    content = official_bytes(store[0])
    start = content.index(b"\n") + 1
    wanted = {argument for op, argument, _ in pickletools.genops(content[start:]) if op.name == "GLOBAL"}
    assert wanted == {
        "numpy.core.multiarray _reconstruct",
        "numpy.core.multiarray scalar",
        "numpy ndarray",
        "numpy dtype",
    }
    (tmp_path / "a.npy").write_bytes(content)
    code = f"import numpy; d = numpy.load({str(tmp_path / 'a.npy')!r}, allow_pickle=True).item(); print(d['text'])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    assert "Pick up the cup." in done.stdout, done.stderr
    # Control: a plain dump by NumPy 2 names a module that NumPy 1 doesn't have.
    if int(np.__version__.split(".")[0]) >= 2:
        assert b"numpy._core" in pickle.dumps(np.zeros(3), protocol=3)


def test_a_sentence_may_name_the_module():
    """Only instructions are renamed, never text."""
    import dataclasses

    episode = build()[0]
    captions = (dataclasses.replace(episode.right.captions[0], text="Say cnumpy._core.multiarray\n_reconstruct\n."),)
    episode = dataclasses.replace(episode, right=dataclasses.replace(episode.right, captions=captions))
    assert b"Say cnumpy._core.multiarray\n_reconstruct\n." in official_bytes(episode)


@pytest.mark.parametrize("layout", ["flat", "training"])
def test_export_and_import_give_the_labels_back(tmp_path, store, layout):
    counts = export_vitra_1m(store, tmp_path / "out", ExportConfig(layout=layout, prefix="epic"))
    assert counts == {"episodes": 8, "frames": store.total_frames, "videos": 2}
    folder = tmp_path / "out" / ("epic" if layout == "flat" else "Annotation/epic")
    shown = tmp_path / "out" / ("epic/videos" if layout == "flat" else "Video/Epic-Kitchen_root")
    assert sorted(path.name for path in shown.iterdir()) == ["clip.MP4", "other.MP4"]
    index = np.load(folder / "episode_frame_index.npz")
    pairs, names = index["index_frame_pair"], index["index_to_episode_id"]
    assert pairs.dtype == np.int64 and pairs.shape == (store.total_frames, 2) and len(names) == 8
    for number, name in enumerate(names):
        assert pairs[pairs[:, 0] == number, 1].tolist() == list(range(len(store[number])))
        assert (folder / "episodic_annotations" / f"{name}.npy").is_file()
    videos = None if layout == "flat" else tmp_path / "out"
    again, rejections = import_vitra_1m(tmp_path / "out", videos, tmp_path / "again")
    assert not rejections and again.names == list(names)
    for ours, theirs in zip(store, again, strict=True):
        a, b = to_official(ours), to_official(theirs)
        same_used_values(a, b)
        assert theirs.dataset_prefix == "epic" and np.allclose(theirs.time_s, ours.time_s)


def test_layouts_are_found(tmp_path, store):
    export_vitra_1m(store, tmp_path / "out")
    plain = tmp_path / "out/Own"
    (tmp_path / "down/Metadata").mkdir(parents=True)
    shutil.copytree(plain, tmp_path / "down/Metadata/ssv2")
    one = plain / "episodic_annotations" / "Own_clip_ep_000000.npy"
    for root in (tmp_path / "out", plain, plain / "episodic_annotations", tmp_path / "down"):
        assert sum(len(found.files) for found in find_annotations(root)) == 8
    assert find_annotations(one)[0].files == (one,)
    with pytest.raises(BadInput, match="No official episodes"):
        find_annotations(tmp_path / "nowhere")


def test_divided_videos(tmp_path, store, videos):
    """Part k holds frames [(k-1) n, k n): one stored video, numbered as before."""
    export_vitra_1m(store, tmp_path / "out", ExportConfig(prefix="somethingsomethingv2"))
    root = tmp_path / "out/ssv2"
    assert sorted(path.name for path in (root / "videos").iterdir()) == ["clip.webm", "other.webm"]
    parts = tmp_path / "parts"
    parts.mkdir()
    from vitra_lib.video import VideoWriter

    for name in LENGTHS:
        with VideoReader(videos / f"{name}.mp4") as reader:
            for k in range(3):
                with VideoWriter(parts / f"{name}_part{k + 1}.mp4", 30.0, 96, 64) as writer:
                    for frame in reader.frames(25 * k, min(25 * (k + 1), len(reader))):
                        writer.write(frame.image)
    again, _ = import_vitra_1m(root, parts, tmp_path / "again", ImportConfig(clip_len=25))
    for index in range(8):
        assert again[index].source_frame.tolist() == store[index].source_frame.tolist()
        for a, b in zip(again.images(index, [0, 19]), store.images(index, [0, 19]), strict=True):
            assert abs(float(a.mean()) - float(b.mean())) < 3
    (parts / "other_part2.mp4").unlink()
    with pytest.raises(BadInput, match="looked for other_part1.mp4, other_part2.mp4, other_part3.mp4"):
        import_vitra_1m(root, parts, tmp_path / "third", ImportConfig(clip_len=25))


def test_joined_pieces_are_the_video(tmp_path, videos):
    config = FootageConfig(max_piece_s=50 / 30, overlap_s=39.9 / 30, gop=5)
    with EpisodeStore.create(tmp_path / "set", config) as writer:
        writer.add_video("clip", [videos / "clip.mp4"], "Own")
        for episode in build():
            writer.append(episode)
        store = writer.finalize()
    assert len(store.videos) == 2
    export_vitra_1m(store, tmp_path / "out")
    exported = tmp_path / "out/Own/videos/clip.mp4"
    with VideoReader(exported) as ours, VideoReader(videos / "clip.mp4") as theirs:
        assert len(ours) == 60 and ours.info.fps == 30.0 and not ours.info.is_variable_rate
        for a, b in zip(ours.frames(), theirs.frames(), strict=True):
            assert abs(float(a.image.mean()) - float(b.image.mean())) < 2


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("skip", [False, True])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, store, skip):
    export_vitra_1m(store, tmp_path / "out")
    folder = tmp_path / "out/Own/episodic_annotations"
    mark = tmp_path / "ran"
    content = to_official(store[0]) | {"avg_speed": Evil(str(mark))}
    whole = np.empty((), dtype=object)
    whole[()] = content
    np.save(folder / "Own_clip_ep_000000.npy", whole, allow_pickle=True)
    # Control: plain NumPy does run it.
    np.load(folder / "Own_clip_ep_000000.npy", allow_pickle=True)
    assert mark.is_dir()
    mark.rmdir()
    if skip:
        again, rejections = import_vitra_1m(tmp_path / "out", None, tmp_path / "set", ImportConfig(skip_bad=True))
        assert [rejection.reason for rejection in rejections] == ["unsafe_pickle"] and len(again) == 7
    else:
        with pytest.raises(UnsafePickle):
            import_vitra_1m(tmp_path / "out", None, tmp_path / "set")
        assert not (tmp_path / "set").exists()
    assert not mark.exists()


def test_a_malicious_index_is_refused(tmp_path, store):
    export_vitra_1m(store, tmp_path / "out")
    mark = tmp_path / "ran"
    names = np.array([Evil(str(mark))], dtype=object)
    np.savez(tmp_path / "out/Own/episode_frame_index.npz", index_frame_pair=np.zeros((1, 2)), index_to_episode_id=names)
    with pytest.raises(UnsafePickle):
        import_vitra_1m(tmp_path / "out", None, tmp_path / "set")
    assert not mark.exists()


def test_what_is_wrong_is_said(tmp_path, store, videos):
    export_vitra_1m(store, tmp_path / "out")
    root = tmp_path / "out/Own"
    with pytest.raises(BadInput, match="exists already"):
        export_vitra_1m(store, tmp_path / "out")
    with pytest.raises(UnknownName, match="legal are flat, training"):
        ExportConfig(layout="round")
    with pytest.raises(BadInput, match="no folder of videos"):
        import_vitra_1m(root, tmp_path / "none", tmp_path / "set")
    (tmp_path / "empty").mkdir()
    shutil.rmtree(root / "videos")
    with pytest.raises(BadInput, match=r"'clip' is missing: looked for clip.mp4 in .*empty"):
        import_vitra_1m(root, tmp_path / "empty", tmp_path / "set")
    skipping = ImportConfig(skip_bad=True)
    with pytest.raises(BadInput, match="No episode of .* could be imported; the first reason"):
        import_vitra_1m(root, tmp_path / "empty", tmp_path / "set", skipping)
    (root / "episodic_annotations/Own_clip_ep_000001.npy").unlink()
    with pytest.raises(BadInput, match="names 1 episodes that are not there, Own_clip_ep_000001.npy first"):
        import_vitra_1m(root, videos, tmp_path / "set")
    one = root / "episodic_annotations/Own_clip_ep_000002.npy"
    one.write_bytes(one.read_bytes()[:2000])
    again, rejections = import_vitra_1m(root, videos, tmp_path / "set", skipping)
    assert sorted(r.reason for r in rejections) == ["annotation_missing", "damaged_annotation"] and len(again) == 6


def test_wrong_entries_are_named(store):
    content = to_official(store[0])
    with pytest.raises(BadInput, match="intrinsics has shape"):
        from_official(content | {"intrinsics": np.eye(4)}, "Own_clip_ep_000000", 30.0)
    with pytest.raises(BadInput, match="legal are left, right"):
        from_official(content | {"anno_type": "both"}, "Own_clip_ep_000000", 30.0)
    with pytest.raises(BadInput, match="not a dict"):
        from_official([1, 2], "Own_clip_ep_000000", 30.0)


def test_a_label_that_its_video_can_not_hold_is_refused(tmp_path, store):
    export_vitra_1m(store, tmp_path / "out")
    make_video(tmp_path / "out/Own/videos/clip.mp4", 30)
    with pytest.raises(BadInput, match="needs frames 5 to 39, but its video has 30"):
        import_vitra_1m(tmp_path / "out", None, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_the_cropped_set_knows_its_window(store):
    content = to_official(store[0])
    content["intrinsics"] = np.array([[412.5, 0, 704.0], [0, 412.5, 704.0], [0, 0, 1]])
    episode = from_official(content, "EgoExo4D_take_ep_000000", 30.0)
    assert np.rad2deg(episode.fov_rad) == pytest.approx([88.56, 88.56], abs=0.02)
    assert np.allclose(episode.K_for(256, 256)[:2, 2], 128)
    whole = from_official(content, "Ego4D_take_ep_000000", 30.0)
    assert np.rad2deg(whole.fov_rad) == pytest.approx([119.3, 119.3], abs=0.05)


def test_the_commands(tmp_path, store, capsys):
    import argparse

    from vitra_lib.cli import export, import_

    def run(verb, *words):
        parser = argparse.ArgumentParser()
        verb.add_arguments(parser)
        return verb.run(parser.parse_args(["vitra-1m", *map(str, words)]))

    assert run(export, store.root, "--out", tmp_path / "out", "--prefix", "Ego4D", "--name", "ego4d_other") == 0
    assert (tmp_path / "out/ego4d_other/episode_frame_index.npz").is_file()
    assert run(import_, "--annotations", tmp_path / "out", "--out", tmp_path / "set") == 0
    assert "8 episodes" in capsys.readouterr().out and len(EpisodeStore.open(tmp_path / "set")) == 8

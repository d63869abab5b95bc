"""Raw downloads of the four sources: found, named, rated and straightened as their owners lay them out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from episodes_makers import make_video

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.episodes.naming import RULES
from vitra_lib.pipeline import BuildConfig
from vitra_lib.pipeline.raw_sources import SOURCES, find_source
from vitra_lib.pipeline.straighten import make_ready

UID = "03cc49c3-a7d1-445b-9a2a-545c4fae6843"
OTHER = "0a1b2c3d-0000-4444-8888-aaaaaaaaaaaa"


def put(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def lens_file(path: Path, xi: float) -> Path:
    """A lens in Ego4D's own form: Mei's model of the video and the pinhole that it shall become."""
    K = np.array([[80.0 if xi <= 0 else 120.0, 0, 47.5], [0, 80.0 if xi <= 0 else 120.0, 31.5], [0, 0, 1]])
    content = {"intrinsics_ori": {"K": K, "D": np.zeros(4), "xi": xi}, "intrinsics_new": {"K": K}}
    whole = np.empty((), dtype=object)
    whole[()] = content
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, whole, allow_pickle=True)
    return path


def test_every_source_has_an_official_prefix():
    assert {layout.prefix for layout in SOURCES.values()} == set(RULES)


@pytest.mark.parametrize("inside", ["v2/full_scale", "full_scale", "."])
def test_ego4d(tmp_path, inside):
    root = tmp_path / "ego4d_data"
    for uid in (OTHER, UID):
        put(root / inside / f"{uid}.mp4")
    put(root / inside / "notes.mp4")
    put(root / "v2/video_540ss" / f"{UID}.mp4")  # the full resolution counts
    put(root / "v2/full_scale/manifest.csv")
    videos = [{"video_uid": UID, "video_metadata": {"fps": 30}}, {"video_uid": OTHER, "video_metadata": {"fps": None}}]
    put(root / "v2/ego4d.json", json.dumps({"version": "2", "videos": videos}).encode())
    put(root / "intrinsics/ego4d" / f"{UID}.npy")
    found = find_source("ego4d", root)
    assert [video.name for video in found] == [UID, OTHER] and {video.prefix for video in found} == {"Ego4D"}
    assert found[0].file == root / inside / f"{UID}.mp4"
    assert (found[0].stated_fps, found[1].stated_fps) == (30.0, None)
    assert found[0].intrinsics == root / "intrinsics/ego4d" / f"{UID}.npy" and found[1].intrinsics is None


@pytest.mark.parametrize(
    "pattern", ["EPIC-KITCHENS/{p}/videos/{v}.MP4", "{p}/videos/{v}.MP4", "videos/train/{p}/{v}.MP4", "{v}.MP4"]
)
def test_epic_kitchens(tmp_path, pattern):
    for name in ("P01_01", "P22_107", "P01_102"):
        put(tmp_path / pattern.format(p=name[:3], v=name))
    put(tmp_path / "P01/meta_data/P01_01-gyro.csv")
    table = b"video_id,duration,fps,resolution\nP01_01,1652.15,59.94005994,1920x1080\nP01_102,200.0,50,1920x1080\n"
    put(tmp_path / "epic-kitchens-100-annotations/EPIC_100_video_info.csv", table)
    found = find_source("epic", tmp_path)
    assert [video.name for video in found] == ["P01_01", "P01_102", "P22_107"]
    assert [video.stated_fps for video in found] == [pytest.approx(59.94, abs=0.01), 50.0, None]
    assert {video.prefix for video in found} == {"epic"} and not any(video.intrinsics for video in found)


def test_egoexo4d(tmp_path):
    takes = tmp_path / "takes"
    put(takes / "cmu_bike01_1/frame_aligned_videos/aria01_214-1.mp4")
    put(takes / "cmu_bike01_1/frame_aligned_videos/aria01_1201-1.mp4")  # a grey side camera
    put(takes / "cmu_bike01_1/frame_aligned_videos/cam01.mp4")
    put(takes / "uni_cook_2/frame_aligned_videos/downscaled/448/aria03_214-1.mp4")
    put(takes / "nothing_3/trajectory/closed_loop_trajectory.csv")
    put(tmp_path / "intrinsics/cmu_bike01_1.json")
    found = find_source("egoexo4d", tmp_path)
    assert [(video.name, video.file.name) for video in found] == [
        ("cmu_bike01_1", "aria01_214-1.mp4"),
        ("uni_cook_2", "aria03_214-1.mp4"),
    ]
    assert found[0].intrinsics.name == "cmu_bike01_1.json" and found[0].stated_fps == 30.0
    put(takes / "uni_cook_2/frame_aligned_videos/downscaled/448/aria04_214-1.mp4")
    with pytest.raises(BadInput, match="several first-person videos .*aria03_214-1.mp4, aria04_214-1.mp4"):
        find_source("egoexo4d", tmp_path)
    put(tmp_path / "egoexo4d_aria_name.json", b'{"uni_cook_2": "aria04"}')
    assert find_source("egoexo4d", takes.parent)[1].file.name == "aria04_214-1.mp4"


def test_something_something(tmp_path):
    for number in (10, 9, 220847):
        put(tmp_path / "20bn-something-something-v2" / f"{number}.webm")
    put(tmp_path / "labels/train.json")
    found = find_source("ssv2", tmp_path)
    assert [video.name for video in found] == ["9", "10", "220847"] and found[0].stated_fps == 12.0
    assert found[0].prefix == "somethingsomethingv2"
    assert find_source("ssv2", tmp_path / "20bn-something-something-v2")[0].name == "9"


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(UnknownName, match="legal are ego4d, epic, egoexo4d, ssv2"):
        find_source("youtube", tmp_path)
    for source in SOURCES:
        with pytest.raises(BadInput, match=f"No video of {source} in .*: expected "):
            find_source(source, tmp_path)
    with pytest.raises(BadInput, match="There is no folder"):
        find_source("epic", tmp_path / "none")
    put(tmp_path / "P01_01.MP4")
    put(tmp_path / "EPIC_100_video_info.csv", b"a,b\n1,2\n")
    with pytest.raises(BadInput, match="lacks video_id or fps"):
        find_source("epic", tmp_path)
    put(tmp_path / f"{UID}.mp4")
    put(tmp_path / "ego4d.json", b"[]")
    with pytest.raises(BadInput, match="can't be read as metadata"):
        find_source("ego4d", tmp_path)
    with pytest.raises(BadInput, match="no folder of lens files"):
        (tmp_path / "ego4d.json").unlink()
        find_source("ego4d", tmp_path, tmp_path / "lenses")


def test_a_source_without_lenses_is_taken_as_it_is(tmp_path, caplog):
    folder = tmp_path / "root/20bn-something-something-v2"
    folder.mkdir(parents=True)
    os.replace(make_video(tmp_path / "9.mp4", 12, 12.0), folder / "9.webm")
    os.replace(make_video(tmp_path / "10.mp4", 12, 30.0), folder / "10.webm")
    put(folder / "11.webm", b"no video")
    ready = make_ready(find_source("ssv2", tmp_path / "root"), tmp_path / "out.work")
    assert [path.name for path in ready.videos] == ["9.webm", "10.webm"]
    assert ready.config.dataset_prefix == "somethingsomethingv2" and ready.config.reconstruct.intrinsics_file is None
    assert [(one.item, one.reason) for one in ready.rejections] == [("11", "bad_video")]
    assert "30.00 frames/s, its metadata say 12.00" in caplog.text and not (tmp_path / "out.work").exists()


def test_takes_get_their_names(tmp_path):
    for take in ("a_1", "b_2"):
        folder = tmp_path / f"root/takes/{take}/frame_aligned_videos"
        folder.mkdir(parents=True)
        make_video(folder / "aria01_214-1.mp4", 5)
    ready = make_ready(find_source("egoexo4d", tmp_path / "root"), tmp_path / "out.work")
    assert [path.stem for path in ready.videos] == ["a_1", "b_2"]
    assert all(path.is_symlink() and path.exists() for path in ready.videos)


def test_lenses_are_found_and_their_videos_straightened(tmp_path):
    root = tmp_path / "root"
    (root / "v2/full_scale").mkdir(parents=True)
    names = [UID, OTHER, "ffffffff-0000-4444-8888-aaaaaaaaaaaa"]
    for name in names:
        make_video(root / "v2/full_scale" / f"{name}.mp4", 6)
    lens_file(root / f"intrinsics/{UID}.npy", xi=1.0)
    lens_file(root / f"intrinsics/{OTHER}.npy", xi=0.0)
    work = tmp_path / "out.work"
    ready = make_ready(find_source("ego4d", root), work, BuildConfig())
    assert [path.name for path in ready.videos] == [f"{UID}.mp4", f"{OTHER}.mp4"]
    assert ready.videos[1].is_symlink() and not ready.videos[0].is_symlink()
    assert [(one.item, one.reason) for one in ready.rejections] == [(names[2], "intrinsics_missing")]
    for path in ready.videos:
        asked = ready.config.reconstruct.for_video(path)
        card = json.loads(asked.intrinsics_file.read_text())
        assert asked.intrinsics == "file" and (card["width"], card["height"]) == (96, 64) and card["fx"] > 0
    # What is finished is not made again.
    before = ready.videos[0].stat().st_mtime_ns
    again = make_ready(find_source("ego4d", root), work)
    assert again.videos == ready.videos and ready.videos[0].stat().st_mtime_ns == before


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    from vitra_lib.cli import main

    assert main.main(["build", "--source", "epic", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "No video of epic" in capsys.readouterr().err
    assert main.main(["build", "--source", "epic", "a", "b", "--out", str(tmp_path / "out")]) == 2
    assert "takes one folder" in capsys.readouterr().err

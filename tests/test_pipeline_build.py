"""`vitra build`: the same bytes however often it is interrupted, finished stages kept, nothing left of what failed."""

import errno
import fcntl
import hashlib
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_clips import short_truth, short_video

from vitra_lib.core.errors import BadInput, BadVideo, RefusedClip, UnknownName, WriteFailed
from vitra_lib.episodes import EpisodeStore
from vitra_lib.pipeline import BuildConfig, build, reconstruction_of, video_stages
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.segmentation import SegmentationConfig


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file in a folder, by relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_video(tmp_path_factory.mktemp("short") / "short.mp4")


@pytest.fixture
def videos(short: Path, tmp_path: Path) -> list[Path]:
    """Two videos of the same 2.5 s under two names, in a folder of their own."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return [Path(shutil.copy(short, folder / name)) for name in ("first.mp4", "second.mp4")]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The truth takes the place of the slow reconstruction; the list says how often it was asked for."""
    names: list[str] = []

    def known(video: Path, config: ReconstructConfig, progress: bool = False):
        names.append(video.name)
        if "bare" in video.name:
            raise RefusedClip(f"No hand was seen in {video.name}.")
        return short_truth(video)

    monkeypatch.setattr(video_stages, "reconstruct", known)
    return names


def test_a_build_gives_a_store_and_a_report(videos: list[Path], seen: list[str], tmp_path: Path) -> None:
    result = build(videos, tmp_path / "out" / "ds")
    store = EpisodeStore.open(result.dataset)
    count = sum(len(video.episodes) for video in result.videos)
    assert len(store) == count > 0 and store[0].name == "Custom_first_ep_000000"
    totals = json.loads(result.report_json.read_text())["totals"]
    assert totals["episodes"] == count and totals["videos"] == 2 and totals["weak_captions"] == totals["captions"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ds", "ds.work"]
    assert seen == ["first.mp4", "second.mp4"]


def test_building_again_changes_nothing_and_computes_nothing(videos: list, seen: list, tmp_path: Path) -> None:
    build(videos, tmp_path / "ds")
    before, times = tree(tmp_path / "ds"), {p: p.stat().st_mtime_ns for p in (tmp_path / "ds").rglob("*")}
    again = build(videos, tmp_path / "ds")
    assert tree(tmp_path / "ds") == before and {p: p.stat().st_mtime_ns for p in times} == times
    assert len(seen) == 2 and again.videos[1].episodes[0].video_name == "second"


def interrupt(monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException, call: int) -> Callable[[], None]:
    """Make the `call`-th call of a function of the pipeline fail; returns what undoes it."""
    build_module = importlib.import_module("vitra_lib.pipeline.build")  # the package has a function of that name
    module = build_module if hasattr(build_module, where) else video_stages
    real, calls = getattr(module, where), [0]

    def fails(*args, **kwargs):
        calls[0] += 1
        if calls[0] == call:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(module, where, fails)
    return lambda: monkeypatch.setattr(module, where, real)


@pytest.mark.parametrize(
    ("where", "call", "finished", "error"),
    [
        ("caption", 2, 2, KeyboardInterrupt()),
        ("footage_of", 2, 2, OSError(errno.ENOSPC, "No space left on device")),
        ("write_text", 1, 2, KeyboardInterrupt()),
    ],
)
def test_an_interrupted_build_goes_on_and_gives_the_same_bytes(
    videos: list, seen: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where, call, finished, error
) -> None:  # fmt: skip
    undo = interrupt(monkeypatch, where, error, call)
    with pytest.raises((KeyboardInterrupt, WriteFailed)):
        build(videos, tmp_path / "ds")
    undo()
    assert not (tmp_path / "ds").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds.work", "videos"]
    assert not [path for path in (tmp_path / "ds.work").rglob("*") if "part" in path.name or path.name == "dataset"]
    stages = {p: p.stat().st_mtime_ns for p in (tmp_path / "ds.work").rglob("reconstruction-*.npz")}
    assert len(stages) == finished == len(seen)
    build(videos, tmp_path / "ds")
    assert len(seen) == 2 and {p: p.stat().st_mtime_ns for p in stages} == stages
    build(videos, tmp_path / "other")  # the control: uninterrupted
    assert tree(tmp_path / "ds") == tree(tmp_path / "other")


def test_what_a_kill_leaves_is_swept(videos: list, seen: list, tmp_path: Path) -> None:
    build(videos, tmp_path / "whole")
    for name in (".dataset.partial", "dataset"):
        folder = tmp_path / "ds.work" / name
        folder.mkdir(parents=True)
        (folder / "half.parquet").write_bytes(b"half")
    build(videos, tmp_path / "ds")
    assert tree(tmp_path / "ds") == tree(tmp_path / "whole")
    assert not (tmp_path / "ds.work" / ".dataset.partial").exists()


def test_a_damaged_stage_is_made_again(videos: list, seen: list, tmp_path: Path) -> None:
    result = build(videos[:1], tmp_path / "ds")
    before = tree(result.dataset)
    (stage,) = (tmp_path / "ds.work").rglob("reconstruction-*.npz")
    stage.write_bytes(b"")
    shutil.rmtree(result.dataset)
    video_stages._last_stages.cache_clear()
    assert tree(build(videos[:1], tmp_path / "ds").dataset) == before and len(seen) == 2


def test_a_change_of_settings_redoes_only_what_depends_on_it(videos: list, seen: list, tmp_path: Path) -> None:
    work = tmp_path / "ds.work"
    build(videos[:1], tmp_path / "ds")
    shutil.rmtree(tmp_path / "ds")
    build(videos[:1], tmp_path / "ds", BuildConfig(segmentation=SegmentationConfig(rule="fixed-interval")))
    assert len(seen) == 1 and len(list(work.rglob("captions-*.json"))) == 2
    shutil.rmtree(tmp_path / "ds")
    build(videos[:1], tmp_path / "ds", BuildConfig(reconstruct=ReconstructConfig(clip_s=10.0)))
    assert len(seen) == 2


def test_one_refused_video_among_several_is_counted(videos: list, seen: list, tmp_path: Path) -> None:
    bare = tmp_path / "videos" / "bare.mp4"
    shutil.copy(videos[0], bare)
    broken = tmp_path / "videos" / "broken.mp4"
    broken.write_text("no video at all")
    result = build([videos[0], bare], tmp_path / "ds")
    assert [bool(video.refusal) for video in result.videos] == [False, True]
    totals = json.loads(result.report_json.read_text())["totals"]
    assert totals["refused_videos"] == 1 and "bare.mp4" in result.report_html.read_text()
    shutil.rmtree(result.dataset)
    build([videos[0], bare], tmp_path / "ds")
    assert seen == ["first.mp4", "bare.mp4"]  # the refusal is a finished stage too


def test_a_lone_refused_video_leaves_nothing(videos: list, seen: list, tmp_path: Path) -> None:
    bare = tmp_path / "videos" / "bare.mp4"
    shutil.copy(videos[0], bare)
    with pytest.raises(RefusedClip, match="No hand was seen in bare.mp4"):
        build([bare], tmp_path / "a" / "b" / "ds")
    with pytest.raises(RefusedClip, match="No hand was seen"):
        reconstruction_of(bare, tmp_path / "c.work")
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_a_full_disk_is_no_refusal(videos: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise WriteFailed("the disk is full")

    monkeypatch.setattr(video_stages, "reconstruct", full)
    with pytest.raises(WriteFailed, match="full"):
        build(videos, tmp_path / "ds")
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_what_is_wrong_is_said_before_the_work(videos: list, seen: list, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("keep")
    (tmp_path / "videos" / "deep").mkdir()
    twin = Path(shutil.copy(videos[0], tmp_path / "videos" / "deep" / "first.mp4"))
    cases = [
        (BadInput, "No video", lambda: build([], tmp_path / "ds")),
        (BadInput, "called 'first'", lambda: build([videos[0], twin], tmp_path / "ds")),
        (BadVideo, "missing.mp4", lambda: build([tmp_path / "missing.mp4"], tmp_path / "ds")),
        (BadVideo, "missing.mp4", lambda: build([videos[0], tmp_path / "missing.mp4"], tmp_path / "ds")),
        (BadInput, "not made by this build", lambda: build(videos, tmp_path / "other")),
        (BadInput, "not made by this build", lambda: build(videos, tmp_path / "file")),
        (WriteFailed, "a file, not a folder", lambda: build(videos, tmp_path / "file" / "ds")),
        (BadInput, "name a new folder", lambda: build(videos, Path("/"))),
        (UnknownName, "captioner", lambda: build(videos, tmp_path / "ds", BuildConfig(captioner="x"))),
        (BadInput, "prefix", lambda: BuildConfig(dataset_prefix="a_b")),
        (BadInput, "caption_short_side_px", lambda: BuildConfig(caption_short_side_px=1)),
    ]
    for kind, words, call in cases:
        with pytest.raises(kind, match=words):
            call()
    assert seen == [] and (tmp_path / "other" / "mine").read_text() == "keep"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other", "videos"]


def test_two_builds_do_not_write_one_dataset(videos: list, seen: list, tmp_path: Path) -> None:
    work = tmp_path / "ds.work"
    work.mkdir()
    with (work / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="Another `vitra build`"):
            build(videos, tmp_path / "ds")
    build(videos, tmp_path / "ds")  # the control

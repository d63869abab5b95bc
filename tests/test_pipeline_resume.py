"""`vitra build`, from outside: killed at any moment it goes on and gives the same bytes; bad input leaves nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.paths import sample_video
from vitra_lib.episodes import EpisodeStore
from vitra_lib.video import VideoReader, VideoWriter

FRAMES = 75  # 2.5 s: a few atomic actions


def vitra(*words: object, **keywords: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vitra_lib", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **keywords)


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the sample."""
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    with VideoReader(sample_video()) as reader:
        info = reader.info
        with VideoWriter(path, info.fps, info.width_px, info.height_px) as writer:
            for frame in reader.frames(0, FRAMES):
                writer.write(frame.image)
    return path


@pytest.fixture(scope="module")
def built(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset built without any interruption."""
    out = tmp_path_factory.mktemp("built") / "dataset"
    done = vitra("build", clip, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_report_counts_what_the_store_holds(built: Path) -> None:
    report = json.loads((built / "report.json").read_text())
    store = EpisodeStore.open(built)
    totals = report["totals"]
    assert totals["episodes"] == len(store) > 0
    assert totals["frames"] == FRAMES
    assert totals["segments"] >= totals["captions"] >= totals["episodes"]
    assert totals["weak_captions"] == totals["captions"]  # the offline captioner must never pass for a real one
    page = (built / "report.html").read_text()
    assert "weak" in page and "data:image/" in page and "http://" not in page


def test_episodes_say_where_they_are_from(built: Path, clip: Path) -> None:
    for episode in EpisodeStore.open(built):
        assert episode.video_name == clip.stem
        hand = episode.hand(episode.primary_hand)
        assert hand.captions[0].is_weak and hand.captions[0].source == "motion-only"
        assert (hand.captions[0].start, hand.captions[0].stop) == (0, len(episode))
        R = episode.R_cam_wrist(episode.primary_hand)[hand.is_valid]
        assert np.allclose(R @ np.swapaxes(R, 1, 2), np.eye(3), atol=1e-9)


def test_a_second_build_changes_nothing(built: Path, clip: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    assert vitra("build", clip, "--out", built).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_other_settings_do_not_overwrite_a_dataset(built: Path, clip: Path) -> None:
    before = digests(built)
    done = vitra("build", clip, "--out", built, "--rule", "fixed-interval")
    assert done.returncode == 2 and "was not made by this build" in done.stderr
    assert digests(built) == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_build_goes_on_to_the_same_bytes(built: Path, clip: Path, tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "dataset"
    # The same command, held for a minute between its first stage and the next: there the signal always finds it.
    held = tmp_path / "held"
    hold = f"v.segment = lambda *a, cut=v.segment: pathlib.Path({str(held)!r}).touch() or time.sleep(60) or cut(*a)"
    code = f"import pathlib, sys, time, vitra_lib.pipeline.video_stages as v; {hold}; import vitra_lib.cli.main as m;"
    words = [sys.executable, "-c", f"{code} sys.exit(m.main(sys.argv[1:]))", "build", str(clip), "--out", str(out)]
    # A shell's background jobs are deaf to Ctrl-C, and so would be this one if the tests run as such a job.
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=hears)
    work = tmp_path / "dataset.work"
    for _ in range(5000):  # until it waits between the stages
        if held.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(60) == (-9 if how == signal.SIGKILL else 130)
    assert not out.exists()
    stages = {path: path.stat().st_mtime_ns for path in work.glob("*/reconstruction*.npz")}
    assert len(stages) == 1
    done = vitra("build", clip, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in work.glob("*/reconstruction*.npz")} == stages  # not redone
    assert digests(out) == digests(built)


@pytest.fixture(scope="module")
def bad_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one video of each unusable kind."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video")
    (folder / "truncated.mp4").write_bytes(sample_video().read_bytes()[:100_000])
    rng = np.random.default_rng(0)
    pattern = rng.integers(0, 255, (240, 400, 3), dtype=np.uint8)
    for name, count in (("one_frame.mp4", 1), ("no_hands.mp4", 40)):
        with VideoWriter(folder / name, 30.0, 320, 240) as writer:
            for i in range(count):
                writer.write(np.ascontiguousarray(pattern[:, i : i + 320]))
    return folder


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("missing.mp4", "does not exist"),
        ("empty.mp4", "empty"),
        ("text.mp4", "not a video"),
        ("truncated.mp4", "truncated"),
        ("one_frame.mp4", "frame"),
        ("no_hands.mp4", "hand"),
    ],
)
@pytest.mark.parametrize("verb", ["build", "reconstruct"])
def test_bad_video_is_one_sentence_and_leaves_nothing(
    bad_videos: Path, tmp_path: Path, name: str, word: str, verb: str
) -> None:
    done = vitra(verb, bad_videos / name, "--out", tmp_path / "out")
    complaints = [line for line in done.stderr.splitlines() if line.startswith("vitra: ")]
    assert done.returncode == 2
    assert len(complaints) == 1 and word in complaints[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "legal"),
    [
        (("--hands", "foo"), "mediapipe"),
        (("--camera", "foo"), "klt, static"),
        (("--hand-model", "foo"), "standin, mano"),
        (("--captioner", "foo"), "motion-only"),
        (("--rule", "foo"), "speed-minima, fixed-interval"),
        (("--hfov-deg", "400"), "10 to 170"),
    ],
)
def test_unknown_names_list_the_legal_ones(clip: Path, tmp_path: Path, words: tuple[str, str], legal: str) -> None:
    done = vitra("build", clip, "--out", tmp_path / "out", *words)
    assert done.returncode == 2 and legal in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_output_under_a_file_is_refused_before_the_work(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = vitra("build", clip, "--out", tmp_path / "file" / "out")
    assert done.returncode == 2 and done.stderr.startswith("vitra: ")  # no progress bar was ever shown
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
def test_a_full_disk_leaves_no_dataset(clip: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: the write fails in the middle of a file."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "from vitra_lib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "build", str(clip), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 3) and "vitra: " in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.rglob("*") if ".part-" in path.name]

"""`vitra caption`, `vitra evaluate captions` and a build with a chat endpoint, from outside."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer
from pipeline_clips import short_truth, short_video

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import write_json
from vitra_lib.evaluation import captions_run
from vitra_lib.pipeline import BuildConfig, video_stages
from vitra_lib.pipeline.video_stages import run_stages
from vitra_lib.reconstruction.reconstruct import ReconstructConfig
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.generate import generate_clip

KEY = "sk-secret-key-of-the-commands-9876543210"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A short video whose reconstruction is its truth, which takes no time."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    video = short_video(tmp_path / "clip.mp4")
    monkeypatch.setattr(video_stages, "reconstruct", lambda path, config, progress=False: short_truth(Path(path)))
    return video


def command(*words: object) -> int:
    """Run `vitra` in this process."""
    return main([str(word) for word in words])


def texts(folder: Path) -> str:
    """All that was written below a folder, as text."""
    return "".join(p.read_bytes().decode("utf-8", "replace") for p in sorted(folder.rglob("*")) if p.is_file())


def test_caption_asks_resumes_estimates_and_batches(clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    out = tmp_path / "captions.json"
    with ChatServer(script="429,500,hangup") as server:
        ask = (
            "caption",
            clip,
            "--out",
            out,
            "--captioner",
            "openai:m",
            "--endpoint",
            server.url,
            "--rephraser",
            "openai:m",
        )
        assert command(*ask, "--dry-run", "--price-in", 2, "--price-out", 8) == 0
        said = capfd.readouterr().out
        assert "0 answered already" in said and "cost <= 0." in said and server.stats["requests"] == 0
        assert command(*ask, "--max-requests", 1) == 1  # the cap leaves segments unanswered: listed, and exit code 1
        assert "the same command asks only for them" in capfd.readouterr().out
        assert {r["reason"] for r in json.loads(out.read_text())["rejections"]} == {"unanswered"}
        assert command(*ask) == 0
        made = json.loads(out.read_text())
        assert made["captions"] and made["caption_source"] == "openai:m" and not made["rejections"]
        assert all(len(c["rephrasings"]) == 5 and c["rephrasings"][0] == c["text"] for c in made["captions"])
        before, first = server.stats["requests"], out.read_bytes()
        assert command(*ask) == 0 and server.stats["requests"] == before and out.read_bytes() == first
        assert command(*ask, "--dry-run") == 0 and "0 to ask" in capfd.readouterr().out
        assert command(*ask, "--export-batch", tmp_path / "b.jsonl") == 0
        assert "nothing to export" in capfd.readouterr().out
        other = ("caption", clip, "--out", tmp_path / "n.json", "--captioner", "openai:n", "--endpoint", server.url)
        assert command(*other, "--export-batch", tmp_path / "b.jsonl") == 0
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    assert len(lines) == len(made["captions"])
    body = {"choices": [{"message": {"content": '{"think": "", "action": "Lift the mug."}'}}]}
    results = [
        {"custom_id": json.loads(line)["custom_id"], "response": {"status_code": 200, "body": body}} for line in lines
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in results))
    assert command(*other, "--import-batch", tmp_path / "r.jsonl") == 0
    assert command(*other) == 0  # the server is gone: all answers come from the batch
    assert {c["text"] for c in json.loads((tmp_path / "n.json").read_text())["captions"]} == {"Lift the mug."}
    assert KEY not in texts(tmp_path) and KEY not in "".join(capfd.readouterr())


def test_caption_offline_is_labelled_weak(clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    out = tmp_path / "captions.json"
    assert command("caption", clip, "--out", out, "--rephraser", "verbs") == 0
    made = json.loads(out.read_text())
    assert made["is_weak"] and all(c["is_weak"] and c["source"] == "motion-only" for c in made["captions"])
    assert "weak" in capfd.readouterr().out
    for words, told in (
        (("--endpoint", "http://127.0.0.1:9/v1"), "openai:<model>"),
        (("--dry-run",), "asks no endpoint"),
        (("--price-in", 2), "--price-out"),
        (("--captioner", "openai:m", "--endpoint", "nonsense"), "base URL"),
        (("--captioner", "openai:m", "--blur-sent", "maybe"), "external"),
    ):
        assert command("caption", clip, "--out", out, *words) == 2
        assert told in capfd.readouterr().err


def test_a_price_can_be_asked_before_there_is_an_endpoint(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    ask = ("caption", clip, "--out", tmp_path / "c.json", "--captioner", "openai:m")
    assert command(*ask, "--dry-run", "--price-in", 2, "--price-out", 8) == 0
    assert "cost <= 0." in capfd.readouterr().out
    assert command(*ask) == 2 and "No caption endpoint" in capfd.readouterr().err  # the control


def test_a_build_stops_at_unanswered_segments_and_goes_on_from_there(clip: Path, tmp_path: Path) -> None:
    from vitra_lib.captioning import ChatConfig

    quick = {"max_tries": 2, "first_wait_s": 0.02, "max_wait_s": 0.05}
    with ChatServer(script="ok,500,500", default="ok") as server:
        chat = ChatConfig(base_url=server.url, concurrency=1, **quick)
        config = BuildConfig(reconstruct=ReconstructConfig(), captioner="openai:m", rephraser="verbs", chat=chat)
        with pytest.raises(BadInput, match="1 of .* got no caption.*HTTP 500.*--skip-unanswered"):
            run_stages(clip, tmp_path / "work", config)
        before = server.stats["requests"]
        done = run_stages(clip, tmp_path / "work", config)
        assert server.stats["requests"] == before + 1 and server.stats["answered_twice"] == 0
        assert done.captions and all(c.rephrasings[0] == c.text for c in done.captions)
        run_stages(clip, tmp_path / "work", config)
        assert server.stats["requests"] == before + 1
    with ChatServer(script="ok,500,500") as server:
        chat = ChatConfig(base_url=server.url, concurrency=1, **quick)
        config = BuildConfig(captioner="openai:k", chat=chat, skips_unanswered=True)
        skipped = run_stages(clip, tmp_path / "work", config)
        assert [r.reason for r in skipped.rejections if r.stage == "captioning"] == ["unanswered"]
        assert len(skipped.captions) == len(done.captions) - 1
    assert KEY not in texts(tmp_path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the clips that tests of this module share."""
    return tmp_path_factory.mktemp("world")


@pytest.fixture
def world(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clips of the world, planned for real, with pictures that take no time to draw: dark rooms."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def render(config: ClipConfig, out: Path, progress: bool = False) -> Path:
        from vitra_lib.tabletop.clip import with_video
        from vitra_lib.video import VideoWriter

        folder = out / f"{config.seed}"
        if not folder.exists():
            folder.mkdir(parents=True)
            planned = with_video(generate_clip(config), "video.mp4", "")
            with VideoWriter(folder / "video.mp4", config.fps, 160, 120) as writer:
                for i in range(len(planned)):
                    writer.write(np.full((120, 160, 3), 40 + i % 60, np.uint8))
            planned.save(folder)
        return folder

    monkeypatch.setattr(captions_run, "render_one", render)
    return drawn


def test_the_overlay_ablation_is_one_command_with_paired_intervals(world: Path, tmp_path: Path) -> None:
    """A server that can tell the true action only where the path is drawn: the ablation must show just that."""
    words = ("--clips", 2, "--clips-dir", world, "--records", tmp_path / "records", "--answers", tmp_path / "answers")
    told = tmp_path / "told.json"
    write_json(told, {"seen": "Push the brick.", "unseen": "Juggle spoons."} | _true_answers(world))
    with ChatServer(answers=told) as server:
        ask = ("evaluate", "captions", "--captioner", "openai:m", "--endpoint", server.url, *words)
        assert command(*ask, "--ablation", "overlay") == 0
        asked = server.stats["requests"]
        assert command(*ask, "--ablation", "overlay") == 0 and server.stats["requests"] == asked  # cached
    record = json.loads((tmp_path / "records" / "captions.openai-m.overlay.json").read_text())
    value = {v["name"]: v for v in record["values"]}
    # A palm that is out of the picture at the right moment hides its dot: then even this captioner is blind.
    assert value["verb and noun right, with path"]["value"] > 0.7
    assert value["verb and noun right, without path"]["value"] == 0.0
    difference = value["verb and noun right, difference"]
    assert difference["value"] == value["verb and noun right, with path"]["value"] and difference["ci95"][0] > 0.5
    assert record["parameters"]["captioner"] == "openai:m" and KEY not in texts(tmp_path)


def _true_answers(folder: Path) -> dict[str, str]:
    """What the server is to say of each set of pictures: the truth, by a digest of the pictures."""
    from vitra_lib.captioning.overlay import overlay_frames
    from vitra_lib.captioning.question import caption_question
    from vitra_lib.tabletop.rendering import clip_configs
    from vitra_lib.video import VideoReader

    told = {}
    for config in clip_configs(ClipConfig(seed=90_000, split="unseen-object"), 2, "any"):
        clip = TabletopClip.load(captions_run.render_one(config, folder))
        with VideoReader(
            folder / f"{config.seed}" / "video.mp4", max_short_side_px=captions_run.SHORT_SIDE_PX
        ) as reader:
            for true in clip.captions:
                frames = overlay_frames(clip.truth, true.segment, lambda i: [f.image for f in reader.at(i)])
                jpegs = caption_question("m", true.segment, frames).jpegs
                told[hashlib.sha256(b"".join(jpegs)).hexdigest()] = true.text or "N/A"
    return told


def test_evaluate_captions_offline_cuts_and_refusals(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    words = ("evaluate", "captions", "--clips", 1, "--clips-dir", tmp_path / "world", "--records", tmp_path / "records")
    assert command(*words) == 0
    record = json.loads((tmp_path / "records" / "captions.motion-only.json").read_text())
    value = {v["name"]: v["value"] for v in record["values"]}
    assert value["noun right"] == 0.0 < value["verb right"] < 0.6 and record["parameters"]["is_weak"]
    assert not (tmp_path / "world").exists()  # nothing is rendered for a captioner without eyes
    assert command(*words, "--ablation", "cuts") == 0
    record = json.loads((tmp_path / "records" / "captions.motion-only.cuts.json").read_text())
    assert {v["name"] for v in record["values"]} >= {
        "verb right, speed minima",
        "verb right, fixed 1 s",
        "verb right, difference",
    }
    capfd.readouterr()
    assert command(*words, "--ablation", "overlay") == 2 and "looks at no pictures" in capfd.readouterr().err
    assert command(*words, "--cuts", "nonsense") == 2 and "speed-minima" in capfd.readouterr().err
    assert command(*words, "--endpoint", "http://127.0.0.1:9/v1") == 2 and "openai:<model>" in capfd.readouterr().err


def test_evaluate_captions_writes_no_record_when_the_endpoint_fails(
    world: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    words = ("--clips", 1, "--clips-dir", world, "--records", tmp_path / "records", "--answers", tmp_path / "answers")
    with ChatServer() as server:
        ask = ("evaluate", "captions", "--captioner", "openai:m", "--endpoint", server.url, *words)
        assert command(*ask, "--max-requests", 2) == 1
        assert "unanswered" in capfd.readouterr().out and not (tmp_path / "records").exists()
        assert command(*ask) == 0 and (tmp_path / "records" / "captions.openai-m.json").exists()

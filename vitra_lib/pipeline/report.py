"""The quality report of a build: what went in, what came out, what was dropped and why, with pictures.

One self-contained page without scripts or links; the same build gives the same bytes.
"""

import base64
import html
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.captioning import overlay_frames
from vitra_lib.contracts import Caption, Reconstruction
from vitra_lib.core.files import write_json, write_text
from vitra_lib.pipeline.speed_figure import speed_figure
from vitra_lib.pipeline.video_stages import StageResults, VideoResult
from vitra_lib.reconstruction.outputs import summary
from vitra_lib.reconstruction.overlay_video import draw_hands
from vitra_lib.reconstruction.quality import THRESHOLDS
from vitra_lib.reconstruction.worst_moments import worst_moments
from vitra_lib.video import VideoReader
from vitra_lib.video.anonymise import anonymise_frames
from vitra_lib.video.overlay import draw_label

_PICTURED_VIDEOS = 40  # the page must stay small enough to open
_PICTURED_EPISODES = 6  # per video: enough to judge
_LISTED_REJECTIONS = 200
_HAND_FRAMES = 8
_WORST_MOMENTS = 8
_TILE_WIDTH_PX = 260

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}h3{margin:1.5rem 0 .3rem;font-size:1.05rem}
table{border-collapse:collapse;margin:.7rem 0}
td,th{padding:.15rem .8rem;border-bottom:1px solid #ddd;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.tables{display:flex;flex-wrap:wrap;gap:0 3rem;align-items:flex-start}
.weak{background:#fff3cd;padding:.5rem 1rem}.refused{background:#fde2e2;padding:.5rem 1rem}
figure{margin:.5rem 0 1.2rem}.strip{display:grid;grid-template-columns:repeat(4,1fr);gap:3px}.strip img{width:100%}
figcaption{color:#555;font-size:.9rem;margin-top:.2rem}summary{cursor:pointer;color:#555}
"""


def write_report(folder: Path, results: Sequence[VideoResult], captioner: str, short_side_px: int) -> None:
    """Write `report.json` and `report.html` into a folder.

    Args:
        folder: an existing folder.
        results: the videos of the build; each is read once, one after the other.
        captioner: the captioner's name.
        short_side_px: size at which frames are read for the pictures [px].

    Raises:
        WriteFailed: no permission, or the disk is full.
    """
    entries, sections = [], []
    for number, result in enumerate(results):
        stages = result.stages
        entries.append(report_entry(result.path.name, stages))
        # The page travels with the dataset: where faces are hidden in the videos, they are hidden here as well.
        hides = result.config.footage.anonymise
        sections.append(_section(result.path, stages, entries[-1], short_side_px, number < _PICTURED_VIDEOS, hides))
    totals = report_totals(entries)
    write_json(folder / "report.json", {"schema": 1, "captioner": captioner, "totals": totals, "videos": entries})
    write_text(folder / "report.html", _page(totals, sections))


def report_entry(video_name: str, stages: StageResults) -> dict:
    """Everything the report says of one video, as plain JSON data.

    Args:
        video_name: file name of the video.
        stages: what became of it.
    """
    entry: dict = {"video": video_name, "refusal": stages.refusal}
    if stages.reconstruction is None:
        return entry
    captions = [caption for caption in stages.captions if not caption.is_na]
    return entry | {
        "frames": len(stages.reconstruction),
        "segments": len(stages.segmentation.segments),
        "repeated_motions": len(stages.segmentation.repeats),
        "captions": len(captions),
        "weak_captions": sum(caption.is_weak for caption in captions),
        "episodes": len(stages.episodes),
        "rejections": dict(sorted(Counter(f"{r.stage}: {r.reason}" for r in stages.rejections).items())),
        "rejected": [
            {"stage": r.stage, "item": r.item, "reason": r.reason, "detail": r.detail} for r in stages.rejections
        ],
        "reconstruction": summary(stages.reconstruction),
    }


def report_totals(entries: Sequence[dict]) -> dict:
    """Counts over all videos, and rejections by stage and reason."""
    keys = ("frames", "segments", "repeated_motions", "captions", "weak_captions", "episodes")
    totals: dict = {"videos": len(entries), "refused_videos": sum(bool(entry["refusal"]) for entry in entries)}
    totals |= {key: sum(entry.get(key, 0) for entry in entries) for key in keys}
    reasons: Counter = Counter()
    for entry in entries:
        reasons.update(entry.get("rejections", {}))
    return totals | {"rejections": dict(sorted(reasons.items()))}


def _page(totals: dict, sections: Sequence[str]) -> str:
    weak = totals["weak_captions"]
    note = (
        f'<p class="weak">{weak} of {totals["captions"]} captions are <b>weak</b>: they were derived from geometry '
        "alone and name no object. For real captions use <code>--captioner openai:&lt;model&gt;</code>.</p>"
        if weak
        else ""
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Episodes report</title><style>{_STYLE}</style>'
        f"<h1>Episodes report</h1>{_count_tables(totals)}{note}{''.join(sections)}{_thresholds()}</html>\n"
    )


def _count_tables(counts: dict) -> str:
    """What came out, and beside it what was dropped."""
    kept = [(key.replace("_", " "), value) for key, value in counts.items() if key != "rejections"]
    dropped = list(counts["rejections"].items()) or [("nothing", 0)]
    return f'<div class="tables">{_table("counted", kept)}{_table("dropped", dropped)}</div>'


def _table(title: str, rows: Sequence[tuple[str, int]]) -> str:
    cells = "".join(f'<tr><td>{html.escape(str(name))}</td><td class="n">{value}</td></tr>' for name, value in rows)
    return f'<table><tr><th>{title}</th><th class="n">number</th></tr>{cells}</table>'


def _section(
    video: Path, stages: StageResults, entry: dict, short_side_px: int, is_pictured: bool, hides_faces: bool
) -> str:
    title = f"<h2>{html.escape(video.name)}</h2>"
    if stages.reconstruction is None:
        return f'{title}<p class="refused">Refused: {html.escape(stages.refusal)}</p>'
    keys = ("frames", "segments", "repeated_motions", "captions", "episodes", "rejections")
    counts = {key: entry[key] for key in keys}
    parts = [title, _count_tables(counts), _facts(entry["reconstruction"])]
    if is_pictured:
        parts += _pictures(video, stages, short_side_px, hides_faces)
    return "".join([*parts, _rejected(entry["rejected"])])


def _facts(facts: dict) -> str:
    """Camera and hands in a sentence, and a warning for every poor figure."""
    camera = facts["camera"]
    width, height = camera["fov_deg"]
    scale = {"hands": "from the hands", "prior": "from a prior", "none": "not needed, the camera does not move"}
    std = f" ± {camera['scale_rel_std']:.0%}" if camera["scale_rel_std"] is not None else ""
    hands = ", ".join(
        f"{side} hand in {counts['valid_frames']} frames (seen in {counts['observed_frames']})"
        for side, counts in facts["hands"].items()
    )
    line = (
        f"Camera: {camera['method']}, {'static' if camera['is_static'] else 'moving'}, known in "
        f"{camera['valid_frames']} of {facts['frames']} frames; field of view {width:.0f}° × {height:.0f}° "
        f"({camera['intrinsics_source']}); metric scale {scale.get(camera['scale_source'], camera['scale_source'])}"
        f"{std}. {hands[0].upper()}{hands[1:]}."
    )
    warnings = "".join(f"<li>{html.escape(warning)}</li>" for warning in facts["warnings"])
    return f"<p>{html.escape(line)}</p>" + (f'<ul class="weak">{warnings}</ul>' if warnings else "")


def _pictures(video: Path, stages: StageResults, short_side_px: int, hides_faces: bool) -> list[str]:
    """Hands on frames, wrist speed with its segments, and what a captioner sees of the first episodes."""
    reconstruction = stages.reconstruction
    with VideoReader(video, max_short_side_px=short_side_px) as reader:

        def images(indices: Sequence[int]) -> list[np.ndarray]:
            shown = [frame.image for frame in reader.at([int(reconstruction.source_frame[i]) for i in indices])]
            return anonymise_frames(shown)[0] if hides_faces else shown

        figures = [_hands_figure(reconstruction, images), _worst_figure(reconstruction, images)]
        figures += [speed_figure(reconstruction, stages.segmentation)]
        spoken = [caption for caption in stages.captions if not caption.is_na]
        figures += [_episode_figure(reconstruction, item, images) for item in spoken[:_PICTURED_EPISODES]]
    if len(spoken) > _PICTURED_EPISODES:
        figures.append(f"<p>… and {len(spoken) - _PICTURED_EPISODES} more.</p>")
    return figures


def _hands_figure(reconstruction: Reconstruction, images: Callable[[Sequence[int]], list[np.ndarray]]) -> str:
    shown = [int(i) for i in np.linspace(0, len(reconstruction) - 1, min(_HAND_FRAMES, len(reconstruction)))]
    hands = [draw_hands(reconstruction, i, image) for i, image in zip(shown, images(shown), strict=True)]
    text = f"Fitted hands on {len(shown)} evenly spaced frames: judge the reconstruction by these."
    return f"<h3>Hands</h3>{_strip(hands, text)}"


def _worst_figure(reconstruction: Reconstruction, images: Callable[[Sequence[int]], list[np.ndarray]]) -> str:
    """The moments that a person should look at first, with what is wrong there."""
    moments = worst_moments(reconstruction, _WORST_MOMENTS)
    if not moments:
        return "<h3>Worst moments</h3><p>No figure of any frame comes near its limit.</p>"
    frames = [moment.frame for moment in moments]
    tiles = []
    for place, (i, image) in enumerate(zip(frames, images(frames), strict=True), start=1):
        tiles.append(draw_label(draw_hands(reconstruction, i, image), f"{place}: {reconstruction.time_s[i]:.2f} s"))
    rows = "".join(
        f'<tr><td class="n">{place}</td><td class="n">{reconstruction.time_s[m.frame]:.2f} s</td>'
        f'<td class="n">{m.badness:.2f}</td><td>{html.escape(m.reason)}</td></tr>'
        for place, m in enumerate(moments, start=1)
    )
    head = "<tr><th>rank</th><th>time</th><th>figure / limit</th><th>what is wrong</th></tr>"
    text = "The worst moments, worst first; below 1 every figure keeps to its limit."
    return f"<h3>Worst moments</h3>{_strip(tiles, text)}<table>{head}{rows}</table>"


def _thresholds() -> str:
    """The one table of limits, folded away at the end of the page."""
    rows = ""
    for t in THRESHOLDS:
        limit = f"{'above' if t.is_upper else 'below'} {t.limit:g}{'' if t.unit == '1' else ' ' + t.unit}"
        cells = (t.figure, t.of, limit, t.reason, t.why)
        rows += f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
    head = "<tr><th>figure</th><th>of a</th><th>is poor</th><th>what that means</th><th>why this limit</th></tr>"
    return f"<details><summary>Limits behind warnings and ranking</summary><table>{head}{rows}</table></details>"


def _episode_figure(
    reconstruction: Reconstruction, item: Caption, images: Callable[[Sequence[int]], list[np.ndarray]]
) -> str:
    tiles = [frame.image for frame in overlay_frames(reconstruction, item.segment, images)]
    segment = item.segment
    seconds = reconstruction.time_s[segment.start], reconstruction.time_s[segment.stop - 1]
    span = f"{segment.side} hand, frames [{segment.start}, {segment.stop}), {seconds[0]:.2f} to {seconds[1]:.2f} s"
    mark = " (weak caption)" if item.is_weak else ""
    return f"<h3>“{html.escape(item.text)}”{mark}</h3>{_strip(tiles, span)}"


def _strip(images: Sequence[np.ndarray], caption: str) -> str:
    """Small pictures in rows of four, with a caption."""
    tags = []
    for image in images:
        height = max(1, round(image.shape[0] * _TILE_WIDTH_PX / image.shape[1]))
        small = cv2.resize(image, (_TILE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
        tags.append(f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">')
    return f'<figure><div class="strip">{"".join(tags)}</div><figcaption>{html.escape(caption)}</figcaption></figure>'


def _rejected(rejected: Sequence[dict]) -> str:
    """Every dropped item with its reason, folded away."""
    if not rejected:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(r['stage'])}</td><td>{html.escape(r['item'])}</td>"
        f"<td>{html.escape(r['reason'])}</td><td>{html.escape(r['detail'])}</td></tr>"
        for r in rejected[:_LISTED_REJECTIONS]
    )
    more = len(rejected) - _LISTED_REJECTIONS
    rest = f"<p>… and {more} more in report.json.</p>" if more > 0 else ""
    head = "<tr><th>stage</th><th>item</th><th>reason</th><th>figures</th></tr>"
    title = f"<summary>All {len(rejected)} dropped items</summary>"
    return f"<details>{title}<table>{head}{rows}</table>{rest}</details>"

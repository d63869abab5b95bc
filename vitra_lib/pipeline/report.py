"""The quality report of a build: what went in, what came out, what was dropped and why, with pictures."""

import base64
import html
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.captioning import overlay_frames
from vitra_lib.contracts import Reconstruction, Segmentation
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.reconstruction.outputs import summary
from vitra_lib.reconstruction.overlay_video import draw_hands
from vitra_lib.video import VideoReader

_PICTURED_EPISODES = 6  # per video: enough to judge, small enough to open
_HAND_FRAMES = 8
_TILE_WIDTH_PX = 220

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.weak{background:#fff3cd;padding:.5rem 1rem}
.strip img{margin:1px}figcaption{color:#555;font-size:.9rem}.refused{background:#fde2e2;padding:.5rem 1rem}
"""


def write_report(folder: Path, results: Sequence, captioner: str, short_side_px: int) -> None:
    """Write `report.json` and `report.html` into a folder.

    Args:
        folder: an existing folder.
        results: one `VideoResult` per video.
        captioner: the captioner's name.
        short_side_px: size at which frames are read for the pictures [px].
    """
    data = report_data(results, captioner)
    (folder / "report.json").write_text(json.dumps(data, indent=1))
    sections = [_video_section(result, entry, short_side_px) for result, entry in zip(results, data["videos"], strict=True)]
    weak = data["totals"]["weak_captions"]
    note = (
        f'<p class="weak">{weak} captions are <b>weak</b>: they were derived from geometry alone and name no object. '
        "For real captions use <code>--captioner openai:&lt;model&gt;</code>.</p>"
        if weak
        else ""
    )
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>vitra-lab report</title><style>{_STYLE}</style>"
        f"<h1>Episodes report</h1>{_counts_table(data['totals'])}{note}{''.join(sections)}</html>"
    )
    (folder / "report.html").write_text(page)


def report_data(results: Sequence, captioner: str) -> dict:
    """Everything the report says, as plain JSON data; counts are totals over videos and per video."""
    videos = []
    for result in results:
        entry: dict = {"video": result.path.name, "refusal": result.refusal}
        if result.reconstruction is not None:
            captions = [c for c in result.captions if not c.is_na]
            entry |= {
                "frames": len(result.reconstruction),
                "segments": len(result.segmentation.segments),
                "captions": len(captions),
                "weak_captions": sum(c.is_weak for c in captions),
                "episodes": len(result.episodes),
                "rejections": dict(sorted(Counter(f"{r.stage}: {r.reason}" for r in result.rejections).items())),
                "rejected": [{"stage": r.stage, "item": r.item, "reason": r.reason, "detail": r.detail} for r in result.rejections],
                "reconstruction": summary(result.reconstruction),
            }
        videos.append(entry)
    keys = ("frames", "segments", "captions", "weak_captions", "episodes")
    totals: dict = {"videos": len(videos), "refused_videos": sum(bool(v["refusal"]) for v in videos)}
    totals |= {key: sum(v.get(key, 0) for v in videos) for key in keys}
    reasons: Counter = Counter()
    for video in videos:
        reasons.update(video.get("rejections", {}))
    totals["rejections"] = dict(sorted(reasons.items()))
    return {"schema": 1, "captioner": captioner, "totals": totals, "videos": videos}


def _counts_table(totals: dict) -> str:
    rows = [(key.replace("_", " "), value) for key, value in totals.items() if key != "rejections"]
    rows += [(f"dropped — {reason}", count) for reason, count in totals["rejections"].items()]
    cells = "".join(f"<tr><td>{html.escape(str(name))}</td><td class=n>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _video_section(result, entry: dict, short_side_px: int) -> str:
    title = f"<h2>{html.escape(result.path.name)}</h2>"
    if result.refusal:
        return f'{title}<p class="refused">Refused: {html.escape(result.refusal)}</p>'
    reconstruction: Reconstruction = result.reconstruction
    with VideoReader(result.path, max_short_side_px=short_side_px) as reader:

        def images(indices: list[int]) -> list[np.ndarray]:
            return [frame.image for frame in reader.at([int(reconstruction.source_frame[i]) for i in indices])]

        shown = [int(i) for i in np.linspace(0, len(reconstruction) - 1, _HAND_FRAMES)]
        hands = [draw_hands(reconstruction, i, image) for i, image in zip(shown, images(shown), strict=True)]
        figures = [_strip(hands, "Fitted hands on eight frames, evenly spaced: judge the reconstruction by these.")]
        figures.append(_speed_figure(reconstruction, result.segmentation))
        spoken = [c for c in result.captions if not c.is_na][:_PICTURED_EPISODES]
        for item in spoken:
            tiles = [frame.image for frame in overlay_frames(reconstruction, item.segment, images)]
            mark = " (weak)" if item.is_weak else ""
            span = f"{item.segment.side} hand, frames [{item.segment.start}, {item.segment.stop})"
            figures.append(_strip(tiles, f"{span}: “{item.text}”{mark}"))
    camera = entry["reconstruction"]["camera"]
    line = (
        f"<p>Camera: {camera['method']}, {'static' if camera['is_static'] else 'moving'}, "
        f"field of view {camera['fov_deg'][0]:.0f}° ({camera['intrinsics_source']}), scale from {camera['scale_source']}.</p>"
    )
    return title + _counts_table({k: entry[k] for k in ("frames", "segments", "episodes", "rejections")}) + line + "".join(figures)


def _strip(images: Sequence[np.ndarray], caption: str) -> str:
    """A row of small pictures with a caption."""
    tags = []
    for image in images:
        height = max(1, round(image.shape[0] * _TILE_WIDTH_PX / image.shape[1]))
        small = cv2.resize(image, (_TILE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
        tags.append(f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">')
    return f'<figure class=strip>{"".join(tags)}<figcaption>{html.escape(caption)}</figcaption></figure>'


def _speed_figure(reconstruction: Reconstruction, segmentation: Segmentation) -> str:
    """Wrist speed of both hands with the accepted segments shaded, as inline SVG (deterministic, no timestamps)."""
    width, height, pad = 900, 160, 30
    time = reconstruction.time_s - reconstruction.time_s[0]
    speeds = np.concatenate([segmentation.speed[side] for side in SIDES])
    top = float(np.nanmax(speeds)) if np.isfinite(speeds).any() else 1.0
    x = pad + (width - 2 * pad) * time / max(float(time[-1]), 1e-9)
    parts = []
    colours = {"left": "#e69f00", "right": "#0072b2"}
    for segment in segmentation.segments:
        x0, x1 = x[segment.start], x[segment.stop - 1]
        y0 = pad if segment.side == "left" else height / 2
        parts.append(
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{max(x1 - x0 - 1, 1):.1f}" height="{height / 2 - pad:.1f}" '
            f'fill="{colours[segment.side]}" opacity=".15"/>'
        )
    for side in SIDES:
        y = height - pad - (height - 2 * pad) * segmentation.speed[side] / max(top, 1e-9)
        runs = np.split(np.arange(len(y)), np.flatnonzero(np.diff(np.isfinite(y).astype(int))) + 1)
        for run in runs:
            if len(run) > 1 and np.isfinite(y[run[0]]):
                points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in run)
                parts.append(f'<polyline points="{points}" fill="none" stroke="{colours[side]}" stroke-width="1.5"/>')
    axis = f'<text x="{pad}" y="{pad - 8}" font-size="12">wrist speed, peak {top:.2f} m/s; {time[-1]:.1f} s</text>'
    caption = "Wrist speed in the world (left orange, right blue); accepted atomic actions are shaded, left above, right below."
    return f'<figure><svg viewBox="0 0 {width} {height}" width="100%">{axis}{"".join(parts)}</svg><figcaption>{caption}</figcaption></figure>'

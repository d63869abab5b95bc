"""What `vitra reconstruct` leaves in its folder: the tracks, a JSON report, an overlay video, a Rerun recording."""

import importlib.util
import json
from pathlib import Path

import numpy as np

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.files import atomic_path
from vitra_lib.reconstruction.overlay_video import write_overlay
from vitra_lib.reconstruction.store import save_reconstruction


def write_outputs(
    reconstruction: Reconstruction, video: Path, out: Path, overlay: bool = True, progress: bool = False
) -> tuple[Path, ...]:
    """Write everything into an existing folder, each file atomically, and return the paths.

    Args:
        reconstruction: the result.
        video: the video it was made from.
        out: the folder.
        overlay: whether to draw the overlay video.
        progress: show a progress bar.
    """
    paths = [out / "reconstruction.npz", out / "report.json"]
    save_reconstruction(reconstruction, paths[0])
    with atomic_path(paths[1]) as temporary:
        temporary.write_text(json.dumps(summary(reconstruction), indent=1))
    if overlay:
        write_overlay(reconstruction, video, out / "overlay.mp4", progress)
        paths.append(out / "overlay.mp4")
    if importlib.util.find_spec("rerun") is not None:
        from vitra_lib.reconstruction.rerun_recording import write_rerun

        write_rerun(reconstruction, video, out / "recording.rrd")
        paths.append(out / "recording.rrd")
    return tuple(paths)


def summary(reconstruction: Reconstruction) -> dict[str, object]:
    """Counts, sources and quality figures of a reconstruction, ready for JSON."""
    camera = reconstruction.camera
    reasons: dict[str, int] = {}
    for rejection in reconstruction.rejections:
        reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
    return {
        "video": reconstruction.video_name,
        "video_sha256": reconstruction.video_sha256,
        "frames": len(reconstruction),
        "fps": reconstruction.fps,
        "camera": {
            "method": camera.method,
            "is_static": camera.is_static,
            "valid_frames": int(camera.is_valid.sum()),
            "fov_deg": [float(x) for x in np.rad2deg(camera.fov_rad)],
            "intrinsics_source": camera.intrinsics_source,
            "scale_source": camera.scale_source,
            "scale_rel_std": _number(camera.scale_rel_std),
        },
        "hands": {
            side: {
                "valid_frames": int(reconstruction.hand(side).is_valid.sum()),
                "observed_frames": int(reconstruction.hand(side).is_observed.sum()),
            }
            for side in SIDES
        },
        "quality": {name: _number(value) for name, value in sorted(reconstruction.quality.items())},
        "rejections": reasons,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN: a missing figure is null."""
    return float(value) if value == value else None

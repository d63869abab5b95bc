"""What `vitra reconstruct` leaves in its folder: the tracks, a JSON report, an overlay video, a Rerun recording."""

import importlib.util
import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import WriteFailed
from vitra_lib.core.files import atomic_path, write_json
from vitra_lib.reconstruction.overlay_video import write_overlay
from vitra_lib.reconstruction.quality import quality_warnings
from vitra_lib.reconstruction.side_by_side import write_side_by_side
from vitra_lib.reconstruction.store import save_reconstruction
from vitra_lib.reconstruction.worst_moments import worst_moments

_TRACKS, _REPORT, _OVERLAY, _RECORDING = "reconstruction.npz", "report.json", "overlay.mp4", "recording.rrd"
_PICTURES = "side_by_side.mp4"


class _NotNeeded(Exception):
    """Ends the trial in `check_folder`, so that what it made is removed again."""


def check_folder(folder: Path) -> None:
    """Find out before long work whether files can be written into a folder; nothing is left behind.

    A file is really made and removed: permissions alone do not tell (root may write everywhere, and read-only or full
    file systems do not show in them).

    Args:
        folder: it need not exist.

    Raises:
        WriteFailed: it is a file, or can't be made, or nothing can be written into it.
    """
    if folder.exists() and not folder.is_dir():
        raise WriteFailed(f"{folder} is a file, not a folder: choose another output folder.")
    try:
        with atomic_path(folder / "trial") as trial:
            trial.write_bytes(b"\0")
            raise _NotNeeded
    except _NotNeeded:
        return
    except WriteFailed as error:
        raise WriteFailed(str(error).replace(str(folder / "trial"), str(folder))) from error


def write_outputs(
    reconstruction: Reconstruction,
    video: Path,
    out: Path,
    overlay: bool = True,
    pictures: bool = False,
    progress: bool = False,
) -> tuple[Path, ...]:
    """Write everything into a folder, all files or none, and return the paths.

    Args:
        reconstruction: the result.
        video: the video it was made from.
        out: the folder; made if it isn't there. Files of an earlier run are replaced, others are left alone.
        overlay: whether to draw the overlay video.
        pictures: whether to draw the video of input, fitted skin and world from above (about 0.15 s per frame).
        progress: show a progress bar.

    Raises:
        WriteFailed: no permission, or the disk is full; the folder is as it was.
    """
    names = [_TRACKS, _REPORT]
    names += [_OVERLAY] if overlay else []
    names += [_PICTURES] if pictures else []
    names += [_RECORDING] if importlib.util.find_spec("rerun") is not None else []
    part: dict[str, Path] = {}
    try:
        with ExitStack() as all_or_none:  # every file gets its name when the last one is complete
            part |= {name: all_or_none.enter_context(atomic_path(out / name)) for name in names}
            save_reconstruction(reconstruction, part[_TRACKS])
            write_json(part[_REPORT], summary(reconstruction))
            if _OVERLAY in part:
                write_overlay(reconstruction, video, part[_OVERLAY], progress)
            if _PICTURES in part:
                write_side_by_side(reconstruction, video, part[_PICTURES], progress=progress)
            if _RECORDING in part:
                from vitra_lib.reconstruction.rerun_recording import write_rerun

                write_rerun(reconstruction, video, part[_RECORDING])
    except WriteFailed as error:
        message = str(error)
        for name, path in part.items():  # the temporary names would only puzzle
            message = message.replace(path.name, name)
        raise WriteFailed(message) from error
    return tuple(out / name for name in names)


def summary(reconstruction: Reconstruction) -> dict[str, object]:
    """Counts, sources and quality figures of a reconstruction, ready for JSON: a missing figure is null."""
    camera = reconstruction.camera
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
        "warnings": list(quality_warnings(reconstruction.quality)),
        "worst_moments": [
            {"frame": m.frame, "side": m.side, "badness": round(m.badness, 3), "reason": m.reason}
            for m in worst_moments(reconstruction)
        ],
        "rejections": dict(sorted(Counter(r.reason for r in reconstruction.rejections).items())),
        "rejected": [
            {"item": r.item, "reason": r.reason, "detail": r.detail} for r in reconstruction.rejections
        ],
    }


def _number(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None

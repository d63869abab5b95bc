"""Checks of video files: can they be decoded, and are they what the tables say?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput, BadVideo
from vitra_lib.episodes.doctor.finding import Report
from vitra_lib.episodes.doctor.limits import DoctorConfig
from vitra_lib.video import VideoReader
from vitra_lib.video.transcode import MAX_TRANSCODED_PIXELS


@dataclass(frozen=True)
class Shown:
    """What a readable video shows.

    Attributes:
        frame_count: frames.
        width_px, height_px: size of its image.
        fps: mean rate [1/s].
    """

    frame_count: int
    width_px: int
    height_px: int
    fps: float


def check_video(path: Path, place: str, report: Report, config: DoctorConfig) -> Shown | None:
    """Open a video and decode some of its frames, or all.

    Args:
        path: the file.
        place: how findings call it.
        report: where findings go.
        config: thresholds.

    Returns:
        what it shows, or None where it can't be read.
    """
    if not path.is_file():
        report.add("error", "video", place, "the file is missing")
        return None
    try:
        with VideoReader(path, None, MAX_TRANSCODED_PIXELS) as reader:
            shown = Shown(len(reader), reader.info.width_px, reader.info.height_px, float(reader.info.fps))
            count = config.frames_per_video or len(reader)
            wanted = np.unique(np.linspace(0, len(reader) - 1, min(count, len(reader))).round().astype(int))
            for frame in wanted if count < len(reader) else ():
                reader.at([int(frame)])
            if count >= len(reader):
                decoded = sum(1 for _ in reader.frames())
                if decoded != len(reader):
                    report.add("error", "video", place, f"{decoded} of {len(reader)} frames can be decoded")
        return shown
    except (BadVideo, BadInput, OSError) as error:
        report.add("error", "video", place, str(error))
        return None

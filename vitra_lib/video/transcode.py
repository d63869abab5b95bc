"""Transcoding for random access: small frames and a short GOP make a random frame cost milliseconds.

A decoder reaches a frame from the key frame before it, so the GOP length, not the library, decides the speed of
random reading.
"""

import os
from fractions import Fraction

from tqdm import tqdm

from vitra_lib.core.errors import BadInput
from vitra_lib.video.reader import VideoInfo, VideoReader, probe
from vitra_lib.video.writer import EncoderConfig, Mp4Encoder

MAX_TRANSCODED_PIXELS = 72_000_000
"""Largest frame that is transcoded: 8K and a little more; two such frames are in memory at a time."""


def transcode(
    src: str | os.PathLike, dst: str | os.PathLike, short_side_px: int = 256, gop: int = 15, progress: bool = False
) -> VideoInfo:
    """Write a copy for random access: same frames at the same times, upright, at most `short_side_px` high or wide.

    Args:
        src: any video that can be read; may have larger frames than `VideoReader` accepts by default.
        dst: the mp4 to write; may be `src` itself.
        short_side_px: bound of the shorter side [px]; smaller videos keep their size (odd sizes grow by one pixel).
        gop: largest distance between key frames [frames].
        progress: show a progress bar.

    Returns:
        What was written. Its frame count and frame times equal those of `src` (starting at 0).

    Raises:
        BadInput: `short_side_px` or `gop` is out of range.
        BadVideo: `src` can't be read.
        WriteFailed: `dst` can't be written; nothing is left behind.
    """
    if short_side_px < 2:
        raise BadInput(f"short_side_px is {short_side_px}: legal are 2 and more.")
    with VideoReader(src, short_side_px, MAX_TRANSCODED_PIXELS) as reader:
        index = reader.index
        rate = Fraction(index.fps).limit_denominator(1001)
        config = EncoderConfig(reader.info.width_px, reader.info.height_px, index.time_base, rate, gop)
        pts = [int(p - index.pts[0]) for p in index.pts]
        durations = [after - now for now, after in zip(pts, pts[1:], strict=False)] + [index.last_duration]
        with Mp4Encoder(dst, config) as encoder:
            for frame in tqdm(reader.frames(), total=len(reader), unit="frame", disable=not progress):
                encoder.write(frame.image, pts[frame.index], durations[frame.index])
    return probe(dst)

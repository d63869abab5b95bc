"""Long videos go in overlapping clips that are merged (paper section on 3-D labelling: 20 s clips)."""

import math
from collections.abc import Sequence

import numpy as np

from vitra_lib.reconstruction.tracker import HandDetections


def clip_ranges(
    frame_count: int, fps: float, clip_s: float, overlap_s: float, max_frames: int | None = None
) -> list[tuple[int, int]]:
    """Half-open frame ranges of overlapping clips that cover a video.

    All clips have nearly the same length, at most `clip_s`, and neighbours share `overlap_s` (to the frame).

    Args:
        frame_count: frames in the video, at least 1.
        fps: mean frame rate [1/s].
        clip_s: longest clip [s].
        overlap_s: shared by neighbours [s]; less than `clip_s`.
        max_frames: most frames of a clip, for high frame rates; None = no bound. The overlap shrinks in proportion.
    """
    longest = max(int(round(clip_s * fps)), 2)
    overlap = int(round(overlap_s * fps))
    if max_frames is not None and longest > max_frames:
        longest, overlap = max_frames, overlap * max_frames // longest
    overlap = min(max(overlap, 1), longest - 1)
    if frame_count <= longest:
        return [(0, frame_count)]
    count = math.ceil((frame_count - overlap) / (longest - overlap))
    starts = [round(i * (frame_count - overlap) / count) for i in range(count + 1)]
    return [
        (start, min(following + overlap, frame_count))
        for start, following in zip(starts[:-1], starts[1:], strict=True)
    ]


def owned_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """For each clip the frames it answers for: overlaps are cut in the middle, so every frame has one owner."""
    middles = [(following[0] + clip[1]) // 2 for clip, following in zip(ranges[:-1], ranges[1:], strict=True)]
    cuts = [ranges[0][0], *middles, ranges[-1][1]]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def part_of(detections: HandDetections, start: int, stop: int) -> HandDetections:
    """The detections of frames [start, stop)."""
    own = slice(start, stop)
    return HandDetections(
        side=detections.side,
        keypoints_px=detections.keypoints_px[own],
        world_landmarks_m=detections.world_landmarks_m[own],
        score=detections.score[own],
        is_detected=detections.is_detected[own],
    )


def stitch_detections(ranges: Sequence[tuple[int, int]], parts: Sequence[HandDetections]) -> HandDetections:
    """One hand's detections over the whole video, each frame from the clip that owns it."""
    pieces = [
        (part, slice(own[0] - clip[0], own[1] - clip[0]))
        for clip, own, part in zip(ranges, owned_ranges(ranges), parts, strict=True)
    ]
    return HandDetections(
        side=parts[0].side,
        keypoints_px=np.concatenate([part.keypoints_px[own] for part, own in pieces]),
        world_landmarks_m=np.concatenate([part.world_landmarks_m[own] for part, own in pieces]),
        score=np.concatenate([part.score[own] for part, own in pieces]),
        is_detected=np.concatenate([part.is_detected[own] for part, own in pieces]),
    )

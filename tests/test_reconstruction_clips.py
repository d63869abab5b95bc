"""Laws of cutting a long video into overlapping clips, and of putting what they found together again."""

import itertools

import numpy as np

from vitra_lib.reconstruction.clips import clip_ranges, owned_ranges, stitch_detections
from vitra_lib.reconstruction.identity import HandDetections

COUNTS = (1, 2, 5, 59, 60, 61, 600, 601, 1799, 18_000)
CASES = list(itertools.product(COUNTS, (7.5, 29.97, 60.0), (2.0, 20.0), (0.1, 1.5)))


def test_clips_cover_the_video_and_stay_short() -> None:
    for count, fps, clip_s, overlap_s in CASES:
        ranges = clip_ranges(count, fps, clip_s, overlap_s)
        assert ranges[0][0] == 0 and ranges[-1][1] == count
        assert all(0 < stop - start <= max(round(clip_s * fps), 2) for start, stop in ranges), (count, fps, clip_s)
        for before, after in itertools.pairwise(ranges):
            assert before[0] < after[0] < before[1] < after[1]
            assert before[1] - after[0] == max(round(overlap_s * fps), 1)
        lengths = [stop - start for start, stop in ranges]
        assert max(lengths) - min(lengths) <= 1


def test_a_short_video_is_one_clip_and_a_longer_one_is_not() -> None:
    assert clip_ranges(600, 30.0, 20.0, 2.0) == [(0, 600)]
    assert len(clip_ranges(601, 30.0, 20.0, 2.0)) == 2


def test_a_high_frame_rate_does_not_make_clips_larger_than_memory() -> None:
    ranges = clip_ranges(24_000, 240.0, 20.0, 2.0, max_frames=720)
    assert max(stop - start for start, stop in ranges) <= 720
    assert all(before[1] - after[0] == 72 for before, after in itertools.pairwise(ranges))
    assert max(stop - start for start, stop in clip_ranges(24_000, 240.0, 20.0, 2.0)) > 720  # the control


def test_every_frame_has_one_owner() -> None:
    for count, fps, clip_s, overlap_s in CASES:
        ranges = clip_ranges(count, fps, clip_s, overlap_s)
        owned = owned_ranges(ranges)
        frames = [frame for start, stop in owned for frame in range(start, stop)]
        assert frames == list(range(count))
        assert all(clip[0] <= own[0] < own[1] <= clip[1] for clip, own in zip(ranges, owned, strict=True))


def test_stitching_takes_each_frame_from_its_owner() -> None:
    ranges = clip_ranges(100, 10.0, 4.0, 1.0)
    parts = [_numbered(number, start, stop) for number, (start, stop) in enumerate(ranges)]
    whole = stitch_detections(ranges, parts)
    np.testing.assert_array_equal(whole.keypoints_px[:, 0, 0], np.arange(100))  # every frame at its place
    for number, (start, stop) in enumerate(owned_ranges(ranges)):
        assert (whole.score[start:stop] == number).all()
    assert whole.is_detected.all() and whole.side == "left"


def _numbered(number: int, start: int, stop: int) -> HandDetections:
    """Detections whose first coordinate is the frame in the video and whose score is the clip's number."""
    keypoints = np.zeros((stop - start, 21, 2))
    keypoints[:, :, 0] = np.arange(start, stop)[:, None]
    return HandDetections(
        side="left",
        keypoints_px=keypoints,
        world_landmarks_m=np.zeros((stop - start, 21, 3)),
        score=np.full(stop - start, float(number)),
        is_detected=np.ones(stop - start, bool),
    )

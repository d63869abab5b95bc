"""The second look: windows lie where a lost hand must be, and what is found there comes back in the frame's pixels."""

import numpy as np

from vitra_lib.reconstruction.identity import HandDetections, Sighting
from vitra_lib.reconstruction.second_look import LookConfig, gaps_of, look_again

FPS, TIME = 30.0, 90
SHAPE = np.random.default_rng(0).uniform(-30, 30, (21, 2))
SHAPE -= 0.5 * (SHAPE.min(axis=0) + SHAPE.max(axis=0))


def hand(seen: np.ndarray) -> HandDetections:
    """A hand that moves 2 px to the right per frame, seen in some frames."""
    keypoints = SHAPE + np.stack([100.0 + 2.0 * np.arange(TIME), np.full(TIME, 200.0)], axis=1)[:, None]
    keypoints[~seen] = np.nan
    return HandDetections("right", keypoints, np.zeros((TIME, 21, 3)), seen.astype(float), seen)


def test_windows_follow_the_line_between_two_sightings():
    seen = np.ones(TIME, bool)
    seen[40:50] = False
    (gap,) = gaps_of(hand(seen), FPS, LookConfig())
    assert (gap.start, gap.stop) == (40, 50)
    np.testing.assert_allclose(gap.centre_px[:, 0], 100.0 + 2.0 * np.arange(40, 50))
    np.testing.assert_allclose(gap.size_px, 3.0 * np.ptp(SHAPE, axis=0).max())


def test_only_frames_near_a_sighting_are_searched():
    seen = np.zeros(TIME, bool)
    seen[:5] = True
    (gap,) = gaps_of(hand(seen), FPS, LookConfig(reach_s=0.5))
    assert (gap.start, gap.stop) == (5, 20)
    assert gaps_of(hand(np.zeros(TIME, bool)), FPS, LookConfig()) == []
    assert gaps_of(hand(np.ones(TIME, bool)), FPS, LookConfig()) == []


def test_what_is_found_comes_back_in_pixels_of_the_frame():
    seen = np.ones(TIME, bool)
    seen[30:40] = False
    frames = [np.zeros((400, 500, 3), np.uint8) for _ in range(TIME)]
    for t, frame in enumerate(frames):
        frame[199:202, 100 + 2 * t - 1 : 100 + 2 * t + 2] = 255  # a white dot in the middle of the hand

    def tracker_of_dots(windows):
        """Sees a hand wherever the dot is, with the dot as every landmark."""
        sightings = []
        for k, window in enumerate(windows):
            y, x = np.nonzero(window[..., 0] > 100)
            sightings.append([Sighting(k, np.tile([x.mean(), y.mean()], (21, 1)), np.zeros((21, 3)), 0.9)])
        return sightings, [[] for _ in windows]

    found = look_again(frames, hand(seen), FPS, tracker_of_dots, LookConfig())
    assert [len(f) for f in found] == [0] * 30 + [1] * 10 + [0] * 50
    for t in range(30, 40):
        assert found[t][0].frame == t
        np.testing.assert_allclose(found[t][0].keypoints_px[0], [100.0 + 2.0 * t, 200.0], atol=0.5)

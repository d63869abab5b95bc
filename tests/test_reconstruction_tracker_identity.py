"""Identity of hands on made-up sightings whose truth is known: swaps healed, ghosts gone, crossing hands kept apart."""

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.identity import IdentityConfig, Sighting, fuse, identify, landmark_distance

FPS, WIDTH, HEIGHT, TIME = 30.0, 640, 480, 60
SHAPE = np.random.default_rng(0).uniform(-30, 30, (21, 2))


def sighting(frame: int, x: float, y: float = 240.0, p: float = 0.95, scale: float = 1.0) -> Sighting:
    return Sighting(frame, SHAPE * scale + [x, y], np.zeros((21, 3)), p)


def video(*hands) -> list[list[Sighting]]:
    """Per frame the sightings of hands given as functions frame -> Sighting or None."""
    return [[s for hand in hands if (s := hand(t)) is not None] for t in range(TIME)]


def centre_x(hand) -> np.ndarray:
    return hand.keypoints_px[:, :, 0].mean(axis=1) - SHAPE[:, 0].mean()


DEFAULT = IdentityConfig()


def merged(forward, backward, config=DEFAULT):
    frames = [fuse(a, b, config.fuse_distance) for a, b in zip(forward, backward, strict=True)]
    return identify(frames, FPS, (WIDTH, HEIGHT), config)


def both(frames):
    return merged(frames, frames)


def test_flickering_labels_are_healed_by_the_majority():
    rng = np.random.default_rng(1)
    wrong = rng.uniform(size=TIME) < 0.3
    found = both(video(lambda t: sighting(t, 300 + 2 * t, p=0.1 if wrong[t] else 0.9)))
    assert wrong.sum() > 10  # control: a label per frame would be wrong this often
    assert found["right"].is_detected.all()
    assert not found["left"].is_detected.any()


def test_left_and_right_swapped_for_a_while():
    swap = lambda t: 20 <= t < 30  # noqa: E731
    frames = video(
        lambda t: sighting(t, 200, p=0.9 if swap(t) else 0.1),
        lambda t: sighting(t, 450, p=0.1 if swap(t) else 0.9),
    )
    found = both(frames)
    np.testing.assert_allclose(centre_x(found["left"]), 200)
    np.testing.assert_allclose(centre_x(found["right"]), 450)


def test_crossing_hands_keep_their_names():
    def right(t):
        return sighting(t, 500 - 6 * t, 230, 0.95)

    def left(t):
        return sighting(t, 140 + 6 * t, 260, 0.05)

    found = both(video(right, left))
    apart = np.abs((500 - 6 * np.arange(TIME)) - (140 + 6 * np.arange(TIME))) > 45
    for side, truth in (("right", 500 - 6 * np.arange(TIME)), ("left", 140 + 6 * np.arange(TIME))):
        seen = found[side].is_detected & apart
        assert seen.sum() >= 0.9 * apart.sum()
        np.testing.assert_allclose(centre_x(found[side])[seen], truth[seen], atol=1e-9)


def test_two_hands_with_one_label_become_left_and_right():
    found = both(video(lambda t: sighting(t, 150, p=0.6), lambda t: sighting(t, 480, p=0.9)))
    np.testing.assert_allclose(centre_x(found["left"]), 150)
    np.testing.assert_allclose(centre_x(found["right"]), 480)


def test_short_ghost_and_off_size_ghost_are_dropped():
    frames = video(
        lambda t: sighting(t, 400, p=0.9),
        lambda t: sighting(t, 100, p=0.1) if t == 30 else None,
        lambda t: sighting(t, 60, 60, p=0.05, scale=0.1),
    )
    found = merged(frames, [[] for _ in frames])
    assert found["right"].is_detected.all()
    assert not found["left"].is_detected.any()
    # control: the same chains with all filters open
    loose = IdentityConfig(min_seen_s=1e-6, size_range=(1e-6, 10.0))
    assert merged(frames, frames, loose)["left"].is_detected.any()


def test_a_second_sure_right_hand_is_not_made_a_left_one_in_passing():
    frames = video(lambda t: sighting(t, 300, p=0.97), lambda t: sighting(t, 420, p=0.97) if 20 <= t < 26 else None)
    found = both(frames)
    assert found["right"].is_detected.all()
    assert not found["left"].is_detected.any()


def test_passes_fill_each_others_gaps_and_agree_elsewhere():
    forward = video(lambda t: sighting(t, 300) if t < 40 else None)
    backward = video(lambda t: sighting(t, 310) if t >= 20 else None)
    right = merged(forward, backward)["right"]
    assert right.is_detected.all()
    np.testing.assert_allclose(centre_x(right)[[0, 30, 59]], [300, 305, 310])


def test_fuse_counts_every_hand_once():
    a, b, far = sighting(0, 300), sighting(0, 306), sighting(0, 500, p=0.1)
    fused = fuse([a, far], [b], 0.5)
    assert [s.passes for s in fused] == [2, 1]
    assert len(fuse([a, b], [], 0.5)) == 1
    assert landmark_distance(a, far) > 0.5


def test_nothing_seen_gives_nothing_and_never_fails():
    found = both([[] for _ in range(5)])
    for hand in found.values():
        assert len(hand) == 5
        assert not hand.is_detected.any()
        assert np.isnan(hand.world_landmarks_m).all()


def test_time_reversal_changes_nothing():
    frames = video(lambda t: sighting(t, 200 + t, p=0.2), lambda t: sighting(t, 450 - t, p=0.9))
    forward = both(frames)
    turned = [
        [Sighting(TIME - 1 - s.frame, s.keypoints_px, s.world_landmarks_m, s.right_probability) for s in f]
        for f in frames[::-1]
    ]
    backward = both(turned)
    for side in ("left", "right"):
        np.testing.assert_allclose(backward[side].keypoints_px[::-1], forward[side].keypoints_px)


def test_mirrored_sightings_swap_sides():
    frames = video(lambda t: sighting(t, 200 + t, p=0.2), lambda t: sighting(t, 450 - t, p=0.9))
    flip = [
        [
            Sighting(s.frame, s.keypoints_px * [-1, 1] + [WIDTH, 0], s.world_landmarks_m, 1 - s.right_probability)
            for s in f
        ]
        for f in frames
    ]
    plain, mirrored = both(frames), both(flip)
    np.testing.assert_allclose(mirrored["left"].keypoints_px[..., 0], WIDTH - plain["right"].keypoints_px[..., 0])


def test_bad_config_is_refused():
    with pytest.raises(BadInput, match="size_range"):
        IdentityConfig(size_range=(0.5, 0.1))


def test_an_undecided_hand_takes_the_name_of_the_hand_that_was_there():
    """After a pause longer than a chain may have, the label alone would be wrong."""
    frames = video(lambda t: sighting(t, 320, p=0.9) if t < 30 else (sighting(t, 325, p=0.45) if t >= 45 else None))
    right = both(frames)["right"]
    assert right.is_detected[:30].all() and right.is_detected[45:].all()
    # control: without memory the second chain is called left
    forgetful = merged(frames, frames, IdentityConfig(continuity_log_odds=0.0))
    assert forgetful["left"].is_detected[45:].all()

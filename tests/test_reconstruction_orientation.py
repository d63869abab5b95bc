"""Upside-down videos and videos that are not the wearer's view are noticed; what can't be told is not claimed."""

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.orientation import OrientationConfig, judge_orientation

WIDTH, HEIGHT = 640, 480


def hands(count: int = 40, seed: int = 0) -> dict[str, HandDetections]:
    """Both hands of an egocentric video: wrists below, the left one on the left, directions scattered by 40 degrees."""
    rng = np.random.default_rng(seed)
    found = {}
    for side, x in (("left", 200.0), ("right", 440.0)):
        angle = rng.normal(0, np.deg2rad(40), count)
        up = np.stack([np.sin(angle), -np.cos(angle)], axis=1)
        along = np.linspace(0, 60, 21)[None, :, None]
        uv = np.array([x, 330.0]) + rng.normal(0, 15, (count, 1, 2)) + along * up[:, None]
        found[side] = HandDetections(side, uv, np.zeros((count, 21, 3)), np.full(count, 0.9), np.ones(count, bool))
    return found


def changed(found: dict, map_px, swap: bool = False, flip_looks: bool = False) -> dict[str, HandDetections]:
    """The same hands after the picture was changed; `swap`: names follow the looks, which a mirror turns around."""
    result = {}
    for side, hand in found.items():
        new = {"left": "right", "right": "left"}[side] if swap else side
        score = 1 - hand.score if flip_looks else hand.score
        result[new] = HandDetections(new, map_px(hand.keypoints_px), hand.world_landmarks_m, score, hand.is_detected)
    return result


def upside_down(uv: np.ndarray) -> np.ndarray:
    return np.array([WIDTH - 1, HEIGHT - 1]) - uv


def mirrored(uv: np.ndarray) -> np.ndarray:
    return np.array([WIDTH - 1, 0]) + uv * [-1, 1]


def test_an_upright_video_is_left_alone() -> None:
    verdict = judge_orientation(hands(), WIDTH)
    assert not verdict.reason and verdict.upward > 0.6 and verdict.wrong_sides == 0


def test_an_upside_down_video_is_noticed() -> None:
    verdict = judge_orientation(changed(hands(), upside_down), WIDTH)
    assert verdict.is_upside_down and "upside down" in verdict.reason and verdict.upward < -0.6


def test_a_view_of_the_person_from_the_front_is_noticed() -> None:
    # Seen from the front the right hand looks right and is on the left.
    verdict = judge_orientation(changed(hands(), lambda uv: uv + [0, 0], swap=True), WIDTH)
    assert verdict.has_wrong_sides and not verdict.is_upside_down and verdict.wrong_sides == 1


def test_names_given_by_place_do_not_hide_it() -> None:
    # A tracker that names hands by where they are: names fit the sides, looks contradict them.
    verdict = judge_orientation(changed(hands(), lambda uv: uv + [0, 0], flip_looks=True), WIDTH)
    assert verdict.has_wrong_sides


def test_a_mirrored_video_looks_like_a_left_handers_and_no_claim_is_made() -> None:
    """A mirror turns looks and sides around together: to hands alone nothing changed, and none is claimed."""
    plain, seen = judge_orientation(hands(), WIDTH), judge_orientation(changed(hands(), mirrored, swap=True), WIDTH)
    assert not seen.reason and not seen.can_judge_mirror
    assert seen.wrong_sides == plain.wrong_sides and seen.upward == pytest.approx(plain.upward)


def test_few_sightings_prove_nothing() -> None:
    verdict = judge_orientation(changed(hands(5), upside_down), WIDTH)
    assert not verdict.reason and np.isnan(verdict.upward) and np.isnan(verdict.wrong_sides)


def test_crossing_for_a_moment_is_allowed() -> None:
    crossed, found = changed(hands(), lambda uv: uv + [0, 0], swap=True), hands()
    mixed = {}
    for side in ("left", "right"):
        uv = found[side].keypoints_px.copy()
        uv[:20] = crossed[side].keypoints_px[:20]
        mixed[side] = HandDetections(
            side, uv, found[side].world_landmarks_m, found[side].score, found[side].is_detected
        )
    verdict = judge_orientation(mixed, WIDTH)
    assert verdict.wrong_sides == 0.5 and not verdict.reason


@pytest.mark.parametrize("wrong", [{"min_seen": 0}, {"upside_down": 0.5}, {"wrong_sides": 0.4}])
def test_impossible_thresholds_are_refused(wrong: dict) -> None:
    with pytest.raises(BadInput):
        OrientationConfig(**wrong)

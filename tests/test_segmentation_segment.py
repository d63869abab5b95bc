"""Atomic actions on tracks whose boundaries are known: scores, laws, filters and bookkeeping."""

import dataclasses

import numpy as np
import pytest
from segmentation_tracks import MadeTrack, Noise, actions, reconstruction_of, with_noise

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.evaluation.boundaries import BoundaryScore, inner_cuts, score_boundaries
from vitra_lib.segmentation import SegmentationConfig, WristPath, segment, segment_path

NOISE_FLOORS = {
    "truth": (Noise(), 0.95),
    "3 mm white": (Noise(white_m=0.003), 0.88),
    "8 mm white": (Noise(white_m=0.008), 0.72),
    "15 mm drift": (Noise(drift_m=0.015), 0.90),
    "15 % dropouts": (Noise(dropout=0.15), 0.87),
    "3 mm, 1 cm drift, 10 % dropouts": (Noise(white_m=0.003, drift_m=0.01, dropout=0.1), 0.82),
    "1 cm correlated over 0.15 s": (Noise(correlated_m=0.01), 0.62),
    "1 cm correlated over 0.3 s": (Noise(correlated_m=0.01, correlation_s=0.3, white_m=0.002), 0.82),
    "1 cm over 0.2 s, 2 mm, 10 % dropouts": (
        Noise(correlated_m=0.01, correlation_s=0.2, white_m=0.002, dropout=0.1),
        0.70,
    ),
}


DEFAULT = SegmentationConfig()
TRUTH = Noise()


def score(tracks, config=DEFAULT, noise=TRUTH, tolerance_s=5 / 30) -> BoundaryScore:
    """Counts over several tracks; the defaults were chosen on other seeds (0 to 7)."""
    total = BoundaryScore(0, 0, 0)
    for seed, track in enumerate(tracks):
        cuts = segment(reconstruction_of(with_noise(track, noise, 1000 + seed)), config).cuts["right"]
        cuts = inner_cuts(cuts, 0, len(track.time_s) - 1)
        total += score_boundaries(track.time_s[cuts], track.time_s[track.boundaries], tolerance_s + 1e-6)
    return total


@pytest.fixture(scope="module")
def tracks() -> list[MadeTrack]:
    return [actions(seed) for seed in range(200, 208)]


@pytest.mark.parametrize("level", NOISE_FLOORS)
def test_boundaries_are_found_under_noise(tracks, level):
    noise, floor = NOISE_FLOORS[level]
    found = score(tracks, noise=noise)
    assert found.f1 >= floor, f"{level}: F1 {found.f1:.3f}, precision {found.precision:.3f}, recall {found.recall:.3f}"


def test_controls_score_clearly_lower(tracks):
    """Fixed intervals, random cuts, and minima without smoothing or rests: each must be beaten by far."""
    ours = score(tracks).f1
    assert score(tracks, SegmentationConfig(rule="fixed-interval")).f1 < ours - 0.3
    rng = np.random.default_rng(0)
    random = BoundaryScore(0, 0, 0)
    for track in tracks:
        cuts = rng.integers(0, len(track.time_s), len(track.boundaries))
        random += score_boundaries(track.time_s[cuts], track.time_s[track.boundaries], 5 / 30)
    assert random.f1 < ours - 0.3
    noise = NOISE_FLOORS["3 mm white"][0]
    naive = SegmentationConfig(smoothing_s=0.02, rest_min_s=0.0, max_cut_ratio=1.0, min_pause_s=0.0)
    assert score(tracks, naive, noise).f1 < score(tracks, noise=noise).f1 - 0.2


@pytest.mark.parametrize("fps", [12, 24, 25, 50, 60, 120])
def test_any_frame_rate(fps):
    assert score([actions(seed, fps=fps) for seed in range(200, 204)]).f1 >= 0.93


def test_variable_frame_rate():
    made = []
    for seed in range(200, 206):
        rng = np.random.default_rng(seed)
        step = np.repeat(
            rng.permutation([1 / 60, 1 / 60, 1 / 30, 1 / 12]), [300, 300, 200, 150]
        )  # a phone in dim light
        made.append(actions(seed, time_s=np.cumsum(step * rng.uniform(0.8, 1.2, len(step)))))
    assert score(made).f1 >= 0.92
    blind = BoundaryScore(0, 0, 0)  # control: the same frames taken for a constant rate
    for track in made:
        constant = dataclasses.replace(track, time_s=np.arange(len(track.time_s)) / 30)
        cuts = inner_cuts(segment(reconstruction_of(constant)).cuts["right"], 0, len(track.time_s) - 1)
        blind += score_boundaries(track.time_s[cuts], track.time_s[track.boundaries], 5 / 30)
    assert blind.f1 < score(made).f1 - 0.05


def before_a_camera_at_rest(moving, track):
    """The same world path, seen by a camera at rest."""
    T = np.tile(np.eye(4), (len(moving), 1, 1))
    return dataclasses.replace(
        moving,
        camera=dataclasses.replace(moving.camera, T_world_cam=T),
        right=dataclasses.replace(moving.right, t_cam_wrist=track.position),
    )


def test_the_camera_does_not_matter(tracks):
    """The cuts live in the world: the same path before a camera at rest gives the same cuts."""
    plain = SegmentationConfig(depth_trust=1)
    moving = reconstruction_of(tracks[0])
    still = before_a_camera_at_rest(moving, tracks[0])
    np.testing.assert_array_equal(segment(moving, plain).cuts["right"], segment(still, plain).cuts["right"])
    in_camera = dataclasses.replace(moving, camera=still.camera)  # control: head motion taken for hand motion
    assert not np.array_equal(segment(in_camera, plain).cuts["right"], segment(still, plain).cuts["right"])


def test_errors_of_depth_cost_less_than_they_did(tracks):
    """What one camera gets wrong lies along its line of sight; there, speed counts less."""
    found = {0.3: BoundaryScore(0, 0, 0), 1: BoundaryScore(0, 0, 0)}
    for seed, track in enumerate(tracks[:5]):
        moving = reconstruction_of(track)
        T = moving.camera.T_world_cam
        sight = track.position - T[:, :3, 3]
        sight /= np.linalg.norm(sight, axis=1, keepdims=True)
        wrong = with_noise(track, Noise(correlated_m=0.03, correlation_s=0.15), seed).position - track.position
        position = track.position + (wrong * sight).sum(axis=1, keepdims=True) * sight
        seen = reconstruction_of(dataclasses.replace(track, position=position))
        for trust in found:
            cuts = segment(seen, SegmentationConfig(depth_trust=trust)).cuts["right"][1:-1]
            found[trust] += score_boundaries(cuts, track.boundaries, 5)
    assert found[0.3].f1 > 0.72
    assert found[1].f1 < found[0.3].f1 - 0.15, "control: trusting depth like the rest"


def test_hands_are_cut_independently(tracks):
    both = segment(reconstruction_of(tracks[0], "right", other=tracks[1]))
    for side, track in (("right", tracks[0]), ("left", tracks[1])):
        alone = segment(reconstruction_of(track, side))
        np.testing.assert_array_equal(both.cuts[side], alone.cuts[side])
        np.testing.assert_array_equal(both.speed[side], alone.speed[side])
        assert [s for s in both.segments if s.side == side] == list(alone.segments)
    starts = [(s.start, s.side) for s in both.segments]
    assert starts == sorted(starts)


def test_shifting_time_or_place_changes_nothing_and_running_twice_neither(tracks):
    base = segment(reconstruction_of(tracks[2]))
    again = segment(reconstruction_of(tracks[2]))
    assert base.segments == again.segments and base.rejections == again.rejections
    path = WristPath.of(reconstruction_of(tracks[2]), "right")
    later = dataclasses.replace(
        path, time_s=path.time_s + 123.0, position=path.position + [5.0, -3, 9], camera=path.camera + [5.0, -3, 9]
    )
    np.testing.assert_array_equal(segment_path(later).cuts["right"], base.cuts["right"])


@pytest.mark.parametrize("rule", ["speed-minima", "fixed-interval"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_every_frame_of_a_run_is_in_one_piece_and_every_drop_is_counted(tracks, rule, dropout):
    track = with_noise(tracks[3], Noise(white_m=0.003, dropout=dropout), 5)
    lost = np.array(track.is_valid)
    lost[300:360] = lost[600:604] = False
    lost[330] = True  # a lone frame in a long gap
    track = dataclasses.replace(track, is_valid=lost)
    result = segment(reconstruction_of(track), SegmentationConfig(rule=rule))
    owner = np.zeros(len(track.time_s), int)
    for piece in [*result.segments, *result.rejections]:
        assert 0 <= piece.start < piece.stop <= len(owner)
        owner[piece.start : piece.stop] += 1
    assert (owner[track.is_valid] == 1).all(), "each frame with a hand belongs to exactly one piece"
    assert owner.max() == 1
    assert (owner[304:326] == 0).all() or track.is_valid[304:326].any()
    assert any((r.start, r.stop, r.reason) == (330, 331, "too_short") for r in result.rejections)
    for r in result.rejections:
        assert r.stage == "segmentation" and r.reason in ("low_motion", "hand_lost", "too_short") and r.detail
    config = SegmentationConfig()
    for s in result.segments:
        seconds = track.time_s[min(s.stop, len(owner) - 1)] - track.time_s[s.start]
        assert s.rule == rule
        assert config.min_duration_s - 1e-6 <= seconds + 1 / 30 and seconds <= config.max_duration_s + 0.6
        assert s.valid_fraction == pytest.approx(track.is_valid[s.start : s.stop].mean())
        assert s.valid_fraction >= 0.5 and s.path_m > 0 and s.mean_speed > 0
    assert np.isnan(result.speed["right"][~track.is_valid]).all()
    assert np.isfinite(result.speed["right"][track.is_valid]).all()


def test_path_and_speed_of_straight_motion():
    time_s = np.arange(61) / 30
    position = np.outer(time_s, [0.3, 0.0, 0.4])
    made = reconstruction_of(MadeTrack(time_s, position, np.ones(61, bool), np.zeros(0, int)))
    (piece,) = segment(made).segments
    assert (piece.start, piece.stop) == (0, 61)
    assert piece.path_m == pytest.approx(1.0, rel=1e-6) and piece.mean_speed == pytest.approx(0.5, rel=1e-6)


def still_track(seconds: float, fps: float = 30.0) -> MadeTrack:
    count = round(seconds * fps)
    return MadeTrack(np.arange(count) / fps, np.full((count, 3), 0.3), np.ones(count, bool), np.zeros(0, int))


def test_a_hand_at_rest_is_one_low_motion_piece_however_long():
    for seconds in (0.5, 4.0, 30.0):
        result = segment(reconstruction_of(still_track(seconds)))
        assert result.segments == ()
        assert [r.reason for r in result.rejections] == ["low_motion"]
    moved = segment(reconstruction_of(still_track(4.0)), SegmentationConfig(min_path_m=0.0))
    assert len(moved.segments) == 1, "control: without the filter it would be kept"


def test_turning_on_the_spot_is_motion():
    track = still_track(2.0)
    turn = 1.2 * np.sin(np.pi * track.time_s / 2) ** 2  # out and back, as in pouring: start and end agree
    assert len(segment(reconstruction_of(track, turn_rad=turn)).segments) == 1
    assert len(segment(reconstruction_of(track, turn_rad=0.2 * turn)).segments) == 0


def test_a_hand_that_is_mostly_lost_is_dropped(tracks):
    is_valid = np.zeros(len(tracks[0].time_s), bool)
    is_valid[::3] = True
    result = segment(reconstruction_of(dataclasses.replace(tracks[0], is_valid=is_valid)))
    assert not result.segments and "hand_lost" in {r.reason for r in result.rejections}
    lenient = SegmentationConfig(min_valid_fraction=0.3)
    assert segment(reconstruction_of(dataclasses.replace(tracks[0], is_valid=is_valid)), lenient).segments


def test_long_gaps_end_pieces_and_short_ones_do_not():
    time_s = np.arange(120) / 30
    track = MadeTrack(time_s, np.outer(time_s, [0.3, 0, 0]), np.ones(120, bool), np.zeros(0, int))
    short, long = track.is_valid.copy(), track.is_valid.copy()
    short[50:60] = False
    long[50:75] = False
    result = segment(reconstruction_of(dataclasses.replace(track, is_valid=short)))
    assert [(s.start, s.stop) for s in result.segments] == [(0, 120)]
    result = segment(reconstruction_of(dataclasses.replace(track, is_valid=long)))
    assert [(s.start, s.stop) for s in result.segments] == [(0, 50), (75, 120)]
    np.testing.assert_array_equal(result.cuts["right"], [0, 49, 75, 119])


def test_no_hand_one_frame_two_frames():
    for count in (1, 2, 5):
        track = dataclasses.replace(still_track(count / 30), is_valid=np.zeros(count, bool))
        result = segment(reconstruction_of(track))
        assert result.segments == () and result.rejections == () and len(result.cuts["right"]) == 0
        seen = segment(reconstruction_of(still_track(count / 30)))
        assert seen.segments == () and [r.reason for r in seen.rejections] == ["too_short"]


def test_fixed_interval_cuts_each_second_of_the_true_clock():
    track = actions(1, 10.5)
    result = segment(reconstruction_of(track), SegmentationConfig(rule="fixed-interval"))
    np.testing.assert_array_equal(result.cuts["right"], [*range(0, 301, 30), 314])
    assert all(s.rule == "fixed-interval" for s in result.segments)
    short_tail = segment(reconstruction_of(actions(1, 10.2)), SegmentationConfig(rule="fixed-interval"))
    np.testing.assert_array_equal(short_tail.cuts["right"], [*range(0, 271, 30), 305])
    half = segment(reconstruction_of(track), SegmentationConfig(rule="fixed-interval", interval_s=0.5))
    assert len(half.cuts["right"]) == 22


def test_bad_configurations_are_refused():
    with pytest.raises(UnknownName, match="legal are speed-minima, fixed-interval"):
        SegmentationConfig(rule="minima")
    for wrong in (
        {"window_s": 0.0}, {"window_s": -1.0}, {"smoothing_s": 0.0}, {"interval_s": 0.0}, {"min_path_m": float("nan")},
        {"max_cut_ratio": 1.1}, {"min_pause_s": -0.1}, {"min_valid_fraction": 2.0}, {"max_duration_s": 0.5},
        {"rest_speed": 0.2}, {"max_duration_s": float("inf")}, {"depth_trust": 1.5}, {"repeat_shape": -1.0},
    ):  # fmt: skip
        with pytest.raises(BadInput, match="legal"):
            SegmentationConfig(**wrong)


def test_times_that_do_not_increase_are_refused(tracks):
    made = reconstruction_of(tracks[0])
    time_s = made.time_s.copy()
    time_s[50] = time_s[49]
    with pytest.raises(BadInput, match="do not increase"):
        segment(dataclasses.replace(made, time_s=time_s))

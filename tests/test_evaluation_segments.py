"""Scores of actions and of rules: closed forms, an oracle, intervals, noise, and labelled real recordings."""

import dataclasses
import json

import numpy as np
import pytest
from segmentation_tracks import actions

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput
from vitra_lib.core.paths import sample_folder
from vitra_lib.evaluation import segmentation_rules as rules
from vitra_lib.evaluation.boundaries import BoundaryScore
from vitra_lib.evaluation.segmentation_run import (
    Recording,
    figures_of,
    paired_difference,
    recorded_table,
    score_rules,
    table_of,
)
from vitra_lib.evaluation.segmentation_sources import (
    episode_recording,
    icsc_recordings,
    ssv2_recordings,
    world_recordings,
)
from vitra_lib.evaluation.segments import SegmentScore, bootstrap_interval, score_segments, temporal_iou
from vitra_lib.segmentation import WristPath
from vitra_lib.tabletop.clip import TabletopClip

TOLERANCE_S = 5 / 30


def intervals(*pairs) -> np.ndarray:
    return np.array(pairs, float).reshape(-1, 2)


def test_temporal_iou():
    iou = temporal_iou(intervals((0, 10), (5, 15), (20, 20)), intervals((0, 10), (10, 20)))
    np.testing.assert_allclose(iou, [[1, 0], [5 / 15, 5 / 15], [0, 0]])


def test_average_precision_of_known_cases():
    true = intervals((0, 10), (10, 20), (20, 30))
    assert score_segments(true, true).average_precision == (1.0,) * 7
    halves = intervals(*[(a, a + 5) for a in range(0, 30, 5)])  # everything cut once too often: IoU 0.5 each
    score = score_segments(halves, true)
    assert score.matched == (3, 3, 3, 3, 3, 0, 0)
    assert score.average_precision[0] == pytest.approx(0.5 * 1.0) and score.average_precision[6] == 0.0
    assert score.over_segmentation == 2.0
    whole = score_segments(intervals((0, 30)), true)
    assert whole.matched == (1, 1, 1, 0, 0, 0, 0) and whole.average_precision[0] == pytest.approx(1.0 / 3)
    shifted = score_segments(true + 5, true)
    assert shifted.average_precision[2] == pytest.approx(1.0) and shifted.average_precision[3] == 0.0
    nothing = score_segments(intervals(), true)
    assert nothing.mean_average_precision == 0.0
    assert np.isnan(score_segments(true, intervals()).mean_average_precision), "nothing to find is no zero"
    with pytest.raises(BadInput, match="ends before it starts"):
        score_segments(intervals((3, 2)), true)


@pytest.mark.parametrize("seed", range(10))
def test_actions_match_one_to_one(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.sort(rng.uniform(0, 20, 2 * n)).reshape(-1, 2) for n in (6, 5))
    score = score_segments(a, b)
    assert all(m <= 5 for m in score.matched) and list(score.matched) == sorted(score.matched, reverse=True)
    iou = temporal_iou(a, b)
    assert score.matched[5] == (iou >= 0.6).sum(), "above one half a partner is unique"


def test_interval_of_pooled_scores():
    parts = [BoundaryScore(9, 10, 10), BoundaryScore(5, 10, 10)] * 10
    low, high = bootstrap_interval(parts, lambda s: s.f1)
    assert low < 0.7 < high and high - low < 0.25
    few = bootstrap_interval(parts[:4], lambda s: s.f1)
    assert few[1] - few[0] > high - low, "fewer recordings, wider interval"
    assert bootstrap_interval(parts, lambda s: s.f1) == (low, high), "the same seed gives the same interval"
    assert bootstrap_interval(parts[:1], lambda s: s.f1) is None
    assert bootstrap_interval([SegmentScore.nothing()] * 3, lambda s: s.over_segmentation) is None
    same = bootstrap_interval([SegmentScore((3,) * 7, 4, 4)] * 3, lambda s: s.average_precision[0])
    assert same == pytest.approx((0.5625, 0.5625))


@pytest.fixture(scope="module")
def made() -> list[Recording]:
    recordings = []
    for seed in range(300, 304):
        track = actions(seed, 20.0)
        path = WristPath(track.time_s, track.position, track.is_valid)
        ends = np.concatenate([[0.0], track.time_s[track.boundaries], track.time_s[-1:]])
        whole = np.stack([ends[:-1], ends[1:]], axis=1)
        recordings.append(Recording(str(seed), path, track.time_s[track.boundaries], whole, track.is_valid))
    return recordings


def test_ours_beats_the_baselines_on_known_actions(made):
    scores = score_rules(made, (TOLERANCE_S,))
    f1 = {row[0]: row[3] for row in table_of(scores, TOLERANCE_S)}
    over = {row[0]: row[4] for row in table_of(scores, TOLERANCE_S)}
    assert f1[rules.OURS] > 0.95
    assert f1[rules.FIXED] < f1[rules.OURS] - 0.3 and f1[rules.RANDOM] < f1[rules.OURS] - 0.3
    assert over[rules.LETTER] > 1.1 and over[rules.OURS] == pytest.approx(1.0, abs=0.06)
    difference = paired_difference(scores, rules.OURS, rules.FIXED, TOLERANCE_S, "made")
    assert difference.value == pytest.approx(f1[rules.OURS] - f1[rules.FIXED])
    assert 0.3 < difference.ci95[0] < difference.value < difference.ci95[1]
    figures = {figure.name: figure for figure in figures_of("made", scores)}
    f1_figure = figures[f"made / {rules.OURS} / F1 at 0.167 s"]
    assert f1_figure.ci95[0] <= f1_figure.value <= f1_figure.ci95[1]
    assert figures[f"made / {rules.OURS} / mAP at IoU 0.1-0.7"].value > 0.6


def test_hands_of_one_clip_are_resampled_together(made):
    one = [dataclasses.replace(recording, group="one clip") for recording in made]
    (row,) = score_rules(one, (TOLERANCE_S,), (rules.OURS,))
    assert len(row.boundaries[TOLERANCE_S]) == 1
    assert row.pooled(TOLERANCE_S) == score_rules(made, (TOLERANCE_S,), (rules.OURS,))[0].pooled(TOLERANCE_S)
    with pytest.raises(BadInput, match="no recording"):
        score_rules([], (TOLERANCE_S,))


def test_what_is_out_of_view_is_nobodys_to_find(made):
    recording = made[0]
    in_view = recording.path.time_s < 10.0
    (row,) = score_rules([dataclasses.replace(recording, in_view=in_view)], (TOLERANCE_S,), (rules.OURS,))
    expected = (recording.boundary_s < 10.0 - TOLERANCE_S - 1 / 30).sum()
    assert abs(row.pooled(TOLERANCE_S).true - expected) <= 1 < len(recording.boundary_s) - expected


def test_noise_is_as_large_as_asked_for(made):
    path = made[0].path
    rng = np.random.default_rng(0)
    noisy = rules.with_noise(path, rules.TrackNoise(white_m=0.003, drift_m=0.02, lost=0.2), rng)
    error = noisy.position - path.position
    assert np.std(np.diff(error, axis=0)) == pytest.approx(0.003 * np.sqrt(2), rel=0.15)
    assert error.std() == pytest.approx(0.02, rel=0.2)
    assert 0.1 < 1 - noisy.is_valid.mean() < 0.3
    untouched = rules.with_noise(path, rules.TrackNoise(), rng)
    np.testing.assert_array_equal(untouched.position, path.position)
    assert untouched.is_valid.all()


def test_true_tracks_of_the_world():
    recordings = list(world_recordings(TabletopClip.load(sample_folder())))
    assert len(recordings) == 2 and len({r.group for r in recordings}) == 1, "two hands of one clip"
    assert all(len(r.action_s) for r in recordings)
    f1 = {row[0]: row[3] for row in table_of(score_rules(recordings, (TOLERANCE_S,)), TOLERANCE_S)}
    assert f1[rules.OURS] >= 0.9 and f1[rules.FIXED] < f1[rules.OURS] - 0.3


def test_labelled_demonstrations(shared_data):
    tasks = icsc_recordings(shared_data / "icsc_segmented_demos")
    assert {name: len(found) for name, found in tasks.items()} == {"grating": 12, "wiping": 4, "peeling": 2}
    assert len({r.group for r in tasks["grating"]}) == 3
    found = {row[0]: row for row in table_of(score_rules([r for t in tasks.values() for r in t], (0.5,)), 0.5)}
    ours, naive = found[rules.TURNING], found[rules.NAIVE]
    assert ours[2] >= 0.8 and naive[2] >= 0.8, "recall"
    assert naive[1] < 0.1 and ours[1] > 2.5 * naive[1], "precision"
    with pytest.raises(BadInput, match="can't be read"):
        icsc_recordings(shared_data)


def test_phases_of_videos_with_boxes_only(shared_data):
    recordings = ssv2_recordings(shared_data / "ssv2_phase_labels")
    assert len(recordings) > 40 and all(0 < len(r.boundary_s) <= 2 for r in recordings)
    f1 = {row[0]: row[3] for row in table_of(score_rules(recordings, (1 / 3,)), 1 / 3)}
    assert f1[rules.OURS] > f1[rules.FIXED] + 0.05 and f1[rules.OURS] > f1[rules.RANDOM] + 0.05
    with pytest.raises(BadInput, match="phase labels"):
        ssv2_recordings(shared_data)


def test_an_official_episode_is_one_action(shared_data):
    folder = shared_data / "vitra_ego4d_episode"
    recording = episode_recording(next(folder.glob("*.npy")), 30.0)
    assert len(recording.path.time_s) == 25
    cuts = {s.rule: s.pooled(TOLERANCE_S).predicted for s in score_rules([recording], (TOLERANCE_S,))}
    assert cuts[rules.OURS] == 0 and cuts[rules.LETTER] > 0, "control: the rule to the letter cuts inside"


def test_the_command_writes_records(tmp_path, capsys):
    arguments = ["evaluate", "segmentation", "--clips", "1", "--seed", "60000", "--records", str(tmp_path)]
    assert main([*arguments, "--noise", "truth"]) == 0
    shown = capsys.readouterr().out
    assert rules.OURS in shown and "world, truth" in shown
    record = json.loads((tmp_path / "segmentation.world.json").read_text())
    names = [value["name"] for value in record["values"]]
    assert f"truth / {rules.OURS} / F1 at 0.167 s" in names and len(names) == len(set(names))
    rows = recorded_table(tmp_path / "segmentation.world.json", "truth", TOLERANCE_S)
    assert [row[0] for row in rows] == list(rules.COMPARED) and rows[0][1] > rows[5][1]
    for label, tolerance_s in (("silence", TOLERANCE_S), ("truth", 1.0)):
        with pytest.raises(BadInput, match="has no F1"):
            recorded_table(tmp_path / "segmentation.world.json", label, tolerance_s)
    with pytest.raises(BadInput, match="make it with"):
        recorded_table(tmp_path / "nothing.json", "truth", TOLERANCE_S)
    assert main([*arguments, "--noise", "loud"]) == 2
    assert main(["evaluate", "segmentation", "--clips", "0"]) == 2
    assert main(["evaluate", "segmentation", "--clips", "0", "--clips-dir", str(tmp_path)]) == 2
    assert "holds no rendered clips" in capsys.readouterr().err

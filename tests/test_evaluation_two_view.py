"""Pose AUC against its definition, pose errors against known ones, and the measurement on real pairs."""

from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.two_view import measure_pair, pose_auc, pose_errors_deg, read_pairs
from vitra_lib.geometry.rotations import exp


def test_auc_is_the_area_under_the_recall_curve() -> None:
    assert pose_auc(np.zeros(4), 5.0) == 1.0 and pose_auc(np.full(4, 180.0), 5.0) == 0.0
    errors = np.array([1.0, 3.0, 100.0, 7.0])
    grid = np.linspace(0, 5, 500_001)
    knots = np.concatenate([[0.0], np.sort(errors)])
    recall = np.interp(np.minimum(grid, 3.0), knots, np.arange(5) / 4)  # flat after the last error below 5
    assert pose_auc(errors, 5.0) == pytest.approx(np.trapezoid(recall, grid) / 5, abs=1e-5)
    assert pose_auc(errors + 1.0, 5.0) < pose_auc(errors, 5.0) - 0.05, "control: larger errors, smaller area"


def test_pose_errors() -> None:
    T = np.eye(4)
    T[:3, 3] = [1, 0, 0]
    R = exp(np.array([[0.0, 0.0, np.deg2rad(3.0)]]))[0]
    t = np.array([np.cos(np.deg2rad(7)), np.sin(np.deg2rad(7)), 0.0])
    assert pose_errors_deg(T, R, -2 * t) == pytest.approx((3.0, 7.0))


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no"):
        read_pairs(tmp_path)
    (tmp_path / "scannet_sample_pairs_with_gt.txt").write_text("a.jpg b.jpg 0 0 1 2 3\n")
    with pytest.raises(BadInput, match="line 1"):
        read_pairs(tmp_path)


def test_a_real_pair(shared_data: Path) -> None:
    pairs = read_pairs(shared_data / "scannet_pairs_gt")
    assert len(pairs) == 15
    result = measure_pair(pairs[12])
    assert result.match_count > 30 and result.true_count > 15
    assert result.floor_deg < 25, "true matches give a pose; a random one is off by about 90 degrees"

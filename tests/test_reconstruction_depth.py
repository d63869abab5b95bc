"""The metre from depth: metric depth against scene points, maps against maps, hands in maps; depth networks offline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.contracts import CameraTrack, HandTrack
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import invert
from vitra_lib.reconstruction.backends.given import DepthMaps
from vitra_lib.reconstruction.backends.monocular import depth_anything, depth_pro
from vitra_lib.reconstruction.camera import CameraEstimate, scale_from_hands
from vitra_lib.reconstruction.camera.scale_depth import (
    sample,
    scale_from_hands_in_maps,
    scale_from_maps,
    scale_from_points,
)

K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
METRE = 0.6
"""Metres per unit of the path."""


def scene(count: int = 20) -> tuple[CameraEstimate, dict[int, np.ndarray]]:
    """A camera that slides before a slanted wall, in a unit of 0.6 m, and the wall's metric depth."""
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, 0, 3] = np.linspace(0, 0.3, count)
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.uniform(-0.4, 0.4, (300, 2)), np.zeros((300, 1))], axis=1)
    X[:, 2] = 1.2 + 0.3 * X[:, 0]
    frames, points, pixels = [], [], []
    for t in range(count):
        uv = project(K, X @ invert(T)[t, :3, :3].T + invert(T)[t, :3, 3])
        seen = np.flatnonzero((uv > 0).all(1) & (uv < [319, 239]).all(1))
        frames.append(np.full(len(seen), t))
        points.append(seen)
        pixels.append(uv[seen])
    track = CameraTrack(
        K_px=K, width_px=320, height_px=240, T_world_cam=T, is_valid=np.ones(count, bool), is_static=False,
        intrinsics_source="given", scale_source="none", scale_rel_std=float("nan"), method="test",
    )  # fmt: skip
    estimate = CameraEstimate(
        track, X, np.zeros(300), np.full(count, 300), np.concatenate(frames), np.concatenate(points),
        np.concatenate(pixels), 0.0, "",
    )  # fmt: skip
    columns, _ = np.meshgrid(np.arange(160), np.arange(120))
    ray = (2 * columns + 0.5 - 160) / 300
    depths = {t: METRE * (1.2 + 0.3 * T[t, 0, 3]) / (1 - 0.3 * ray) for t in (0, 9, 19)}
    return estimate, depths


def test_metric_depth_scales_scene_points() -> None:
    estimate, depths = scene()
    scale, std = scale_from_points(estimate, depths)
    assert scale == pytest.approx(METRE, rel=0.01) and 0.09 < std < 0.15
    doubled = {t: 2 * depth for t, depth in depths.items()}
    assert scale_from_points(estimate, doubled)[0] == pytest.approx(2 * METRE, rel=0.01), (
        "control: it follows the depth"
    )
    assert np.isnan(scale_from_points(estimate, {})[0])
    blind = {t: np.full_like(depth, np.nan) for t, depth in depths.items()}
    assert np.isnan(scale_from_points(estimate, blind)[0])


def test_depth_is_weighed_against_the_prior() -> None:
    estimate, depths = scene()
    none = {side: np.full((20, 21, 3), np.nan) for side in ("left", "right")}
    never = {side: np.zeros(20, bool) for side in ("left", "right")}
    times = np.arange(20) / 30
    alone = scale_from_hands(estimate, none, never, times)
    with_depth = scale_from_hands(estimate, none, never, times, depth=scale_from_points(estimate, depths))
    assert alone.source == "prior" and with_depth.source == "depth"
    assert abs(np.log(with_depth.scale / METRE)) < 0.03 and with_depth.rel_std < 0.5 * alone.rel_std


def test_maps_against_maps() -> None:
    _, depths = scene()
    maps = DepthMaps(np.array([0, 5, 9]), np.float32([depths[0] / METRE, depths[0], depths[9] / METRE]), False)
    assert scale_from_maps(maps, depths)[0] == pytest.approx(METRE, rel=1e-3)
    assert np.isnan(scale_from_maps(replace(maps, frame=np.array([1, 5, 8])), depths)[0]), "no frame in common"


def hand(distance_m: float) -> HandTrack:
    track = HandTrack.absent("right", 20)
    rng = np.random.default_rng(1)
    joints = np.concatenate([rng.uniform(-0.05, 0.05, (21, 2)), np.full((21, 1), distance_m)], axis=1)
    track.joints_cam[:] = joints
    track.is_valid[:], track.is_observed[:], track.confidence[:] = True, True, 1.0
    return track


def test_hands_in_maps() -> None:
    shown = np.full((20, 120, 160), (0.5 - 0.008) / METRE, np.float32)
    maps = DepthMaps(np.arange(20), shown, False)
    scale, std = scale_from_hands_in_maps(maps, {"right": hand(0.5)}, K, (320, 240))
    assert scale == pytest.approx(METRE, rel=1e-3) and 0.09 < std < 0.12
    assert scale_from_hands_in_maps(maps, {"right": hand(1.0)}, K, (320, 240))[0] > 1.9 * METRE, "control"
    assert np.isnan(scale_from_hands_in_maps(maps, {"right": HandTrack.absent("right", 20)}, K, (320, 240))[0])


def test_sampling_a_smaller_map() -> None:
    depth = np.arange(12.0).reshape(3, 4)
    uv = np.array([[0.5, 0.5], [7.4, 5.4], [3.0, 2.0], [-2.0, 0.0], [np.nan, 1.0], [8.0, 0.0]])
    np.testing.assert_array_equal(sample(depth, uv, 8, 6), [0.0, 11.0, 5.0, np.nan, np.nan, np.nan])


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random networks of both kinds on disk."""
    import torch
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        DepthProConfig,
        DepthProForDepthEstimation,
        Dinov2Config,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks")
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    for kind in ("metric", "relative"):
        config = DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=16, patch_size=14, neck_hidden_sizes=[8, 8],
            reassemble_factors=[2, 1], fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type=kind,
            max_depth=20 if kind == "metric" else None,
        )  # fmt: skip
        DepthAnythingForDepthEstimation(config).save_pretrained(folder / f"anything-{kind}")
    part = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 16,
        "patch_size": 8, "model_type": "dinov2", "use_mask_token": False,
    }  # fmt: skip
    config = DepthProConfig(
        patch_size=16, patch_embeddings_size=8, fusion_hidden_size=8, intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8], scaled_images_ratios=[0.5, 1.0], scaled_images_overlap_ratios=[0.0, 0.25],
        scaled_images_feature_dims=[8, 8], image_model_config=part, patch_model_config=part, fov_model_config=part,
        use_fov_model=True, num_fov_head_layers=1,
    )  # fmt: skip
    DepthProForDepthEstimation(config).save_pretrained(folder / "pro")
    return folder


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)


def test_depth_anything_offline(networks: Path, info) -> None:
    network = depth_anything(networks / "anything-metric", info)
    depth = network.at(3, picture())
    assert network.frames is None and depth is not None and depth.dtype == np.float32
    assert depth.shape[1] > depth.shape[0] and np.nanmax(depth) <= 20
    assert np.array_equal(depth, network.at(3, picture())), "the same picture gives the same depth"
    with pytest.raises(BadInput, match="no metres"):
        depth_anything(networks / "anything-relative", info)


def test_depth_pro_offline(networks: Path, info) -> None:
    network = depth_pro(networks / "pro", info)
    depth, hfov = network.predict(picture())
    assert depth.ndim == 2 and hfov is not None and np.isfinite(hfov) and (depth[np.isfinite(depth)] > 0).all()
    with pytest.raises(BadInput, match="depth_anything"):
        depth_pro(networks / "anything-metric", info)
    (networks / "pro" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(BadInput, match="isn't a whole model"):
        depth_pro(networks / "pro", info)


@pytest.fixture
def info():
    from backend_files import info as facts

    return facts()

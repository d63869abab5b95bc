"""A camera path from another tool in metres: as the tool says, or by depth maps, hands, or a metric depth."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import CameraTrack, HandTrack, Rejection
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import RefusedClip
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.reconstruction.backends.given import GivenCamera
from vitra_lib.reconstruction.camera import CameraEstimate
from vitra_lib.reconstruction.camera.scale import combined_scale, scale_from_motion
from vitra_lib.reconstruction.camera.scale_depth import Scale, scale_from_hands_in_maps, scale_from_maps

_SILENT: Scale = (float("nan"), float("nan"))
_STILL = 1e-6


def metric_given_camera(
    given: GivenCamera,
    lens: Pinhole,
    hands: Mapping[Side, HandTrack],
    times_s: Float[np.ndarray, " time"],
    depths: Mapping[int, Float[np.ndarray, "rows columns"]],
) -> tuple[CameraTrack, tuple[Rejection, ...]]:
    """The path of a tool in metres.

    A tool that claims metres is believed. Else three cues are combined: metric depth against the tool's depth maps, the
    hands against what those maps show of them, and the motion of head and hands.

    Args:
        given: what the tool wrote.
        lens: intrinsics of the frames that the hands were placed with.
        hands: metric tracks of all frames.
        times_s: times of the frames [s].
        depths: metric depth of some frames [m].

    Returns:
        The path of every frame, and one rejection per run of frames without a pose.

    Raises:
        RefusedClip: the path moves and nothing tells its metre.
    """
    track = given.track(len(times_s), lens)
    moves = float(np.abs(track.T_world_cam[:, :3, 3]).max()) > _STILL
    if moves and not given.is_metric:
        by_depth = by_hands = _SILENT
        if given.depth is not None:
            by_depth = scale_from_maps(given.depth, depths)
            by_hands = scale_from_hands_in_maps(given.depth, hands, lens.K_px, (lens.width_px, lens.height_px))
        told = combined_scale([by_depth, by_hands])
        scale, std = told if told[0] > 0 else _from_motion(track, hands, times_s)
        if not scale > 0:
            raise RefusedClip(
                f"The path of {given.tool} has no metre, and neither hands nor depth tell it: give --depth, or a tool "
                "whose path is metric."
            )
        T = track.T_world_cam.copy()
        T[:, :3, 3] *= scale
        source = "+".join(
            name for name, tells in (("hands", not told[0] > 0 or by_hands[0] > 0), ("depth", by_depth[0] > 0)) if tells
        )
        track = replace(track, T_world_cam=T, scale_source=source, scale_rel_std=std)
    return track, _lost(track, given.tool)


def _from_motion(track: CameraTrack, hands: Mapping[Side, HandTrack], times_s: np.ndarray) -> Scale:
    """The scale that takes most of the head's motion out of the hands'; the search starts where both are as long."""
    none = np.zeros(0, int)
    estimate = CameraEstimate(
        track, np.zeros((0, 3)), np.zeros(0), np.zeros(len(track), int), none, none, np.zeros((0, 2)), float("nan"), ""
    )
    joints = {side: hand.joints_cam for side, hand in hands.items()}
    valid = {side: hand.is_valid for side, hand in hands.items()}
    head = float(np.linalg.norm(np.diff(track.T_world_cam[:, :3, 3], axis=0), axis=1).sum())
    seen = [np.linalg.norm(np.diff(h.t_cam_wrist[h.is_valid], axis=0), axis=1).sum() for h in hands.values()]
    wrist = float(max(seen, default=0.0))
    return scale_from_motion(estimate, joints, valid, times_s, wrist / head) if wrist > 0 else _SILENT


def _lost(track: CameraTrack, tool: str) -> tuple[Rejection, ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], track.is_valid, [True]]).astype(int))).tolist()
    detail = f"{tool} gives no pose for these frames."
    return tuple(
        Rejection("reconstruction", f"camera, frames [{start}, {stop})", "camera_lost", detail, start, stop)
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )

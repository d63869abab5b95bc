"""Estimates beside the truth, or beside another estimate: hands from the side, paths from above, a replayed track."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.geometry.alignment import Similarity, umeyama
from vitra_lib.hands.skeleton import BONES
from vitra_lib.plotting.style import COLOURS, colour_of, new_axes, new_figure, styled


def plot_hands_side_on(
    joints_cam: Mapping[str, Float[np.ndarray, "21 3"]], colours: Mapping[str, str], ax: Axes | None = None
) -> Axes:
    """Skeletons of one hand seen from the side: distance from the camera to the right, up upwards, in metres.

    Args:
        joints_cam: name -> joints in the camera [m]; one with NaN is left out.
        colours: name -> name of a fixed colour.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(6.0, 3.2)
    for name, joints in joints_cam.items():
        if not np.isfinite(joints).all():
            continue
        colour = colour_of(colours[name])
        for parent, child in BONES:
            bone = joints[[parent, child]]
            ax.plot(bone[:, 2], -bone[:, 1], color=colour, linewidth=1.8, solid_capstyle="round")
        ax.plot(joints[:1, 2], -joints[:1, 1], "o", color=colour, markersize=6, label=f"{name} (dot = wrist)")
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("distance from the camera z [m]")
    ax.set_ylabel("up −y [m]")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_against_truth(estimate: Reconstruction, truth: Reconstruction | None) -> Figure:
    """Camera path (left) and wrist paths (right) from above; the truth, where there is one, in black.

    The estimate's camera path is brought onto the true one by the best similarity, so that the left picture shows
    its shape; the wrists on the right are as they are, both worlds starting at the first camera.

    Args:
        estimate: what was reconstructed.
        truth: what is true, same frames; None draws the estimate alone.
    """
    figure = new_figure(9.0, 3.6)
    with styled():
        left, right = figure.subplots(1, 2)
    centres = estimate.camera.T_world_cam[:, :3, 3]
    known = estimate.camera.is_valid
    if truth is not None:
        true_centres = truth.camera.T_world_cam[:, :3, 3]
        to_truth = umeyama(true_centres[known], centres[known])
        _from_above(left, true_centres, "truth", "camera, truth")
    else:
        to_truth = Similarity(1.0, np.eye(3), np.zeros(3))
    _from_above(left, np.where(known[:, None], to_truth.apply(centres), np.nan), "ours", "camera, estimated")
    for side in SIDES:
        if truth is not None and truth.hand(side).is_valid.any():
            name = "wrists, truth" if side == "left" or not truth.left.is_valid.any() else None
            _from_above(right, _known_wrist(truth, side), "truth", name, width=0.9)
        if estimate.hand(side).is_valid.any():
            _from_above(right, _known_wrist(estimate, side), side, f"{side} wrist, estimated")
    for ax in (left, right):
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xlabel("right x [m]")
        ax.set_ylabel("forward z [m]")
        ax.legend(loc="best", fontsize=7)
    return figure


def plot_replay(
    t_cam_wrist: Float[np.ndarray, "time 3"],
    replayed: Float[np.ndarray, "points 3"],
    is_known: Bool[np.ndarray, " time"] | None = None,
) -> Figure:
    """A wrist track and its replay from state and actions, per axis of the anchor camera.

    Args:
        t_cam_wrist: (time, 3) the track in the camera of the anchor frame [m]; row 0 is the anchor.
        replayed: (points, 3) start and every step after it, in the same camera [m].
        is_known: which rows of the track may be shown; None = all.
    """
    figure = new_figure(9.0, 2.4)
    with styled():
        panels = figure.subplots(1, 3)
    shown = t_cam_wrist if is_known is None else np.where(is_known[:, None], t_cam_wrist, np.nan)
    for axis, (ax, name) in enumerate(zip(panels, ("right x", "down y", "forward z"), strict=True)):
        ax.plot(shown[:, axis], color=colour_of("truth"), linewidth=1.2, label="stored track")
        ax.plot(replayed[:, axis], "o", color=colour_of("ours"), markersize=4, fillstyle="none", label="replayed")
        ax.set_xlabel("frames after the anchor")
        ax.set_ylabel(f"{name} [m]")
    panels[0].legend(loc="best")
    return figure


def plot_chunk_masks(masks: Mapping[str, Bool[np.ndarray, "length hand"]]) -> Figure:
    """Which steps of an action chunk count, per hand: dark = valid, pale = masked.

    Args:
        masks: title -> (length, 2) mask, hands (left, right).
    """
    figure = new_figure(9.0, 1.5)
    with styled():
        panels = figure.subplots(1, len(masks), squeeze=False)[0]
    for ax, (title, mask) in zip(panels, masks.items(), strict=True):
        ax.set_title(title, fontsize=8)
        for row, side in enumerate(SIDES):
            for step, is_valid in enumerate(mask[:, row]):
                ax.broken_barh(
                    [(step, 0.9)], (row - 0.4, 0.8), facecolor=COLOURS[side], alpha=1.0 if is_valid else 0.12
                )
        ax.set_yticks(range(len(SIDES)), SIDES)
        ax.set_ylim(len(SIDES) - 0.4, -0.6)
        ax.set_xlabel("step of the chunk")
        ax.grid(visible=False)
    return figure


def _known_wrist(reconstruction: Reconstruction, side: str) -> Float[np.ndarray, "time 3"]:
    known = reconstruction.hand(side).is_valid & reconstruction.camera.is_valid
    return np.where(known[:, None], reconstruction.t_world_wrist(side), np.nan)


def _from_above(ax: Axes, points: np.ndarray, colour: str, label: str | None, width: float = 1.5) -> None:
    """A path seen from above, with a dot at its first known point."""
    ax.plot(points[:, 0], points[:, 2], color=colour_of(colour), linewidth=width, label=label)
    first = np.flatnonzero(np.isfinite(points[:, 0]))[:1]
    ax.plot(points[first, 0], points[first, 2], "o", color=colour_of(colour), markersize=5)

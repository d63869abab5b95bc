"""Where camera and wrists went, in 3-D and from above, in the axes of the first camera (x right, y down, z forward)."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.plotting.style import colour_of, new_axes


def plot_paths_3d(reconstruction: Reconstruction, ax: Axes | None = None) -> Axes:
    """Camera path with viewing directions and both wrist paths, in metres, equal axes.

    Args:
        reconstruction: camera and hands.
        ax: axes with projection "3d"; None makes some.
    """
    ax = ax or new_axes(6.0, 5.0, projection="3d")
    camera = reconstruction.camera
    centre = _where(camera.T_world_cam[:, :3, 3], camera.is_valid)
    shown = [centre]
    ax.plot(*_upright(centre), color=colour_of("camera"), linewidth=1.5, label="camera")
    views = np.flatnonzero(camera.is_valid)[:: max(camera.is_valid.sum() // 8, 1)]
    forward = camera.T_world_cam[views, :3, 2]
    ax.quiver(*_upright(centre[views]), *_upright(forward), length=0.06, color=colour_of("camera"), linewidth=0.8)
    for side in SIDES:
        hand = reconstruction.hand(side)
        if hand.is_valid.any():
            wrist = _where(reconstruction.t_world_wrist(side), hand.is_valid)
            ax.plot(*_upright(wrist), color=colour_of(side), linewidth=1.5, label=f"{side} wrist")
            first = wrist[np.flatnonzero(hand.is_valid)[:1]]
            ax.scatter(*_upright(first), color=colour_of(side), s=25, depthshade=False)
            shown.append(wrist)
    _equal_box(ax, np.concatenate(shown))
    ax.set_xlabel("right x [m]")
    ax.set_ylabel("forward z [m]")
    ax.set_zlabel("up −y [m]")
    ax.locator_params(nbins=5)
    ax.legend(loc="upper left")
    return ax


def plot_paths_top(reconstruction: Reconstruction, ax: Axes | None = None) -> Axes:
    """Camera and wrist paths seen from above; dots mark the first frame, gaps in a line are unknown frames."""
    ax = ax or new_axes(4.5, 4.0)
    camera = reconstruction.camera
    paths = {"camera": _where(camera.T_world_cam[:, :3, 3], camera.is_valid)}
    for side in SIDES:
        paths[side] = _where(reconstruction.t_world_wrist(side), reconstruction.hand(side).is_valid)
    for name, path in paths.items():
        known = np.flatnonzero(np.isfinite(path[:, 0]))
        if len(known):
            label = name if name == "camera" else f"{name} wrist"
            ax.plot(path[:, 0], path[:, 2], color=colour_of(name), linewidth=1.5, label=label)
            ax.plot(path[known[:1], 0], path[known[:1], 2], "o", color=colour_of(name), markersize=5)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("right x [m]")
    ax.set_ylabel("forward z [m]")
    ax.legend(loc="best")
    return ax


def _where(points: Float[np.ndarray, "time 3"], is_known: np.ndarray) -> Float[np.ndarray, "time 3"]:
    """NaN where unknown, so that lines break there."""
    return np.where(is_known[:, None], points, np.nan)


def _upright(points: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plot coordinates with the vertical upwards: right, forward, up."""
    return points[:, 0], points[:, 2], -points[:, 1]


def _equal_box(ax: Axes, points: Float[np.ndarray, "n 3"]) -> None:
    """Limits of one size on all three axes: a metre is a metre in every direction."""
    known = np.stack(_upright(points), axis=1)
    known = known[np.isfinite(known).all(axis=1)]
    if len(known) == 0:
        return
    middle, half = (known.max(axis=0) + known.min(axis=0)) / 2, max(np.ptp(known, axis=0).max() / 2, 0.05) * 1.05
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(middle[1] - half, middle[1] + half)
    ax.set_zlim(middle[2] - half, middle[2] + half)
    ax.set_box_aspect((1, 1, 1), zoom=0.95)

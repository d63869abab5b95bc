"""A 3-D view to turn with the mouse: camera frusta and hand paths in the world; small enough for a notebook."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.hands.skeleton import BONES
from vitra_lib.plotting.style import colour_of

if TYPE_CHECKING:
    from plotly.graph_objects import Scatter3d

_PLOTLY_MIME = "application/vnd.plotly.v1+json"
_MAX_POINTS = 400  # of one path: a notebook keeps every number as text
_FRUSTUM_M = 0.08
_DECIMALS = 3  # millimetres


@dataclass(frozen=True)
class WorldView:
    """A view that a notebook shows without carrying plotly's 5 MB of script: the page around it brings that once.

    Attributes:
        figure: the plotly figure.
    """

    figure: Any

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        text = "a 3-D view to turn: open the notebook in Jupyter, or its page in the gallery"
        return {_PLOTLY_MIME: json.loads(self.figure.to_json()), "text/plain": text}


def world_view(reconstruction: Reconstruction, frusta: int = 10, hands: int = 6) -> WorldView:
    """Camera path with frusta, wrist paths, and hand skeletons at some moments, in metres, x right, y down, z forward.

    Args:
        reconstruction: camera and hands.
        frusta: number of camera frusta, evenly spaced over the known frames.
        hands: number of moments at which the skeletons are drawn.

    Returns:
        A plotly figure of at most about 60 kB, ready to be shown.

    Raises:
        BadInput: a negative number, or no frame whose camera is known.
    """
    import plotly.graph_objects as go

    if frusta < 0 or hands < 0:
        raise BadInput(f"A world view of {frusta} frusta and {hands} hands can't be drawn: legal are 0 and more.")
    camera = reconstruction.camera
    known = np.flatnonzero(camera.is_valid)
    if len(known) == 0:
        raise BadInput("The camera is known in no frame, so there is no world to show.")
    figure = go.Figure()
    centre = np.where(camera.is_valid[:, None], camera.T_world_cam[:, :3, 3], np.nan)
    figure.add_trace(_line(_thinned(centre), "camera", colour_of("camera"), 4))
    shown = known[np.unique(np.linspace(0, len(known) - 1, frusta).round().astype(int))] if frusta else known[:0]
    lines = [_frustum(reconstruction, int(i)) for i in shown]
    if lines:
        figure.add_trace(_line(_joined(lines), "camera frusta", colour_of("camera"), 1))
    for side in SIDES:
        hand = reconstruction.hand(side)
        valid = hand.is_valid & camera.is_valid
        if not valid.any():
            continue
        wrist = np.where(valid[:, None], reconstruction.t_world_wrist(side), np.nan)
        figure.add_trace(_line(_thinned(wrist), f"{side} wrist", colour_of(side), 5))
        frames = np.flatnonzero(valid)
        chosen = frames[np.unique(np.linspace(0, len(frames) - 1, hands).round().astype(int))] if hands else frames[:0]
        joints = reconstruction.joints_world(side)
        bones = [joints[i][list(bone)] for i in chosen for bone in BONES]
        if bones:
            figure.add_trace(_line(_joined(bones), f"{side} hand", colour_of(side), 2))
    axes = dict(zip(("xaxis", "yaxis", "zaxis"), ("right x [m]", "down y [m]", "forward z [m]"), strict=True))
    figure.update_layout(
        scene={name: {"title": {"text": title}} for name, title in axes.items()}
        | {"aspectmode": "data", "camera": {"up": {"x": 0, "y": -1, "z": 0}, "eye": {"x": 0.9, "y": -1.1, "z": -1.4}}},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        height=480,
        legend={"x": 0, "y": 1},
        template="none",
    )
    return WorldView(figure)


def _frustum(reconstruction: Reconstruction, index: int) -> Float[np.ndarray, "points 3"]:
    """The outline of what the camera sees, as one line: apex to each corner and around."""
    camera = reconstruction.camera
    half = np.tan(camera.fov_rad / 2)
    corners = np.array([[x * half[0], y * half[1], 1.0] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    apex = np.zeros(3)
    line = [apex, corners[0], corners[1], apex, corners[2], corners[3], apex, corners[1], corners[2], corners[3]]
    line += [corners[0]]
    T = camera.T_world_cam[index]
    return np.array(line) * _FRUSTUM_M @ T[:3, :3].T + T[:3, 3]


def _joined(lines: list[np.ndarray]) -> Float[np.ndarray, "points 3"]:
    """Several lines as one, broken by NaN."""
    gap = np.full((1, 3), np.nan)
    return np.concatenate([part for line in lines for part in (line, gap)])


def _thinned(path: np.ndarray) -> np.ndarray:
    return path[:: -(-len(path) // _MAX_POINTS)]


def _line(points: np.ndarray, name: str, colour: str, width: int) -> "Scatter3d":
    import plotly.graph_objects as go

    # Plain lists: plotly would store arrays as base64 of 8 bytes each, NaN included.
    x, y, z = ([None if v != v else round(float(v), _DECIMALS) for v in column] for column in points.T)
    line = {"color": colour, "width": width}
    return go.Scatter3d(x=x, y=y, z=z, mode="lines", name=name, line=line, hoverinfo="name")

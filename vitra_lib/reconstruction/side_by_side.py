"""A video for judging a reconstruction at a glance: input | fitted hands | the world from above."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.overlay_video import draw_hands, draw_skin, frame_label
from vitra_lib.video import VideoReader, VideoWriter
from vitra_lib.video.overlay import SIDE_COLOURS, draw_label

_SHORT_SIDE_PX = 360
_TRAIL_S = 3.0
_FRUSTUM_M = 0.12
_GREY, _PALE = (90, 90, 90), (225, 225, 225)
_SHIFT = 4


class WorldFromAbove:
    """A map of the world's x-z plane, drawn frame by frame.

    The world has the axes of the first camera, so this is the view along gravity only if that camera looks level.
    """

    def __init__(self, reconstruction: Reconstruction, width_px: int, height_px: int) -> None:
        """Fix the map's scale so that everything that ever moves is on it.

        Args:
            reconstruction: camera and hands.
            width_px, height_px: size of the map.
        """
        self._r = reconstruction
        self._size = width_px, height_px
        camera = reconstruction.camera
        self._centres = np.where(camera.is_valid[:, None], camera.T_world_cam[:, :3, 3], np.nan)
        self._wrists = {}
        for side in SIDES:
            known = reconstruction.hand(side).is_valid & camera.is_valid
            self._wrists[side] = np.where(known[:, None], reconstruction.t_world_wrist(side), np.nan)
        points = np.concatenate([self._centres, *self._wrists.values()])[:, [0, 2]]
        points = points[np.isfinite(points).all(axis=1)]
        points = points if len(points) else np.zeros((1, 2))
        low, high = points.min(axis=0) - 1.5 * _FRUSTUM_M, points.max(axis=0) + 1.5 * _FRUSTUM_M
        self._middle = (low + high) / 2
        self._px_per_m = float(min(np.array([width_px, height_px]) / (high - low)))

    def place(self, p_world: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 2"]:
        """Pixels of points in the world [m]: x to the right, forward z upwards."""
        offset = (p_world[:, [0, 2]] - self._middle) * self._px_per_m
        return offset * [1, -1] + np.array(self._size) / 2 - 0.5

    def draw(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """The map at one frame: grid of 10 cm, whole paths pale, the last seconds in colour, camera as a wedge."""
        width, height = self._size
        image = np.full((height, width, 3), 255, np.uint8)
        self._grid(image)
        times = self._r.time_s
        recent = slice(int(np.searchsorted(times, times[index] - _TRAIL_S)), index + 1)
        for path, colour in ((self._centres, _GREY), *((self._wrists[side], SIDE_COLOURS[side]) for side in SIDES)):
            pale = tuple(int(255 - (255 - c) * 0.25) for c in colour)
            self._line(image, path, pale, 1)
            self._line(image, path[recent], colour, 2)
        self._camera(image, index)
        for side in SIDES:
            if np.isfinite(self._wrists[side][index]).all():
                self._dot(image, self._wrists[side][index], SIDE_COLOURS[side])
        return draw_label(image, "world from above, grid 0.1 m", "bottom-left")

    def _grid(self, image: np.ndarray) -> None:
        width, height = self._size
        half = np.array([width, height]) / 2 / self._px_per_m
        low, high = np.ceil((self._middle - half) * 10), np.floor((self._middle + half) * 10)
        for x in np.arange(low[0], high[0] + 1) / 10:
            u = int(self.place(np.array([[x, 0.0, 0.0]]))[0, 0])
            image[:, min(max(u, 0), width - 1)] = _PALE
        for z in np.arange(low[1], high[1] + 1) / 10:
            v = int(self.place(np.array([[0.0, 0.0, z]]))[0, 1])
            image[min(max(v, 0), height - 1)] = _PALE

    def _line(self, image: np.ndarray, path: np.ndarray, colour: tuple, width: int) -> None:
        known = np.flatnonzero(np.isfinite(path).all(axis=1))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            points = np.round(self.place(path[run]) * (1 << _SHIFT)).astype(np.int32)
            cv2.polylines(image, [points], False, colour, width, cv2.LINE_AA, _SHIFT)

    def _camera(self, image: np.ndarray, index: int) -> None:
        camera = self._r.camera
        if not camera.is_valid[index]:
            return
        half = np.tan(camera.fov_rad[0] / 2)
        corners = np.array([[0.0, 0, 0], [-half, 0, 1], [half, 0, 1]]) * [_FRUSTUM_M, 0, _FRUSTUM_M]
        T = camera.T_world_cam[index]
        points = np.round(self.place(corners @ T[:3, :3].T + T[:3, 3]) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(image, [points], True, _GREY, 2, cv2.LINE_AA, _SHIFT)

    def _dot(self, image: np.ndarray, p_world: np.ndarray, colour: tuple) -> None:
        centre = np.round(self.place(p_world[None])[0] * (1 << _SHIFT)).astype(int).tolist()
        cv2.circle(image, centre, 6 << _SHIFT, (255, 255, 255), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, centre, 5 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)


def write_side_by_side(
    reconstruction: Reconstruction,
    video: Path,
    path: Path,
    model: HandModel | None = None,
    progress: bool = False,
) -> None:
    """Write the three views as one video; the processor alone draws them.

    Args:
        reconstruction: camera and hands of `video`.
        video: the video that was reconstructed.
        path: the mp4 to write, atomically.
        model: the hand model that was fitted; None draws the skin of the stand-in, and skeletons only for another.
        progress: show a progress bar.
    """
    has_skin = model is not None or reconstruction.right.hand_model == reconstruction.left.hand_model == "standin"
    with VideoReader(video, max_short_side_px=_SHORT_SIDE_PX) as reader:
        width, height = reader.info.width_px, reader.info.height_px
        world = WorldFromAbove(reconstruction, width, height)
        with VideoWriter(path, reconstruction.fps, 3 * width, height) as writer:
            for frame in tqdm(reader.frames(), total=len(reader), desc="pictures", unit="frame", disable=not progress):
                drawn = draw_skin(reconstruction, frame.index, frame.image, model) if has_skin else frame.image
                drawn = draw_hands(reconstruction, frame.index, drawn)
                drawn = draw_label(drawn, frame_label(reconstruction, frame.index))
                writer.write(np.concatenate([frame.image, drawn, world.draw(frame.index)], axis=1))

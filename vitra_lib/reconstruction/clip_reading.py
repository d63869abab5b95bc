"""The frames of a video, clip by clip: hands tracked, camera followed, and the frames forgotten again."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import RefusedClip
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.backends.given import detections_of
from vitra_lib.reconstruction.camera import CameraConfig, CameraEstimate, estimate_camera
from vitra_lib.reconstruction.clips import clip_ranges, part_of
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.recovery import pieces_of
from vitra_lib.reconstruction.sources import Sources, given_tracks
from vitra_lib.reconstruction.tracker import track_hands
from vitra_lib.video import VideoReader

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """What the frames of one clip gave; the frames themselves are gone.

    Attributes:
        start, stop: its frames in the video.
        times_s: (frames,) their times [s].
        detections: hands by side.
        camera: None when it was refused, or when another tool gives the path.
        pieces: (first frame in the clip, camera): `camera` itself, and what a second try found where it lost its way.
        refusal: why the camera was refused.
    """

    start: int
    stop: int
    times_s: np.ndarray
    detections: dict[Side, HandDetections]
    camera: CameraEstimate | None = None
    pieces: tuple[tuple[int, CameraEstimate], ...] = ()
    refusal: str = ""

    @property
    def boxes(self) -> np.ndarray:
        """(time, 2, 4) boxes around both hands [px]."""
        return hand_boxes(self.detections)


class ClipReader:
    """Reads one video in clips; what is known before (hands, intrinsics, a path) is not looked for.

    Args:
        reader: the video at working size.
        config: clip lengths and backends.
        sources: what other tools gave.
        model: the hand model of given hands.
    """

    def __init__(self, reader: VideoReader, config: ReconstructConfig, sources: Sources, model: HandModel) -> None:
        self._reader, self._config, self._sources = reader, config, sources
        lens = sources.at_size(reader.info.width_px, reader.info.height_px)
        self._K_px = None if lens is None else lens.K_px
        self._given: dict[Side, HandDetections] | None = None
        if sources.hands is not None and lens is not None:
            tracks = given_tracks(sources, len(reader), model)
            self._given = {side: detections_of(tracks[side], lens) for side in SIDES}

    def clips(self, progress: bool = False) -> list[Clip]:
        """All clips of the video, those that calibrated themselves lending their K to the others."""
        reader, config = self._reader, self._config
        ranges = clip_ranges(len(reader), reader.info.fps, config.clip_s, config.overlap_s, config.max_clip_frames)
        clips: list[Clip] = []
        K_px = self._K_px
        with tqdm(total=len(reader), desc="hands and camera", unit="frame", disable=not progress) as bar:
            for start, stop in ranges:
                clip = self._clip(start, stop, K_px)
                if K_px is None and clip.camera and clip.camera.track.intrinsics_source == "self-calibration":
                    K_px = clip.camera.track.K_px
                clips.append(clip)
                bar.update(stop - bar.n)
        return self._with_common_intrinsics(clips)

    def _clip(self, start: int, stop: int, K_px: np.ndarray | None) -> Clip:
        """Hands and camera of one clip. A function of its own, so that its frames are gone before the next are read."""
        if self._given is not None and self._sources.camera is not None:
            return Clip(start, stop, self._reader.index.time_s[start:stop].copy(), self._seen(start, stop, []))
        frames, times = self._frames(start, stop)
        clip = Clip(start, stop, times, self._seen(start, stop, frames))
        return clip if self._sources.camera is not None else self._with_camera(clip, frames, K_px)

    def _seen(self, start: int, stop: int, frames: list[np.ndarray]) -> dict[Side, HandDetections]:
        if self._given is None:
            return track_hands(frames, self._reader.info.fps)
        return {side: part_of(self._given[side], start, stop) for side in SIDES}

    def _frames(self, start: int, stop: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Images and times [s] of frames [start, stop)."""
        # One block for all images: it goes back to the system whole, where many small ones would leave holes.
        info = self._reader.info
        images = np.empty((stop - start, info.height_px, info.width_px, 3), np.uint8)
        times = np.empty(stop - start)
        for frame in self._reader.frames(start, stop):
            images[frame.index - start], times[frame.index - start] = frame.image, frame.time_s
        return list(images), times

    def _with_camera(self, clip: Clip, frames: list[np.ndarray], K_px: np.ndarray | None) -> Clip:
        """The clip with its camera, or with the reason why it can't be followed."""
        camera_config = CameraConfig(assume_static=self._config.camera == "static")
        times, boxes = clip.times_s, clip.boxes
        try:
            camera = estimate_camera(frames, times, K_px, boxes, camera_config)
        except RefusedClip as error:
            _log.warning("frames [%d, %d): %s", clip.start, clip.stop, error)
            return replace(clip, camera=None, pieces=(), refusal=str(error))

        def again(part: slice) -> CameraEstimate:
            return estimate_camera(frames[part], times[part], camera.track.K_px, boxes[part], camera_config)

        return replace(clip, camera=camera, pieces=pieces_of(camera, times, again), refusal="")

    def _with_common_intrinsics(self, clips: list[Clip]) -> list[Clip]:
        """A video has one lens: clips that had to fall back to the prior are redone with what another clip found."""
        cameras = [clip.camera.track for clip in clips if clip.camera]
        found = [track.K_px for track in cameras if track.intrinsics_source == "self-calibration"]
        if not found or self._K_px is not None:
            return clips
        redone = []
        for clip in clips:
            if clip.camera and clip.camera.track.intrinsics_source == "prior":
                frames, _ = self._frames(clip.start, clip.stop)
                clip = self._with_camera(clip, frames, found[0])
            redone.append(clip)
        return redone


def hand_boxes(detections: dict[Side, HandDetections]) -> np.ndarray:
    """(time, 2, 4) boxes x0, y0, x1, y1 around both hands' landmarks [px], NaN where not seen."""
    boxes = []
    for side in SIDES:
        uv = detections[side].keypoints_px
        seen = detections[side].is_detected
        box = np.full((len(seen), 4), np.nan)
        box[seen] = np.concatenate([uv[seen].min(axis=1), uv[seen].max(axis=1)], axis=1)
        boxes.append(box)
    return np.stack(boxes, axis=1)

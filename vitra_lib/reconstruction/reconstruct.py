"""Part 1 of the pipeline: one video -> metric hands and camera in world space (paper section on 3-D labelling).

The video is read in overlapping clips of at most 20 s, so memory does not grow with its length:

    frames of a clip -> hand landmarks (forward and time-reversed) -> camera path with the hands masked
    landmarks of the video + intrinsics -> lifted joints -> one fit per hand -> metric scale of every clip
    -> clips merged -> hands smoothed in the world
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction, Rejection
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import RefusedClip
from vitra_lib.core.files import sha256_of
from vitra_lib.geometry.cameras import K_from_focal, scale_K
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.camera import (
    CameraConfig,
    CameraEstimate,
    ClipCamera,
    estimate_camera,
    scale_from_hands,
)
from vitra_lib.reconstruction.clips import clip_ranges, stitch_detections
from vitra_lib.reconstruction.fit import fit_hand
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.joining import join_clips
from vitra_lib.reconstruction.lifter import Lifter
from vitra_lib.reconstruction.quality import quality_figures
from vitra_lib.reconstruction.recovery import pieces_of
from vitra_lib.reconstruction.tracker import track_hands
from vitra_lib.reconstruction.world import smooth_in_world
from vitra_lib.video import VideoReader, probe

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Clip:
    """What the frames of one clip gave; the frames themselves are gone.

    `camera` is None when it was refused; `pieces` hold (first frame in the clip, camera): `camera` itself, and what a
    second try found where it lost its way.
    """

    start: int
    stop: int
    times_s: np.ndarray
    detections: dict[str, HandDetections]
    camera: CameraEstimate | None = None
    pieces: tuple[tuple[int, CameraEstimate], ...] = ()
    refusal: str = ""

    @property
    def boxes(self) -> np.ndarray:
        """(time, 2, 4) boxes around both hands [px]."""
        return hand_boxes(self.detections)


def reconstruct(video: Path, config: ReconstructConfig | None = None, progress: bool = False) -> Reconstruction:
    """Reconstruct hands and camera of one video.

    Args:
        video: the video file.
        config: backends and clip lengths.
        progress: show a progress bar over frames.

    Returns:
        A reconstruction of every frame; frames without a hand or a camera are marked invalid, with reasons.

    Raises:
        BadVideo: the file can't be read.
        RefusedClip: a single frame, no hand in the whole video, or no clip whose camera can be followed.
        MissingAsset: a chosen backend is not installed.
    """
    config, video = config or ReconstructConfig(), Path(video)
    info = probe(video)
    if info.frame_count < 2:
        raise RefusedClip(f"{video.name} has a single frame: speed and camera motion need at least 2.")
    model = load_hand_model(config.hand_model, config.mano_path)
    lifter = Lifter.load()
    with VideoReader(video, max_short_side_px=_working_short_side(info.width_px, info.height_px, config)) as reader:
        clips = _with_common_intrinsics(reader, _read_clips(reader, config, progress), config)
    if not any(hand.is_detected.any() for clip in clips for hand in clip.detections.values()):
        raise RefusedClip(f"No hand was seen in the {info.frame_count} frames of {video.name}.")
    if not any(clip.camera for clip in clips):
        raise RefusedClip(f"The camera of {video.name} can't be followed. {clips[0].refusal}")
    times = _video_times(clips)
    lens = next(clip.camera.track for clip in clips if clip.camera)
    hands, detections = _fit_hands(clips, times, lens.K_px, lifter, model)
    if not any(hand.is_valid.any() for hand in hands.values()):
        raise RefusedClip(f"Hands were glimpsed in {video.name}, but in no frame well enough to place one in space.")
    camera, rejections = _metric_camera(clips, hands, len(times), info.fps)
    smoothed: dict[Side, HandTrack] = {}
    for side in SIDES:
        smoothed[side], dropped = smooth_in_world(camera, hands[side], times, model=model)
        rejections = (*rejections, *dropped)
    quality = quality_figures(camera, smoothed, detections, times, _camera_figures(clips))
    return Reconstruction(
        video_name=video.name,
        video_sha256=sha256_of(video),
        fps=info.fps,
        source_frame=np.arange(len(times)),
        time_s=times,
        camera=_at_video_size(camera, info.width_px, info.height_px),
        left=smoothed["left"],
        right=smoothed["right"],
        rejections=rejections,
        quality=quality,
    )


def _working_short_side(width_px: int, height_px: int, config: ReconstructConfig) -> int:
    """Short side at which the long side is at most the working size."""
    long_side, short_side = max(width_px, height_px), min(width_px, height_px)
    return max(2, round(short_side * min(1.0, config.working_long_side_px / long_side)))


def _read_clips(reader: VideoReader, config: ReconstructConfig, progress: bool) -> list[_Clip]:
    """Track hands and camera clip by clip. The first clip that calibrates itself lends its K to those that follow."""
    K_px = None
    if config.hfov_rad is not None:
        width, height = reader.info.width_px, reader.info.height_px
        K_px = K_from_focal(0.5 * width / np.tan(0.5 * config.hfov_rad), width, height)
    clips: list[_Clip] = []
    fps = reader.info.fps
    ranges = clip_ranges(len(reader), fps, config.clip_s, config.overlap_s, config.max_clip_frames)
    with tqdm(total=len(reader), desc="hands and camera", unit="frame", disable=not progress) as bar:
        for start, stop in ranges:
            clip = _read_clip(reader, start, stop, K_px, config)
            if K_px is None and clip.camera and clip.camera.track.intrinsics_source == "self-calibration":
                K_px = clip.camera.track.K_px
            clips.append(clip)
            bar.update(stop - bar.n)
    return clips


def _read_clip(
    reader: VideoReader, start: int, stop: int, K_px: np.ndarray | None, config: ReconstructConfig
) -> _Clip:
    """Hands and camera of one clip. A function of its own, so that its frames are gone before the next are read."""
    frames, times = _frames(reader, start, stop)
    detections = track_hands(frames, reader.info.fps)
    return _with_camera(_Clip(start, stop, times, detections), frames, K_px, config)


def _frames(reader: VideoReader, start: int, stop: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Images and times [s] of frames [start, stop)."""
    # One block for all images: it goes back to the system whole, where many small ones would leave holes.
    images = np.empty((stop - start, reader.info.height_px, reader.info.width_px, 3), np.uint8)
    times = np.empty(stop - start)
    for frame in reader.frames(start, stop):
        images[frame.index - start], times[frame.index - start] = frame.image, frame.time_s
    return list(images), times


def hand_boxes(detections: dict[str, HandDetections]) -> np.ndarray:
    """(time, 2, 4) boxes x0, y0, x1, y1 around both hands' landmarks [px], NaN where not seen."""
    boxes = []
    for side in SIDES:
        uv = detections[side].keypoints_px
        seen = detections[side].is_detected
        box = np.full((len(seen), 4), np.nan)
        box[seen] = np.concatenate([uv[seen].min(axis=1), uv[seen].max(axis=1)], axis=1)
        boxes.append(box)
    return np.stack(boxes, axis=1)


def _with_camera(clip: _Clip, frames: list[np.ndarray], K_px: np.ndarray | None, config: ReconstructConfig) -> _Clip:
    """The clip with its camera, or with the reason why it can't be followed."""
    camera_config = CameraConfig(assume_static=config.camera == "static")
    times, boxes = clip.times_s, clip.boxes
    try:
        camera = estimate_camera(frames, times, K_px, boxes, camera_config)
    except RefusedClip as error:
        _log.warning("frames [%d, %d): %s", clip.start, clip.stop, error)
        return replace(clip, camera=None, pieces=(), refusal=str(error))

    def again(part: slice) -> CameraEstimate:
        return estimate_camera(frames[part], times[part], camera.track.K_px, boxes[part], camera_config)

    return replace(clip, camera=camera, pieces=pieces_of(camera, times, again), refusal="")


def _with_common_intrinsics(reader: VideoReader, clips: list[_Clip], config: ReconstructConfig) -> list[_Clip]:
    """A video has one lens: clips that had to fall back to the prior are redone with what another clip found."""
    cameras = [clip.camera.track for clip in clips if clip.camera]
    found = [track.K_px for track in cameras if track.intrinsics_source == "self-calibration"]
    if not found or config.hfov_rad is not None:
        return clips
    redone = []
    for clip in clips:
        if clip.camera and clip.camera.track.intrinsics_source == "prior":
            frames, _ = _frames(reader, clip.start, clip.stop)
            clip = _with_camera(clip, frames, found[0], config)
        redone.append(clip)
    return redone


def _video_times(clips: list[_Clip]) -> np.ndarray:
    """(time,) presentation times of all frames [s], each frame once."""
    ends = [*(following.start for following in clips[1:]), clips[-1].stop]
    return np.concatenate([clip.times_s[: end - clip.start] for clip, end in zip(clips, ends, strict=True)])


def _fit_hands(
    clips: list[_Clip], times: np.ndarray, K_px: np.ndarray, lifter: Lifter, model: HandModel
) -> tuple[dict[str, HandTrack], dict[str, HandDetections]]:
    """Lift and fit each hand over the whole video, from detections stitched over the clips."""
    hands, stitched = {}, {}
    ranges = [(clip.start, clip.stop) for clip in clips]
    for side in SIDES:
        detections = stitch_detections(ranges, [clip.detections[side] for clip in clips])
        stitched[side] = detections
        hands[side] = fit_hand(side, lifter.lift(detections, K_px), detections, K_px, times, model)
    return hands, stitched


def _metric_camera(
    clips: list[_Clip], hands: dict[str, HandTrack], frame_count: int, fps: float
) -> tuple[CameraTrack, tuple[Rejection, ...]]:
    """One metric path: every clip's scale from the hands in it, then all clips joined on their shared frames."""
    followed, refused = [], []
    for clip in clips:
        if clip.camera is None:
            item = f"camera, frames [{clip.start}, {clip.stop})"
            refused.append(
                Rejection("reconstruction", item, "camera_refused", clip.refusal, clip.start, clip.stop)
            )
            continue
        followed += [_with_scale(clip, first, camera, hands) for first, camera in clip.pieces]
    followed.sort(key=lambda piece: piece.start)
    track, rejections = join_clips(followed, frame_count, fps)
    return replace(track, intrinsics_source=_intrinsics_source(clips)), (*refused, *rejections)


def _with_scale(clip: _Clip, first: int, camera: CameraEstimate, hands: dict[str, HandTrack]) -> ClipCamera:
    """One piece of a clip with the metre that the hands in it tell."""
    start, stop = clip.start + first, clip.start + first + len(camera.track)
    scale = scale_from_hands(
        camera,
        {side: hand.joints_cam[start:stop] for side, hand in hands.items()},
        {side: hand.is_valid[start:stop] for side, hand in hands.items()},
        clip.times_s[first : first + len(camera.track)],
    )
    return ClipCamera(start, camera, scale.scale, scale.rel_std, scale.source)


def _intrinsics_source(clips: list[_Clip]) -> str:
    """Where the common K comes from: what one clip found by itself was given to the others."""
    sources = [clip.camera.track.intrinsics_source for clip in clips if clip.camera]
    return next((source for source in ("self-calibration", "prior") if source in sources), sources[0])


def _at_video_size(camera: CameraTrack, width_px: int, height_px: int) -> CameraTrack:
    """The same camera with intrinsics in pixels of the video instead of the working size."""
    K_px = scale_K(camera.K_px, width_px / camera.width_px, height_px / camera.height_px)
    return replace(camera, K_px=K_px, width_px=width_px, height_px=height_px)


def _camera_figures(clips: list[_Clip]) -> dict[str, float]:
    """Camera figures of the report: the median over clips of each named measurement."""
    figures: dict[str, list[float]] = {}
    for clip in clips:
        for name, value in (clip.camera.figures if clip.camera else {}).items():
            figures.setdefault(f"camera_{name}", []).append(value)
    return {name: float(np.median(values)) for name, values in figures.items()}

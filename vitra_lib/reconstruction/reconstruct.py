"""Part 1 of the pipeline: one video -> metric hands and camera in world space (paper section on 3-D labelling).

The video is read in overlapping clips of at most 20 s, so memory does not grow with its length:

    frames of a clip -> hand landmarks (forward and time-reversed) -> camera path with the hands masked
    landmarks of the video + intrinsics -> lifted joints -> one fit per hand -> metric scale of every clip
    -> clips merged -> hands smoothed in the world

Hands, camera, intrinsics and depth may each come from another tool's files instead (`sources`).
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction, Rejection
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import RefusedClip
from vitra_lib.core.files import sha256_of
from vitra_lib.geometry.cameras import scale_K
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.camera import CameraEstimate, ClipCamera, scale_from_hands
from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG
from vitra_lib.reconstruction.camera.scale_depth import scale_from_points
from vitra_lib.reconstruction.clip_reading import Clip, ClipReader
from vitra_lib.reconstruction.clips import stitch_detections
from vitra_lib.reconstruction.fit import fit_hand
from vitra_lib.reconstruction.given_path import metric_given_camera
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.joining import join_clips
from vitra_lib.reconstruction.lifter import Lifter
from vitra_lib.reconstruction.orientation import judge_orientation
from vitra_lib.reconstruction.quality import quality_figures
from vitra_lib.reconstruction.sources import Sources, depth_samples, given_tracks, read_sources
from vitra_lib.reconstruction.world import smooth_in_world
from vitra_lib.reconstruction.worst_moments import frame_figures
from vitra_lib.video import VideoInfo, VideoReader, probe

_log = logging.getLogger(__name__)


def reconstruct(video: Path, config: ReconstructConfig | None = None, progress: bool = False) -> Reconstruction:
    """Reconstruct hands and camera of one video.

    Args:
        video: the video file.
        config: backends, their files, and clip lengths.
        progress: show a progress bar over frames.

    Returns:
        A reconstruction of every frame; frames without a hand or a camera are marked invalid, with reasons.

    Raises:
        BadVideo: the file can't be read.
        RefusedClip: a single frame, no hand in the whole video, no clip whose camera can be followed, or a picture
        that is
            upside down or not the wearer's view.
        BadInput: a file of another tool is damaged, or of another video.
        MissingAsset: a chosen backend is not installed.
    """
    video = Path(video)
    config = (config or ReconstructConfig()).for_video(video)
    info = probe(video)
    if info.frame_count < 2:
        raise RefusedClip(f"{video.name} has a single frame: speed and camera motion need at least 2.")
    model = load_hand_model(config.hand_model, config.mano_path)
    sources = read_sources(config, info, model)
    with VideoReader(video, max_short_side_px=_working_short_side(info.width_px, info.height_px, config)) as reader:
        clips = ClipReader(reader, config, sources, model).clips(progress)
        lens = _lens_of(clips, sources, reader.info)
        depths = depth_samples(sources.depth, reader, config.depth_sample_s)
    _refuse_nothing(clips, sources, video)
    times = _video_times(clips)
    hands, detections = _all_hands(clips, times, lens, sources, model)
    orientation, warnings = _checked_orientation(detections, lens, config)
    if not any(hand.is_valid.any() for hand in hands.values()):
        raise RefusedClip(f"Hands were glimpsed in {video.name}, but in no frame well enough to place one in space.")
    if sources.camera is not None:
        camera, rejections = metric_given_camera(sources.camera, lens, hands, times, depths)
    else:
        camera, rejections = _metric_camera(clips, hands, (len(times), info.fps), depths)
    camera = _with_lens_source(camera, clips, sources)
    rejections = (*warnings, *rejections)
    smoothed: dict[Side, HandTrack] = {}
    for side in SIDES:
        smoothed[side], dropped = smooth_in_world(camera, hands[side], times, model=model)
        rejections = (*rejections, *dropped)
    figures = {**_camera_figures(clips), **orientation, "camera_focal_rel_std": camera.focal_rel_std}
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
        quality=quality_figures(camera, smoothed, detections, times, figures),
        frame_quality=frame_figures(camera, smoothed, detections, times),
    )


def _working_short_side(width_px: int, height_px: int, config: ReconstructConfig) -> int:
    """Short side at which the long side is at most the working size."""
    long_side, short_side = max(width_px, height_px), min(width_px, height_px)
    return max(2, round(short_side * min(1.0, config.working_long_side_px / long_side)))


def _refuse_nothing(clips: list[Clip], sources: Sources, video: Path) -> None:
    """Refuse a video without a hand, or without a camera path."""
    if not any(hand.is_detected.any() for clip in clips for hand in clip.detections.values()):
        raise RefusedClip(f"No hand was seen in the {clips[-1].stop} frames of {video.name}.")
    if sources.camera is None and not any(clip.camera for clip in clips):
        raise RefusedClip(f"The camera of {video.name} can't be followed. {clips[0].refusal}")


def _lens_of(clips: list[Clip], sources: Sources, info: VideoInfo) -> Pinhole | None:
    """The one lens of a video at working size: given, or found by a clip."""
    given = sources.at_size(info.width_px, info.height_px)
    found = next((clip.camera.track.K_px for clip in clips if clip.camera), None)
    return given if given is not None or found is None else Pinhole(found, info.width_px, info.height_px)


def _checked_orientation(
    detections: dict[Side, HandDetections], lens: Pinhole, config: ReconstructConfig
) -> tuple[dict[str, float], tuple[Rejection, ...]]:
    """Figures of the picture's orientation; a picture that is the wrong way is refused, or warned of."""
    found = judge_orientation(detections, lens.width_px)
    if not found.reason:
        return found.figures, ()
    if config.on_wrong_way_up == "refuse":
        raise RefusedClip(found.reason)
    _log.warning("%s", found.reason)
    count = len(detections["left"])
    return found.figures, (Rejection("reconstruction", "all frames", "wrong_way_up", found.reason, 0, count),)


def _video_times(clips: list[Clip]) -> np.ndarray:
    """(time,) presentation times of all frames [s], each frame once."""
    ends = [*(following.start for following in clips[1:]), clips[-1].stop]
    return np.concatenate([clip.times_s[: end - clip.start] for clip, end in zip(clips, ends, strict=True)])


def _all_hands(
    clips: list[Clip], times: np.ndarray, lens: Pinhole, sources: Sources, model: HandModel
) -> tuple[dict[Side, HandTrack], dict[Side, HandDetections]]:
    """Each hand over the whole video: as another tool gave it, or lifted and fitted from stitched detections."""
    ranges = [(clip.start, clip.stop) for clip in clips]
    stitched = {side: stitch_detections(ranges, [clip.detections[side] for clip in clips]) for side in SIDES}
    if sources.hands is not None:
        return given_tracks(sources, len(times), model), stitched
    lifter = Lifter.load()
    hands = {
        side: fit_hand(side, lifter.lift(seen, lens.K_px), seen, lens.K_px, times, model)
        for side, seen in stitched.items()
    }
    return hands, stitched


def _metric_camera(
    clips: list[Clip],
    hands: dict[Side, HandTrack],
    extent: tuple[int, float],
    depths: Mapping[int, np.ndarray],
) -> tuple[CameraTrack, tuple[Rejection, ...]]:
    """One metric path: every clip's scale from what is in it, then all clips joined on their shared frames.

    Args:
        clips: with their cameras.
        hands: metric tracks of the whole video.
        extent: frames of the video and its frame rate.
        depths: metric depth of some frames [m].
    """
    followed, refused = [], []
    for clip in clips:
        if clip.camera is None:
            item = f"camera, frames [{clip.start}, {clip.stop})"
            refused.append(
                Rejection("reconstruction", item, "camera_refused", clip.refusal, clip.start, clip.stop)
            )
            continue
        followed += [_with_scale(clip, first, camera, hands, depths) for first, camera in clip.pieces]
    followed.sort(key=lambda piece: piece.start)
    track, rejections = join_clips(followed, *extent)
    return track, (*refused, *rejections)


def _with_scale(
    clip: Clip, first: int, camera: CameraEstimate, hands: dict[Side, HandTrack], depths: Mapping[int, np.ndarray]
) -> ClipCamera:
    """One piece of a clip with the metre that hands and depth in it tell."""
    start, stop = clip.start + first, clip.start + first + len(camera.track)
    inside = {frame - start: depth for frame, depth in depths.items() if start <= frame < stop}
    scale = scale_from_hands(
        camera,
        {side: hand.joints_cam[start:stop] for side, hand in hands.items()},
        {side: hand.is_valid[start:stop] for side, hand in hands.items()},
        clip.times_s[first : first + len(camera.track)],
        depth=scale_from_points(camera, inside) if inside else None,
    )
    return ClipCamera(start, camera, scale.scale, scale.rel_std, scale.source)


def _with_lens_source(camera: CameraTrack, clips: list[Clip], sources: Sources) -> CameraTrack:
    """Where the common K comes from and how sure it is: what one clip found by itself was given to the others."""
    if sources.lens is not None:
        std = DEFAULT_CONFIG.prior_rel_std if sources.lens_source == "prior" else 0.0
        return replace(camera, intrinsics_source=sources.lens_source, focal_rel_std=std)
    tracks = [clip.camera.track for clip in clips if clip.camera]
    for source in ("self-calibration", "prior"):
        known = [track.focal_rel_std for track in tracks if track.intrinsics_source == source]
        if known:
            return replace(camera, intrinsics_source=source, focal_rel_std=known[0])
    return replace(camera, intrinsics_source=tracks[0].intrinsics_source, focal_rel_std=tracks[0].focal_rel_std)


def _at_video_size(camera: CameraTrack, width_px: int, height_px: int) -> CameraTrack:
    """The same camera with intrinsics in pixels of the video instead of the working size."""
    K_px = scale_K(camera.K_px, width_px / camera.width_px, height_px / camera.height_px)
    return replace(camera, K_px=K_px, width_px=width_px, height_px=height_px)


def _camera_figures(clips: list[Clip]) -> dict[str, float]:
    """Camera figures of the report: the median over clips of each named measurement."""
    figures: dict[str, list[float]] = {}
    for clip in clips:
        for name, value in (clip.camera.figures if clip.camera else {}).items():
            figures.setdefault(f"camera_{name}", []).append(value)
    return {name: float(np.median(values)) for name, values in figures.items()}

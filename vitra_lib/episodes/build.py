"""Reconstruction + captions -> episodes: one per captioned atomic action (spec of sample construction, 2.1)."""

from dataclasses import dataclass

import numpy as np

from vitra_lib.contracts import Caption, Reconstruction, Rejection
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.episodes.episode import Episode, EpisodeCaption, EpisodeHand
from vitra_lib.geometry.transforms import invert


@dataclass(frozen=True)
class EpisodeConfig:
    """What makes an acceptable episode.

    Attributes:
        min_duration_s: shorter segments are rejected [s].
        min_valid_fraction: least share of frames in which the primary hand is valid.
        rest_wrist_m: (x, y, z) of the hand model's rest-pose wrist joint [m], carried for the official layout.
    """

    min_duration_s: float = 0.25
    min_valid_fraction: float = 0.5
    rest_wrist_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.min_duration_s < 0:
            raise BadInput(f"min_duration_s = {self.min_duration_s}: it must be at least 0 s.")
        if not 0 <= self.min_valid_fraction <= 1:
            raise BadInput(f"min_valid_fraction = {self.min_valid_fraction}: it must lie in [0, 1].")


def build_episodes(
    reconstruction: Reconstruction,
    captions: tuple[Caption, ...],
    config: EpisodeConfig | None = None,
    dataset_prefix: str = "Custom",
) -> tuple[tuple[Episode, ...], tuple[Rejection, ...]]:
    """One episode per captioned segment, with that segment's hand as the primary one.

    The other hand's captions that overlap the segment are kept, with their ranges cut to the episode.
    Weak captions are kept and stay flagged. Nothing is dropped silently.

    Args:
        reconstruction: camera and hands of one video.
        captions: one per segment of either hand, in any order; "N/A" answers are rejected here.
        config: thresholds.
        dataset_prefix: first part of every episode's name; no "_".

    Returns:
        episodes ordered by (start, side) and numbered in that order; rejections with reasons.
    """
    config = config or EpisodeConfig()
    ordered = sorted(captions, key=lambda c: (c.segment.start, SIDES.index(c.segment.side), c.segment.stop))
    spoken = [caption for caption in ordered if not caption.is_na]
    episodes: list[Episode] = []
    rejections: list[Rejection] = []
    for caption in ordered:
        rejection = _reject(reconstruction, caption, config)
        if rejection is not None:
            rejections.append(rejection)
            continue
        episodes.append(_build(reconstruction, caption, spoken, len(episodes), dataset_prefix, config))
    return tuple(episodes), tuple(rejections)


def _reject(reconstruction: Reconstruction, caption: Caption, config: EpisodeConfig) -> Rejection | None:
    segment = caption.segment
    start, stop = segment.start, segment.stop
    if not 0 <= start < stop <= len(reconstruction):
        raise BadInput(f"A {segment.side} segment covers frames [{start}, {stop}) of {len(reconstruction)}.")
    duration = (stop - start) / reconstruction.fps
    valid = float(reconstruction.hand(segment.side).is_valid[start:stop].mean())
    lost = int((~reconstruction.camera.is_valid[start:stop]).sum())
    gaps = int((np.diff(reconstruction.source_frame[start:stop]) != 1).sum())
    checks = [
        (caption.is_na, "caption_na", "the captioner answered N/A"),
        (duration < config.min_duration_s or stop - start < 2, "too_short", f"{duration:.2f} s"),
        (valid < config.min_valid_fraction, "hand_invalid", f"the hand is valid in {valid:.0%} of the frames"),
        (lost > 0, "camera_lost", f"the camera is unknown in {lost} frames"),
        (gaps > 0, "frames_missing", f"{gaps} jumps in the frame numbers"),
    ]
    for failed, reason, detail in checks:
        if failed:
            item = f"{segment.side} hand, frames [{start}, {stop})"
            return Rejection("episodes", item, reason, detail, start, stop)
    return None


def _build(
    reconstruction: Reconstruction,
    caption: Caption,
    spoken: list[Caption],
    number: int,
    prefix: str,
    config: EpisodeConfig,
) -> Episode:
    segment = caption.segment
    window = slice(segment.start, segment.stop)
    video_name = reconstruction.video_name.rsplit(".", 1)[0]
    texts: dict[Side, tuple[EpisodeCaption, ...]] = {"left": (), "right": ()}
    texts[segment.side] = (_relative(caption, segment.start, segment.stop),)
    other: Side = "left" if segment.side == "right" else "right"
    texts[other] = tuple(
        _relative(c, segment.start, segment.stop)
        for c in spoken
        if c.segment.side == other and c.segment.start < segment.stop and c.segment.stop > segment.start
    )
    camera = reconstruction.camera
    quality = dict(reconstruction.quality) | {
        "segment_path_m": segment.path_m,
        "segment_mean_speed": segment.mean_speed,
        "segment_valid_fraction": segment.valid_fraction,
        "scale_rel_std": camera.scale_rel_std,
    }
    provenance = {
        "video_file": reconstruction.video_name,
        "video_sha256": reconstruction.video_sha256,
        "camera_method": camera.method,
        "intrinsics_source": camera.intrinsics_source,
        "scale_source": camera.scale_source,
        "segmentation_rule": segment.rule,
    }
    return Episode(
        name=f"{prefix}_{video_name}_ep_{number:06d}",
        dataset_prefix=prefix,
        video_name=video_name,
        primary_hand=segment.side,
        fps=float(reconstruction.fps),
        width_px=camera.width_px,
        height_px=camera.height_px,
        K_px=camera.K_px.astype(np.float64),
        crop_px=np.array([0.0, 0.0, camera.width_px, camera.height_px]),
        T_cam_world=camera.T_cam_world[window].astype(np.float64),
        source_frame=reconstruction.source_frame[window].astype(np.int64),
        time_s=reconstruction.time_s[window].astype(np.float64),
        left=_hand(reconstruction, "left", window, texts["left"], config),
        right=_hand(reconstruction, "right", window, texts["right"], config),
        quality={key: float(quality[key]) for key in sorted(quality)},
        provenance=provenance,
    )


def _relative(caption: Caption, start: int, stop: int) -> EpisodeCaption:
    segment = caption.segment
    return EpisodeCaption(
        text=caption.text,
        start=max(segment.start, start) - start,
        stop=min(segment.stop, stop) - start,
        source=caption.source,
        is_weak=caption.is_weak,
        rephrasings=tuple(caption.rephrasings),
    )


def _hand(
    reconstruction: Reconstruction,
    side: Side,
    window: slice,
    captions: tuple[EpisodeCaption, ...],
    config: EpisodeConfig,
) -> EpisodeHand:
    hand = reconstruction.hand(side)
    T_world_cam = invert(reconstruction.camera.T_cam_world[window])
    R = reconstruction.R_world_wrist(side)[window].copy()
    t = reconstruction.t_world_wrist(side)[window].copy()
    fingers = hand.R_parent_joint[window].copy()
    is_valid = hand.is_valid[window].copy()
    # Unknown poses take the official convention of an absent hand: it sits in the camera, unrotated.
    unknown = ~is_valid & ~np.isfinite(R).all((1, 2))
    R[unknown] = T_world_cam[unknown, :3, :3]
    unknown = ~is_valid & ~np.isfinite(t).all(1)
    t[unknown] = T_world_cam[unknown, :3, 3]
    fingers[~is_valid & ~np.isfinite(fingers).all((1, 2, 3))] = np.eye(3)
    return EpisodeHand(
        R_world_wrist=R.astype(np.float64),
        t_world_wrist=t.astype(np.float64),
        R_parent_joint=fingers.astype(np.float64),
        betas=hand.betas.astype(np.float64),
        joints_world=reconstruction.joints_world(side)[window].astype(np.float64),
        is_valid=is_valid,
        confidence=hand.confidence[window].astype(np.float64),
        hand_model=hand.hand_model,
        rest_wrist_m=np.array(config.rest_wrist_m, float),
        captions=captions,
    )

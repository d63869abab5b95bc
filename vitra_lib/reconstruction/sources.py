"""What files and models of other tools give for one video, each checked against it; None where our own work does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import HandTrack
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import K_from_focal, scale_K
from vitra_lib.geometry.cameras_lens import Lens, Pinhole
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.backends.config import ReconstructConfig
from vitra_lib.reconstruction.backends.given import GivenCamera, GivenHands
from vitra_lib.reconstruction.backends.registry import backend
from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG
from vitra_lib.reconstruction.camera.intrinsics import prior_focal
from vitra_lib.video import VideoInfo, VideoReader

_SAME_FOCAL = 0.15


@runtime_checkable
class DepthSource(Protocol):
    """Tells the metric depth of frames."""

    @property
    def frames(self) -> tuple[int, ...] | None:
        """Frames that can be asked about; None = any."""
        ...

    def at(self, frame: int, image: np.ndarray) -> np.ndarray | None:
        """(h, w) depth of a frame [m], NaN where unknown; None where there is none."""
        ...


@dataclass(frozen=True)
class Sources:
    """What other tools say about one video.

    Attributes:
        lens: intrinsics in pixels of the video; None = self-calibration.
        lens_source: "given" or "prior".
        camera: a path, or None.
        hands: tracks, or None.
        depth: metric depth, or None.
    """

    lens: Pinhole | None = None
    lens_source: str = "given"
    camera: GivenCamera | None = None
    hands: GivenHands | None = None
    depth: DepthSource | None = None

    def at_size(self, width_px: int, height_px: int) -> Pinhole | None:
        """The lens on frames of another size, principal point in proportion."""
        if self.lens is None:
            return None
        K = scale_K(self.lens.K_px, width_px / self.lens.width_px, height_px / self.lens.height_px)
        return Pinhole(K, width_px, height_px)


def read_sources(config: ReconstructConfig, info: VideoInfo, model: HandModel) -> Sources:
    """Read every file that the settings name.

    Intrinsics come from, in this order: the intrinsics file or the field of view, the camera tool, the focal length
    that the hand tool assumed; a path of which none of them speaks gets the egocentric prior.

    Args:
        config: backends and their files.
        info: the video.
        model: the hand model.

    Raises:
        BadInput: a file is damaged, of another tool or of another video.
    """
    camera = hands = depth = None
    if config.camera_file is not None:
        camera = backend("camera", config.camera).load()(config.camera_file, info)
        camera.check_frames(info.frame_count)
    if config.hands_file is not None:
        hands = backend("hands", config.hands).load()(config.hands_file, info, model)
    if config.depth_file is not None:
        depth = backend("depth", config.depth).load()(config.depth_file, info)
    lens, source = _lens(config, info, camera, hands), "given"
    if lens is None and (camera is not None or hands is not None):
        focal = prior_focal(float(info.width_px), DEFAULT_CONFIG)
        lens, source = (
            Pinhole(K_from_focal(focal, info.width_px, info.height_px), info.width_px, info.height_px),
            "prior",
        )
    return Sources(lens, source, camera, hands, depth)


def _lens(
    config: ReconstructConfig, info: VideoInfo, camera: GivenCamera | None, hands: GivenHands | None
) -> Pinhole | None:
    width, height = info.width_px, info.height_px
    if config.intrinsics_file is not None:
        lens = _straight(backend("intrinsics", config.intrinsics).load()(config.intrinsics_file, info), config)
        if camera is not None and camera.lens is not None:
            _check_focals(lens, camera)
        return lens
    if config.hfov_rad is not None:
        return Pinhole(K_from_focal(0.5 * width / np.tan(0.5 * config.hfov_rad), width, height), width, height)
    if camera is not None and camera.lens is not None:
        return camera.lens
    if hands is not None and hands.focal_px is not None:
        return Pinhole(K_from_focal(hands.focal_px, width, height), width, height)
    return None


def _straight(lens: Lens, config: ReconstructConfig) -> Pinhole:
    if isinstance(lens, Pinhole):
        return lens
    file = config.intrinsics_file
    raise BadInput(
        f"{file.name if file else 'The file'} describes a lens with distortion: run `vitra undistort VIDEO "
        f"--intrinsics {file} --out STRAIGHT.mp4` first, and go on with STRAIGHT.mp4 and STRAIGHT.intrinsics.json."
    )


def _check_focals(lens: Pinhole, camera: GivenCamera) -> None:
    """A path and a focal length that contradict each other can't both be used."""
    given, tool = float(lens.K_px[0, 0]), float(camera.lens.K_px[0, 0])
    if abs(np.log(given / tool)) > _SAME_FOCAL:
        raise BadInput(
            f"The intrinsics file says a focal length of {given:.0f} px, the path of {camera.tool} was found with "
            f"{tool:.0f} px: one of them is of another video; drop one, or run {camera.tool} with these intrinsics."
        )


def given_tracks(sources: Sources, frame_count: int, model: HandModel) -> dict[Side, HandTrack]:
    """Both given hands in every frame."""
    if sources.hands is None or sources.lens is None:
        return {}
    return sources.hands.tracks(frame_count, sources.lens, model)


def depth_samples(
    source: DepthSource | None, reader: VideoReader, step_s: float
) -> dict[int, Float[np.ndarray, "rows columns"]]:
    """Metric depth of frames spread over a video.

    Args:
        source: who tells it; None gives nothing.
        reader: the video.
        step_s: time between frames that are asked about [s].
    """
    if source is None:
        return {}
    count = len(reader)
    wanted: Sequence[int] = range(0, count, max(1, round(step_s * reader.info.fps)))
    if source.frames is not None:
        known = [i for i in source.frames if 0 <= i < count]
        wanted = known[:: max(1, round(len(known) / max(1, len(wanted))))]
        return {i: depth for i in wanted if (depth := source.at(i, np.zeros((0, 0, 3), np.uint8))) is not None}
    found = {}
    for i in wanted:
        depth = source.at(i, reader.at([i])[0].image)
        if depth is not None:
            found[i] = depth
    return found

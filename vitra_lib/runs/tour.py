"""What notebooks 00 to 04 share: the video, its truth if it has one, and the finished stages, computed once.

    inputs = tour_inputs(profile, video)
    reconstruction = reconstruction_of(inputs.video, inputs.work, inputs.config)   # seconds, or nothing if it is there
    result = build([inputs.video], inputs.dataset, inputs.config)

Finished stages lie in `results/work/tour`, in a folder whose name holds a digest of the code that made them: after a
change of the library nothing stale is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitra_lib.captioning.overlay import FrameSource
from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.assets import require
from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName
from vitra_lib.core.files import sha256_of
from vitra_lib.core.paths import results_folder, sample_video
from vitra_lib.geometry.cameras import project
from vitra_lib.pipeline import BuildConfig
from vitra_lib.pipeline.stages import code_digest, settings_digest
from vitra_lib.pipeline.video_stages import ALL_ROOMS
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.runs.parameters import PROFILES
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.video import VideoReader, probe


@dataclass(frozen=True)
class TourInputs:
    """What a notebook of the tour starts from.

    Attributes:
        video: the user's file, or the sample.
        name: how pages call it ("sample.mp4"), without folder.
        truth: the clip of the synthetic world that the video shows, with everything known; None for a real video.
        dataset: folder of the episodes that `build` writes.
        work: folder of finished stages that `build` uses for this dataset.
        config: settings of all stages.
    """

    video: Path
    name: str
    truth: TabletopClip | None
    dataset: Path
    work: Path
    config: BuildConfig

    @property
    def true_tracks(self) -> Reconstruction | None:
        """Camera and hands as they truly were; None for a real video."""
        return None if self.truth is None else self.truth.truth

    @property
    def about_truth(self) -> str:
        """One sentence on whether results can be compared with truth."""
        if self.truth is None:
            return f"{self.name} is a real video: nobody knows its truth, so comparisons with truth are left out (–)."
        return f"{self.name} was rendered by the kit: camera, hands, actions and captions are known exactly."


def tour_inputs(profile: str, video: str = "") -> TourInputs:
    """Turn a notebook's parameters into inputs.

    A video that `vitra tabletop render` wrote is recognised by the truth beside it.

    Args:
        profile: "tiny" = estimators that run anywhere; "small" = the same with the MANO hand that you have registered
            for; "paper" = the published configuration, whose estimators this version has no adapters for.
        video: path to a video; "" = the sample.

    Raises:
        UnknownName: no such profile.
        MissingAsset: the sample, or what the profile needs, is not there.
        BadVideo: the video can't be read.
    """
    path = Path(video).expanduser() if video.strip() else sample_video()
    config = tour_config(profile)
    probe(path)
    made_by = settings_digest(code_digest(ALL_ROOMS), sha256_of(path))[:10]
    folder = results_folder() / "work" / "tour" / f"{path.stem}-{profile}-{made_by}"
    return TourInputs(path, path.name, truth_of(path), folder / "episodes", folder / "episodes.work", config)


def tour_config(profile: str) -> BuildConfig:
    """Settings of all stages at a profile; see `tour_inputs`."""
    if profile == "tiny":
        return BuildConfig()
    if profile == "small":
        return BuildConfig(reconstruct=ReconstructConfig(hand_model="mano", mano_path=require("mano_right")[0]))
    if profile == "paper":
        raise MissingAsset(
            "The profile 'paper' needs HaWoR and MegaSAM, which this version of the kit can't read yet: use 'tiny', "
            "or 'small' with a MANO_RIGHT file."
        )
    raise UnknownName("profile", profile, PROFILES)


def truth_of(video: Path) -> TabletopClip | None:
    """The truth beside a rendered video, or None when there is none or it belongs to another file."""
    try:
        clip = TabletopClip.load(video.parent)
    except (BadInput, KeyError, TypeError):  # also for a truth.json that is something else altogether
        return None
    return clip if clip.truth.video_name == video.name and clip.truth.video_sha256 == sha256_of(video) else None


def frames_of(inputs: TourInputs, reconstruction: Reconstruction, short_side_px: int = 360) -> FrameSource:
    """The video's pictures by frame of its reconstruction, for everything that draws on frames.

    Args:
        inputs: of the tour.
        reconstruction: of the same video.
        short_side_px: larger frames are shrunk to this [px].

    Returns:
        A function from frame indices into the reconstruction to RGB images (height, width, 3).
    """

    def images(indices: Sequence[int]) -> list[np.ndarray]:
        with VideoReader(inputs.video, max_short_side_px=short_side_px) as reader:
            return [frame.image for frame in reader.at([int(reconstruction.source_frame[i]) for i in indices])]

    return images


def busier_hand(reconstruction: Reconstruction) -> Side:
    """The hand whose wrist goes further in the world while it is known."""
    lengths = {}
    for side in SIDES:
        is_known = reconstruction.hand(side).is_valid & reconstruction.camera.is_valid
        steps = np.linalg.norm(np.diff(reconstruction.t_world_wrist(side), axis=0), axis=1)
        lengths[side] = float(steps[is_known[1:] & is_known[:-1]].sum())
    return "left" if lengths["left"] > lengths["right"] else "right"


def clearest_frame(reconstruction: Reconstruction) -> int:
    """The frame that shows the hands best: as many as possible, with the least central wrist closest to the middle."""
    camera = reconstruction.camera
    size = np.array([camera.width_px, camera.height_px])
    off_centre, known = np.zeros(len(reconstruction)), np.zeros(len(reconstruction))
    for side in SIDES:
        hand = reconstruction.hand(side)
        uv = project(camera.K_px, hand.t_cam_wrist)
        is_shown = hand.is_valid & np.isfinite(uv).all(axis=1)
        distance = np.abs(uv / size - 0.5).max(axis=1)
        off_centre = np.maximum(off_centre, np.where(is_shown, distance, 0.0))
        known += is_shown & (np.nan_to_num(distance, nan=1.0) < 0.5)
    return int(np.argmin(off_centre - known))

"""Hand landmarks per frame of a video, with left and right told apart; CPU only, nothing is downloaded.

The landmark models are those inside the mediapipe wheel. A video tracker only finds what it can follow from a first
detection, so the video is run forward and time-reversed, and the two are merged (`identity`): on hands that reach
away from the camera this finds nearly every frame at a threshold that lets no false hand through.
"""

import importlib.util
import io
import logging
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.reconstruction.handedness import relabel
from vitra_lib.reconstruction.identity import HandDetections, IdentityConfig, Sighting, fuse, identify
from vitra_lib.reconstruction.second_look import LookConfig, look_again

log = logging.getLogger(__name__)

# file in the wheel -> name that the HandLandmarker task expects
_MODELS = {
    "modules/palm_detection/palm_detection_full.tflite": "hand_detector.tflite",
    "modules/hand_landmark/hand_landmark_full.tflite": "hand_landmarks_detector.tflite",
}
_MIN_SIDE_PX = 16
_native_log_lock = threading.Lock()


@dataclass(frozen=True)
class TrackerConfig:
    """Knobs of the hand tracker.

    Attributes:
        threshold: least confidence with which a palm is detected, in (0, 1]. Lower values start on false hands.
        presence: least confidence that a followed hand is still there. Low, because a hand that grasps is hard to
            see; the identity step removes the few ghosts.
        overlap: least overlap of a followed hand with itself in the next frame.
        max_hands: hands looked for per frame and pass.
        max_long_side_px: larger frames are shrunk to this for the tracker (landmarks come back in the frame's pixels).
        both_directions: also run time-reversed; off halves the time and loses many frames.
        looks_twice: search enlarged windows where a known hand was lost.
        look: where to search.
        identity: thresholds of the left/right decision.
    """

    threshold: float = 0.5
    presence: float = 0.2
    overlap: float = 0.3
    max_hands: int = 2
    max_long_side_px: int = 640
    both_directions: bool = True
    looks_twice: bool = True
    look: LookConfig = field(default_factory=LookConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)

    def __post_init__(self) -> None:
        for name in ("threshold", "presence", "overlap"):
            if not 0 < getattr(self, name) <= 1:
                raise BadInput(f"TrackerConfig.{name} must be in (0, 1], not {getattr(self, name)}.")
        if self.max_hands < 1:
            raise BadInput(f"TrackerConfig.max_hands must be at least 1, not {self.max_hands}.")
        if self.max_long_side_px < _MIN_SIDE_PX:
            raise BadInput(
                f"TrackerConfig.max_long_side_px must be at least {_MIN_SIDE_PX}, not {self.max_long_side_px}."
            )


@lru_cache(maxsize=1)
def hand_task() -> bytes:
    """The tracker's model bundle, zipped (stored, fixed dates) from the two networks inside the mediapipe wheel."""
    found = importlib.util.find_spec("mediapipe")
    if found is None or found.origin is None:
        raise MissingAsset(
            "The hand tracker needs the package mediapipe: run `make env` in the repository, or "
            "`pip install mediapipe==0.10.14`."
        )
    root = Path(found.origin).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for source, name in _MODELS.items():
            if not (root / source).is_file():
                raise MissingAsset(
                    f"This version of mediapipe does not contain {Path(source).name}: "
                    "run `make env` in the repository, or `pip install mediapipe==0.10.14`, the version that ships its "
                    "hand models."
                )
            bundle.writestr(zipfile.ZipInfo(name), (root / source).read_bytes())
    return buffer.getvalue()


@contextmanager
def _quiet_native_log() -> Iterator[None]:
    """Send the C++ library's start-up chatter, which ignores every log level, to the null device."""
    with _native_log_lock:
        try:
            saved = os.dup(2)
        except OSError:  # no stderr at all: nothing to silence
            yield
            return
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(null)


class HandLandmarks:
    """One pass of the landmark model over images, as sightings. Use as a context manager.

    Args:
        config: knobs.
        is_video: follow hands from image to image; off looks at each image alone.
    """

    def __init__(self, config: TrackerConfig = TrackerConfig(), is_video: bool = True) -> None:
        self._long_side = config.max_long_side_px
        self._is_video = is_video
        self._calls = 0
        task = hand_task()
        with _quiet_native_log(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mediapipe import Image, ImageFormat
            from mediapipe.tasks.python import BaseOptions, vision

            mode = vision.RunningMode.VIDEO if is_video else vision.RunningMode.IMAGE
            options = vision.HandLandmarkerOptions(
                base_options=BaseOptions(model_asset_buffer=task),
                running_mode=mode,
                num_hands=config.max_hands,
                min_hand_detection_confidence=config.threshold,
                min_hand_presence_confidence=config.presence,
                min_tracking_confidence=config.overlap,
            )
            self._landmarker = vision.HandLandmarker.create_from_options(options)
            self._wrap = lambda pixels: Image(image_format=ImageFormat.SRGB, data=pixels)
            self.forget()  # the first image also starts worker threads, which log once more

    def __enter__(self) -> "HandLandmarks":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graph."""
        self._landmarker.close()

    def forget(self) -> None:
        """Drop the hands that are being followed: a blank image has none."""
        self._detect(np.zeros((64, 64, 3), np.uint8))

    def _detect(self, pixels: np.ndarray) -> object:
        image = self._wrap(np.ascontiguousarray(pixels))
        self._calls += 1
        if self._is_video:
            # only the order of the stamps matters to the tracker
            return self._landmarker.detect_for_video(image, self._calls * 33)
        return self._landmarker.detect(image)

    def __call__(self, image: UInt8[np.ndarray, "height width 3"], frame: int = 0) -> list[Sighting]:
        """Hands in one RGB image; landmarks in pixels of `image` (0 = centre of the first pixel)."""
        height, width = image.shape[:2]
        if min(height, width) < _MIN_SIDE_PX:
            return []
        shrink = min(1.0, self._long_side / max(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        small = image if shrink == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        result = self._detect(small)
        sightings = []
        for label, points, world in zip(
            result.handedness, result.hand_landmarks, result.hand_world_landmarks, strict=True
        ):
            is_right = label[0].category_name == "Right"  # this API does not assume a mirrored image: no swap
            sightings.append(
                Sighting(
                    frame=frame,
                    keypoints_px=np.array([(p.x * width, p.y * height) for p in points]) - 0.5,
                    world_landmarks_m=np.array([(p.x, p.y, p.z) for p in world], np.float64),
                    right_probability=float(label[0].score if is_right else 1 - label[0].score),
                )
            )
        return sightings


class TrackPasses:
    """The forward and the time-reversed pass, kept warm for clip after clip. Use as a context manager.

    Args:
        config: knobs.
    """

    def __init__(self, config: TrackerConfig = TrackerConfig()) -> None:
        directions = (False, True) if config.both_directions else (False,)
        self._passes = [(HandLandmarks(config), is_reversed) for is_reversed in directions]

    def __enter__(self) -> "TrackPasses":
        return self

    def __exit__(self, *_: object) -> None:
        for landmarks, _is_reversed in self._passes:
            landmarks.close()

    def __call__(self, frames: Sequence[np.ndarray]) -> tuple[list[list[Sighting]], list[list[Sighting]]]:
        """Sightings per frame (forward, backward), both in the order of `frames`."""
        # each pass spends most of its time in native code, so two threads use two cores
        stop = threading.Event()
        with warnings.catch_warnings(), ThreadPoolExecutor(len(self._passes)) as pool:
            warnings.simplefilter("ignore")  # protobuf's deprecation notes about its own caller
            try:
                seen = list(pool.map(lambda job: _run_pass(job[0], frames, job[1], stop), self._passes))
            except BaseException:
                stop.set()  # Ctrl-C must not wait until both passes have seen the whole clip
                raise
        return seen[0], seen[1] if len(seen) > 1 else [[] for _ in frames]


def _run_pass(
    landmarks: HandLandmarks, frames: Sequence[np.ndarray], is_reversed: bool, stop: threading.Event
) -> list[list[Sighting]]:
    landmarks.forget()
    order = range(len(frames) - 1, -1, -1) if is_reversed else range(len(frames))
    seen: list[list[Sighting]] = [[] for _ in frames]
    for index in order:
        if stop.is_set():
            break
        seen[index] = landmarks(frames[index], index)
    return seen


def track_hands(
    frames: Sequence[UInt8[np.ndarray, "height width 3"]], fps: float, config: TrackerConfig = TrackerConfig()
) -> dict[Side, HandDetections]:
    """Find both hands of an egocentric camera in every frame.

    Args:
        frames: RGB images of one size, in the order of the video.
        fps: frames per second [1/s]; gives time rules their meaning.
        config: knobs.

    Returns:
        {"left": …, "right": …}; landmarks in pixels of the given frames. A hand that is never seen is all NaN.

    Raises:
        BadInput: no frames, frames of several sizes, or fps not positive.
        MissingAsset: mediapipe or its models are not installed.
    """
    if len(frames) == 0:
        raise BadInput("The hand tracker got no frames: give at least one.")
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) > 1:
        raise BadInput(f"All frames of a clip must have one size, not {sorted(sizes)}: split the clip or resize it.")
    if not fps > 0:
        raise BadInput(f"Frames per second must be positive, not {fps}.")
    height, width = frames[0].shape[:2]
    with TrackPasses(config) as passes:
        forward, backward = passes(frames)
        # fuse first: the tracker's own doubt tells which pass drifted, the corrected label no longer does
        fused = [fuse(a, b, config.identity.fuse_distance) for a, b in zip(forward, backward, strict=True)]
        seen = [relabel(s, width, height) for s in fused]
        found = identify(seen, float(fps), (width, height), config.identity)
        if config.looks_twice:
            closer = [look_again(frames, hand, float(fps), passes, config.look) for hand in found.values()]
            named = [[relabel(s, width, height) for s in hand] for hand in closer]
            more = [fuse(left, right, config.identity.fuse_distance) for left, right in zip(*named, strict=True)]
            if any(more):
                seen = [fuse(a, b, config.identity.fuse_distance) for a, b in zip(seen, more, strict=True)]
                found = identify(seen, float(fps), (width, height), config.identity)
    counts = {side: int(hand.is_detected.sum()) for side, hand in found.items()}
    log.debug("hands found in %d frames: %s", len(frames), counts)
    return found

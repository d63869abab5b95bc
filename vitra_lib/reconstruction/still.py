"""Both hands of a single picture, where a video's smoothness and camera motion are not there to help."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.contracts.hand_track import SIDES, HandTrack, Side
from vitra_lib.core.errors import RefusedClip
from vitra_lib.geometry.cameras import scale_K
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.fit import fit_hand
from vitra_lib.reconstruction.lifter import Lifter
from vitra_lib.reconstruction.tracker import TrackerConfig, track_hands

_LONG_SIDE_PX = 960
_REPEATS = 8  # the tracker drops what is seen for less than a quarter of a second as a ghost
_FPS = 30.0


def still_hands(
    image: UInt8[np.ndarray, "height width 3"], K_px: Float[np.ndarray, "3 3"], model: HandModel
) -> dict[Side, HandTrack]:
    """Find, lift and fit the hands of one picture.

    Args:
        image: RGB, from the wearer's view.
        K_px: its intrinsics.
        model: hand model to fit.

    Returns:
        One-frame tracks in the camera; a hand that was not found is invalid.

    Raises:
        RefusedClip: no hand was found.
        MissingAsset: the tracker is not installed.
    """
    scale = min(1.0, _LONG_SIDE_PX / max(image.shape[:2]))
    if scale < 1.0:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    K = scale_K(K_px, scale, scale)
    found = track_hands([image] * _REPEATS, _FPS, TrackerConfig(both_directions=False, looks_twice=False))
    times = np.arange(_REPEATS) / _FPS
    lifter = Lifter.load()
    tracks = {
        side: _last(fit_hand(side, lifter.lift(seen, K), seen, K, times, model)) for side, seen in found.items()
    }
    if not any(track.is_valid.any() for track in tracks.values()):
        raise RefusedClip("No hand was found in the picture: it must be from the wearer's view; or give --hand-state.")
    return {side: tracks[side] for side in SIDES}


def _last(track: HandTrack) -> HandTrack:
    """The last frame alone: there the tracker has settled."""
    names = ("R_cam_wrist", "t_cam_wrist", "R_parent_joint", "joints_cam", "is_valid", "is_observed", "confidence")
    return replace(track, **{name: getattr(track, name)[-1:] for name in names})

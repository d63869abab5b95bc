"""Finding faces in frames, and covering the frames between two sightings in which one was missed.

The network is the full-range face detector inside the mediapipe wheel; nothing is downloaded. It sees a picture of
192 x 192, so small faces are lost in it, and it knows upright faces only, with some room around them. So each frame is
shown to it whole, in overlapping tiles, turned by quarter turns, and from afar.
Measured figures: `results/records/faces.json`, written by `benchmarks/face_blur.py`.
"""

import threading
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from vitra_lib.core.errors import BadInput, MissingAsset

_local = threading.local()  # a graph of the detector serves one thread
_QUARTER_TURNS = (1, 2, 3)
_FILLS_FRAME = 0.4


@dataclass(frozen=True)
class FaceConfig:
    """Where faces are looked for, and when a box is one.

    Attributes:
        min_score: least score of a face in the upright whole frame, in (0, 1]; the detector itself gives nothing below
            about 0.6.
        min_score_elsewhere: the same in tiles and turned frames, which are many and so have more chances to err: at
            0.6 every fourth rendered frame without a face had one, at 0.72 few do, and of the small or turned faces
            about one in forty is lost.
        work_short_side_px: larger frames are shrunk to this for the search [px].
        tile_share: side of the square tiles over the short side of the frame, in (0, 1]; 1 = no tiles: faces that are
            smaller than about a tenth of the short side are then lost.
        looks_turned: also look for faces turned by 90, 180 and 270 degrees.
    """

    min_score: float = 0.6
    min_score_elsewhere: float = 0.72
    work_short_side_px: int = 480
    tile_share: float = 2 / 3
    looks_turned: bool = True

    def __post_init__(self) -> None:
        for name in ("min_score", "min_score_elsewhere", "tile_share"):
            if not 0 < getattr(self, name) <= 1:
                raise BadInput(f"FaceConfig.{name} must be in (0, 1], not {getattr(self, name)}.")
        if self.work_short_side_px < 64:
            raise BadInput(f"FaceConfig.work_short_side_px must be at least 64, not {self.work_short_side_px}.")


@dataclass(frozen=True)
class FaceSighting:
    """One face in one frame.

    Attributes:
        box_px: (4,) x0, y0, x1, y1 from brow to chin, in pixels of the frame as it was given.
        score: of the detector, in (0, 1]; NaN where the box was filled in between sightings.
    """

    box_px: Float[np.ndarray, "4"]
    score: float


def find_faces(
    image: UInt8[np.ndarray, "height width 3"], config: FaceConfig | None = None
) -> tuple[FaceSighting, ...]:
    """Faces in one RGB frame, best first; a face that several looks saw is there once.

    Raises:
        MissingAsset: mediapipe or its face model is not installed.
    """
    config = config or FaceConfig()
    shrink = min(1.0, config.work_short_side_px / min(image.shape[:2]))
    small = image if shrink == 1.0 else cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    found = [s for s in _detect(small) + _from_afar(small) if s.score >= config.min_score]
    elsewhere: list[FaceSighting] = []
    for x, y, side in _tiles(width, height, config.tile_share):
        tile = small[y : y + side, x : x + side]
        elsewhere += [FaceSighting(s.box_px + (x, y, x, y), s.score) for s in _detect(tile)]
    for turns in _QUARTER_TURNS if config.looks_turned else ():
        turned = np.rot90(small, turns)
        elsewhere += [FaceSighting(_turn_back(s.box_px, turns, width, height), s.score) for s in _detect(turned)]
    found += [s for s in elsewhere if s.score >= config.min_score_elsewhere]
    return tuple(FaceSighting(s.box_px / shrink, s.score) for s in _without_doubles(found))


def link_faces(
    sightings: list[tuple[FaceSighting, ...]],
    times_s: Float[np.ndarray, " time"],
    max_gap_s: float = 1.0,
    hold_s: float = 0.3,
) -> list[tuple[FaceSighting, ...]]:
    """Sightings of all frames with the missed ones filled in.

    A sighting continues the nearest one that is at most `max_gap_s` older and not further away than the larger of the
    two boxes (plus one box per half second). Between two sightings of one face the box moves evenly and is as large
    as the larger of both; before the first and after the last one it stays for `hold_s`.

    Args:
        sightings: per frame, what was found.
        times_s: frame times, increasing [s].
        max_gap_s: longest gap that is filled [s].
        hold_s: how long a box stays before its first and after its last sighting [s].

    Returns:
        Per frame, the found faces and the filled ones.
    """
    covered = [list(found) for found in sightings]
    for track in _tracks(sightings, times_s, max_gap_s):
        for (a, first), (b, second) in zip(track, track[1:], strict=False):
            for i in range(a + 1, b):
                share = (times_s[i] - times_s[a]) / (times_s[b] - times_s[a])
                covered[i].append(FaceSighting(_between(first.box_px, second.box_px, share), float("nan")))
        (start, first), (end, last) = track[0], track[-1]
        for i in _within(times_s, start, -hold_s):
            covered[i].append(FaceSighting(first.box_px, float("nan")))
        for i in _within(times_s, end, hold_s):
            covered[i].append(FaceSighting(last.box_px, float("nan")))
    return [tuple(faces) for faces in covered]


def _tracks(sightings: list, times_s: np.ndarray, max_gap_s: float) -> list[list[tuple[int, FaceSighting]]]:
    """Sightings of one face each, as (frame, sighting) in time order."""
    tracks: list[list[tuple[int, FaceSighting]]] = []
    for i, found in enumerate(sightings):
        open_tracks = [t for t in tracks if t[-1][0] < i and times_s[i] - times_s[t[-1][0]] <= max_gap_s]
        pairs = sorted(
            (_distance(t[-1][1], s, times_s[i] - times_s[t[-1][0]]), a, b)
            for a, t in enumerate(open_tracks)
            for b, s in enumerate(found)
        )
        taken: set[int] = set()
        for distance, a, b in pairs:
            if distance <= 1.0 and open_tracks[a][-1][0] < i and b not in taken:
                open_tracks[a].append((i, found[b]))
                taken.add(b)
        tracks += [[(i, s)] for b, s in enumerate(found) if b not in taken]
    return tracks


def _distance(a: FaceSighting, b: FaceSighting, seconds: float) -> float:
    """Distance of two boxes' centres over how far a face may have come; at most 1 = may be the same face."""
    size = max(np.ptp(a.box_px.reshape(2, 2), axis=0).max(), np.ptp(b.box_px.reshape(2, 2), axis=0).max())
    apart = np.linalg.norm(a.box_px.reshape(2, 2).mean(axis=0) - b.box_px.reshape(2, 2).mean(axis=0))
    return float(apart / (size * (1 + 2 * seconds)))


def _between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """A box on the way from one to the other, as large as the larger one."""
    corners_a, corners_b = a.reshape(2, 2), b.reshape(2, 2)
    centre = corners_a.mean(axis=0) * (1 - share) + corners_b.mean(axis=0) * share
    half = np.maximum(np.ptp(corners_a, axis=0), np.ptp(corners_b, axis=0)) / 2
    return np.concatenate([centre - half, centre + half])


def _within(times_s: np.ndarray, frame: int, seconds: float) -> Int[np.ndarray, " n"]:
    """Frames other than `frame` between its time and `seconds` later (or earlier, if negative)."""
    low, high = sorted((times_s[frame], times_s[frame] + seconds))
    inside = np.flatnonzero((times_s >= low - 1e-9) & (times_s <= high + 1e-9))
    return inside[inside != frame]


def _from_afar(image: np.ndarray) -> list[FaceSighting]:
    """Faces that fill the frame: it is shown at half its size amid black, because the network expects some room."""
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    x, y = (width - half.shape[1]) // 2, (height - half.shape[0]) // 2
    room = np.zeros_like(image)
    room[y : y + half.shape[0], x : x + half.shape[1]] = half
    scale = np.tile([width / half.shape[1], height / half.shape[0]], 2)
    found = [FaceSighting((s.box_px - (x, y, x, y)) * scale, s.score) for s in _detect(room)]
    # Smaller faces show in the other looks; here they would only be more chances to err.
    return [s for s in found if np.ptp(s.box_px[1::2]) > _FILLS_FRAME * min(width, height)]


def _tiles(width: int, height: int, share: float) -> list[tuple[int, int, int]]:
    """(x, y, side) of square tiles that cover the frame, neighbours overlapping by half or so."""
    side = round(min(width, height) * share)
    if share >= 1 or side < 64:
        return []
    places = [np.linspace(0, n - side, -(-(n - side) * 2 // side) + 1).round().astype(int) for n in (width, height)]
    return [(int(x), int(y), side) for y in places[1] for x in places[0]]


def _turn_back(box: np.ndarray, turns: int, width: int, height: int) -> np.ndarray:
    """A box in a picture turned by np.rot90(picture, turns), in the picture before it was turned."""
    points = box.reshape(2, 2)
    for k in range(turns, 0, -1):  # undo one counter-clockwise quarter turn: (x, y) was at (w - y, x)
        w = width if k % 2 == 1 else height
        points = np.stack([w - points[:, 1], points[:, 0]], axis=1)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _without_doubles(found: list[FaceSighting]) -> list[FaceSighting]:
    """Best first; a box whose centre lies in a better one of similar size is the same face."""
    kept: list[FaceSighting] = []
    for s in sorted(found, key=lambda s: (-s.score, *s.box_px)):
        if not any(_overlap(s.box_px, k.box_px) > 0.3 for k in kept):
            kept.append(s)
    return kept


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    common = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(common / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common, 1e-9))


def _detect(image: np.ndarray) -> list[FaceSighting]:
    """What the network sees in one picture."""
    height, width = image.shape[:2]
    result = _detector().process(np.ascontiguousarray(image))
    sightings = []
    for item in result.detections or ():
        b = item.location_data.relative_bounding_box
        box = np.array([b.xmin * width, b.ymin * height, (b.xmin + b.width) * width, (b.ymin + b.height) * height])
        if np.isfinite(box).all() and (box[2:] > box[:2]).all():
            sightings.append(FaceSighting(box, float(item.score[0])))
    return sightings


def _detector():
    if not hasattr(_local, "detector"):
        try:
            from mediapipe.python.solutions.face_detection import FaceDetection

            # mediapipe's own readers call it; a user can do nothing about it, and it comes with every face found
            warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype\(\) is deprecated", UserWarning)
            _local.detector = FaceDetection(model_selection=1, min_detection_confidence=0.5)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise MissingAsset(
                "Faces can't be looked for without the face detector of mediapipe 0.10.14: "
                "run `pip install mediapipe==0.10.14`, or turn anonymising off if nobody can be in the picture."
            ) from error
    return _local.detector

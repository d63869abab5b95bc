"""Checks of one official file's own entries, before anything is made of them (spec, 1.2)."""

import numpy as np

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.episodes.doctor.finding import Report
from vitra_lib.episodes.doctor.labels import orthonormality
from vitra_lib.episodes.doctor.limits import DoctorConfig

# name -> shape after the time axis, and whether every reader needs it
_HAND = {
    "beta": ((10,), True),
    "global_orient_worldspace": (("time", 3, 3), True),
    "hand_pose": (("time", 15, 3, 3), True),
    "transl_worldspace": (("time", 3), True),
    "kept_frames": (("time",), True),
    "joints_worldspace": (("time", 21, 3), True),
    "global_orient_camspace": (("time", 3, 3), False),
    "joints_camspace": (("time", 21, 3), False),
}
_WHOLE = {"extrinsics": ("time", 4, 4), "intrinsics": (3, 3), "video_decode_frame": ("time",)}


def check_raw(content: object, name: str, report: Report, config: DoctorConfig) -> None:
    """Entries, shapes and types; whole numbers where they belong; camera-space copies against world space.

    Args:
        content: what the file holds.
        name: of the episode.
        report: where findings go.
        config: thresholds.
    """
    if not isinstance(content, dict):
        report.add("error", "schema", name, f"the file holds a {type(content).__name__}, not a dict")
        return
    missing = [key for key in (*_WHOLE, "video_name", "anno_type", "text", *SIDES) if key not in content]
    if missing:
        report.add("error", "schema", name, f"missing: {', '.join(missing)}")
        return
    if content["anno_type"] not in SIDES:
        report.add("error", "schema", name, f"anno_type is {content['anno_type']!r}; legal are left, right")
    time = np.size(content["video_decode_frame"])
    fine = all([_has_shape(content, key, shape, time, name, report) for key, shape in _WHOLE.items()])
    _check_text(content, name, time, report)
    for side in SIDES:
        hand = content[side]
        if not isinstance(hand, dict):
            report.add("error", "schema", f"{name}, {side} hand", f"a {type(hand).__name__}, not a dict")
            continue
        place = f"{name}, {side} hand"
        absent = [key for key, (_, is_needed) in _HAND.items() if is_needed and key not in hand]
        if absent:
            report.add("error", "schema", place, f"missing: {', '.join(absent)}")
            continue
        present = {key: shape for key, (shape, _) in _HAND.items() if key in hand}
        if all([_has_shape(hand, key, shape, time, place, report) for key, shape in present.items()]) and fine:
            _check_values(content, hand, place, report, config)


def _has_shape(values: dict, key: str, shape: tuple, time: int, place: str, report: Report) -> bool:
    wanted = tuple(time if axis == "time" else axis for axis in shape)
    try:
        array = np.asarray(values[key], dtype=np.float64)
    except (TypeError, ValueError):
        report.add("error", "schema", place, f"{key} does not hold numbers")
        return False
    if array.shape != wanted:
        report.add("error", "schema", place, f"{key} has shape {array.shape} instead of {wanted}")
        return False
    if key in ("kept_frames", "video_decode_frame") and (array != np.round(array)).any():
        report.add("error", "schema", place, f"{key} does not hold whole numbers")
        return False
    if not np.isfinite(array).all():
        report.add(
            "error", "not_finite", place, f"{key} has {int((~np.isfinite(array)).sum())} values that are no numbers"
        )
        return False
    return True


def _check_text(content: dict, name: str, time: int, report: Report) -> None:
    """Captions: (sentence, (start, stop)) with an interval inside the episode, paraphrases parallel to them."""
    for side in SIDES:
        place = f"{name}, {side} hand"
        captions = content["text"].get(side, []) if isinstance(content["text"], dict) else None
        try:
            ranges = [(str(text), int(start), int(stop)) for text, (start, stop) in captions]
        except (TypeError, ValueError):
            report.add("error", "schema", place, "text must be a list of (sentence, (start, stop))")
            continue
        for text, start, stop in ranges:
            if not 0 <= start <= stop <= time:
                report.add("error", "caption_range", place, f"{text!r} covers [{start}, {stop}) of {time} frames")
        others = content.get("text_rephrase")
        count = len(others.get(side, [])) if isinstance(others, dict) else len(ranges)
        if count != len(ranges):
            report.add("warning", "caption_range", place, f"{count} lists of paraphrases for {len(ranges)} captions")


def _check_values(content: dict, hand: dict, place: str, report: Report, config: DoctorConfig) -> None:
    kept = np.asarray(hand["kept_frames"])
    if not np.isin(kept, (0, 1)).all():
        report.add("error", "mask", place, f"kept_frames holds {np.unique(kept).tolist()}; legal are 0 and 1")
    T = np.asarray(content["extrinsics"], float)
    valid = (kept != 0) & (orthonormality(T[:, :3, :3]) <= config.orthonormal)
    if not valid.any():
        return
    R, t = T[valid, :3, :3], T[valid, :3, 3]
    if "joints_camspace" in hand:
        world = np.asarray(hand["joints_worldspace"], float)[valid]
        moved = np.einsum("tij,tkj->tki", R, world) + t[:, None]
        off = float(np.abs(moved - np.asarray(hand["joints_camspace"], float)[valid]).max())
        if off > config.consistent_m:
            report.add(
                "error", "consistency", place, f"joints_camspace is up to {off:.3g} m from the moved joints_worldspace"
            )
    if "global_orient_camspace" in hand:
        turned = R @ np.asarray(hand["global_orient_worldspace"], float)[valid]
        off = float(np.abs(turned - np.asarray(hand["global_orient_camspace"], float)[valid]).max())
        if off > config.consistent_m:
            report.add(
                "error",
                "consistency",
                place,
                f"global_orient_camspace is up to {off:.3g} from the turned worldspace one",
            )

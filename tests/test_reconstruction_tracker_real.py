"""Left and right on real clips whose hands are known: no track may carry the wrong name."""

from pathlib import Path

import numpy as np
import pytest

from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.tracker import track_hands
from vitra_lib.video import VideoReader


def hands_of(video: Path, frames: int, mirrored: bool = False) -> dict[str, HandDetections]:
    if not video.is_file():
        pytest.skip(f"{video.name} is not there")
    with VideoReader(video, max_short_side_px=360) as reader:
        images = [frame.image for frame in reader.frames(0, frames)]
        fps = reader.info.fps
    return track_hands([np.ascontiguousarray(i[:, ::-1]) for i in images] if mirrored else images, fps)


@pytest.mark.parametrize("mirrored", [False, True], ids=["as filmed", "mirrored control"])
def test_a_real_right_hand_keeps_its_name_and_its_mirror_image_is_a_left_one(shared_data, mirrored):
    found = hands_of(shared_data / "dexretarget_hand" / "human_hand_video.mp4", 30, mirrored)
    right, wrong = ("left", "right") if mirrored else ("right", "left")
    assert found[right].is_detected.mean() > 0.9
    assert not found[wrong].is_detected.any()


def test_two_real_hands_at_one_plate_are_told_apart_in_every_frame(shared_data):
    found = hands_of(shared_data / "hawor_video0" / "video_0.mp4", 45)
    both = found["left"].is_detected & found["right"].is_detected
    assert both.sum() > 30
    x = {side: hand.keypoints_px[both].mean(axis=1)[:, 0] for side, hand in found.items()}
    assert (x["left"] < x["right"]).all()  # both hold one plate before the body: they can't be crossed

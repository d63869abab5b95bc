"""The committed sample is whole, small, and what its command makes."""

import hashlib

import numpy as np
import pytest

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.rendering import SAMPLE_CONFIG, SAMPLE_NAME
from vitra_lib.video import probe


@pytest.fixture(scope="module")
def sample(repository) -> TabletopClip:
    return TabletopClip.load(repository / "data" / "sample")


def test_sample_is_small_long_enough_and_busy(sample, repository):
    folder = repository / "data" / "sample"
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 1.5e6
    info = probe(folder / SAMPLE_NAME)
    assert info.frame_count == len(sample) and info.duration_s >= 8.0
    assert (info.width_px, info.height_px) == (sample.truth.camera.width_px, sample.truth.camera.height_px)
    assert sum(not c.is_na for c in sample.captions) >= 6 and not sample.truth.camera.is_static
    assert all(sample.truth.hand(side).is_valid.mean() > 0.9 for side in SIDES)


def test_sample_truth_names_the_video_that_lies_beside_it(sample, repository):
    video = repository / "data" / "sample" / SAMPLE_NAME
    assert sample.truth.video_name == SAMPLE_NAME
    assert sample.truth.video_sha256 == hashlib.sha256(video.read_bytes()).hexdigest()


def test_sample_is_what_its_configuration_makes(sample):
    assert sample.config == SAMPLE_CONFIG
    again = generate_clip(SAMPLE_CONFIG)
    assert again.captions == sample.captions and again.objects.names == sample.objects.names
    np.testing.assert_allclose(again.truth.camera.T_world_cam, sample.truth.camera.T_world_cam, atol=1e-9)
    for side in SIDES:
        np.testing.assert_allclose(again.truth.hand(side).t_cam_wrist, sample.truth.hand(side).t_cam_wrist, atol=1e-9)

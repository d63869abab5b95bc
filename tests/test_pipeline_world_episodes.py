"""Data sets of the synthetic world: what is in them is true, the same twice, and readable by the training loader."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, RefusedClip, UnknownName
from vitra_lib.dataset import LoaderConfig, SampleConfig, TrainingLoader, TrainingSamples, open_source
from vitra_lib.episodes import EpisodeStore
from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig, build_world_episodes, episode_truth
from vitra_lib.tabletop.staging import Stage

CONFIG = WorldEpisodesConfig.tiny(2, seed=40)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    """Two reaches."""
    return build_world_episodes(CONFIG, tmp_path_factory.mktemp("world") / "set")


def test_every_episode_is_a_whole_reach_that_ends_at_the_thing_it_names(store: EpisodeStore) -> None:
    assert len(store) == 2
    for episode in store:
        caption = episode.right.captions[0]
        assert caption.source == "truth" and caption.text.startswith("Reach for the ")
        assert episode.right.is_valid.all() and not episode.left.is_valid.any()
        truth, last = episode_truth(episode), len(episode) - 1
        assert f"the {truth.clip.objects.names[truth.target]}." in caption.text
        palm = episode.joints_cam("right")[:, [0, 5, 9, 13, 17]].mean(1)
        gaps = [np.linalg.norm(truth.object_cam(truth.target, f) - palm[f]) for f in (0, last)]
        other = np.linalg.norm(truth.object_cam(1 - truth.target, last) - palm[last])
        assert gaps[1] < 0.2 and gaps[1] < 0.8 * gaps[0]
        assert other > gaps[1]  # the control: the thing that is not named is further away


def test_the_labels_are_the_truth_of_the_clip(store: EpisodeStore) -> None:
    for episode in store:
        truth = episode_truth(episode)
        part = slice(truth.start, truth.start + len(episode))
        np.testing.assert_allclose(episode.t_cam_wrist("right"), truth.clip.truth.right.t_cam_wrist[part], atol=1e-9)
        shifted = truth.clip.truth.right.t_cam_wrist[part.start - 1 : part.stop - 1]
        if len(shifted) == len(episode):  # the control: one frame off is centimetres off
            assert np.abs(episode.t_cam_wrist("right") - shifted).max() > 1e-3


def test_the_pictures_are_those_of_the_clip(store: EpisodeStore) -> None:
    episode = store[0]
    truth = episode_truth(episode)
    drawn = Stage.of(truth.clip, CONFIG.texture_px).render(truth.start).image.astype(float)
    stored = store.images(0, [0, len(episode) - 1])
    near, far = (np.abs(drawn - image).mean() for image in stored)
    assert stored[0].shape == (84, 112, 3)
    assert near < 8.0 < far


def test_two_processes_write_the_same_bytes(store: EpisodeStore, tmp_path: Path) -> None:
    build_world_episodes(CONFIG, tmp_path / "again", workers=2)
    for path in sorted(store.root.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(store.root)).read_bytes(), path.name


def test_the_training_loader_reads_it(store: EpisodeStore) -> None:
    samples = TrainingSamples([open_source(store.root)], SampleConfig())
    batch = next(iter(TrainingLoader(samples, None, LoaderConfig(4))))
    assert batch.image is not None and batch.image.shape == (4, 3, 224, 224)
    assert not batch.action_mask[:, :, :51].any() and batch.state_mask[:, 51:102].all()


def test_what_can_not_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="skill 'fly'"):
        replace(CONFIG, skills=("fly",))
    with pytest.raises(BadInput, match="whole number"):
        replace(CONFIG, clip=replace(CONFIG.clip, fps=7.5))
    with pytest.raises(BadInput, match="at least 1"):
        replace(CONFIG, episodes=0)
    with pytest.raises(RefusedClip, match="fewer than 1 episodes of wipe"):
        never = replace(CONFIG, episodes=1, skills=("wipe",), clip=replace(CONFIG.clip, duration_s=2.0))
        build_world_episodes(never, tmp_path / "none")
    assert not (tmp_path / "none").exists()

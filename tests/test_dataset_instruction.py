"""Which sentence a sample gets."""

from dataclasses import replace

import numpy as np
import pytest
from dataset_samples_makers import labels_at, make_episode, official_episode

from vitra_lib.dataset.draws import PLACE, draw_many
from vitra_lib.dataset.instruction import EpisodeTexts
from vitra_lib.dataset.sample import AugmentationConfig, SampleConfig
from vitra_lib.episodes import EpisodeCaption


def test_official_frequencies(shared_data):
    """Of the example the original is also the first rephrasing, so that it has twice the share of the others."""
    episode = official_episode(shared_data)
    labels = labels_at(episode, [3] * 3000, u=draw_many(0, 0, np.arange(3000)))
    texts, counts = np.unique(labels.instruction, return_counts=True)
    assert len(texts) == 5 and all(text.startswith("Left hand: None. Right hand: ") for text in texts)
    shares = dict(zip(texts.tolist(), (counts / 3000).tolist(), strict=True))
    original = shares.pop("Left hand: None. Right hand: Pick up the spray bottle.")
    assert abs(original - 1 / 3) < 0.03 and all(abs(share - 1 / 6) < 0.03 for share in shares.values())


def test_sentences_are_stripped_and_end_with_a_full_stop():
    episode = make_episode()
    caption = EpisodeCaption("  Take it", 0, 25, "truth", rephrasings=(" Grasp it. ",))
    texts = EpisodeTexts.of(replace(episode, right=replace(episode.right, captions=(caption,))))
    assert texts.hands[1][0].sentences == ("Take it.", "Grasp it.")


@pytest.fixture
def crowded():
    """The other hand has three sentences, of which the last two cover frame 10."""
    captions = (
        EpisodeCaption("One.", 0, 5, "truth", rephrasings=("First.",)),
        EpisodeCaption("Two.", 5, 20, "truth", rephrasings=("Second.",)),
        EpisodeCaption("Three.", 8, 25, "truth", rephrasings=("Third.",)),
    )
    episode = make_episode()
    return EpisodeTexts.of(replace(episode, left=replace(episode.left, captions=captions)))


def test_the_other_hand_takes_a_sentence_that_covers_the_frame(crowded):
    seen = {crowded.choose(10, u, 0.0, v) for u in (0.0, 0.9) for v in (0.0, 0.9)}
    assert {texts[0] for texts, _ in seen} == {"Two.", "Second.", "Three.", "Third."}
    assert {bounds[0] for _, bounds in seen} == {(5, 19), (8, 24)} and {bounds[1] for _, bounds in seen} == {(0, 24)}
    assert crowded.choose(2, 0.9, 0.0, 0.9)[0][0] == "First."


def test_the_official_code_takes_another_ones_rephrasing(crowded):
    assert crowded.choose(10, 0.0, 0.0, 0.9, official_quirks=True)[0][0] == "First."
    assert crowded.choose(10, 0.0, 0.0, 0.9)[0][0] == "Second."


def test_no_sentence_is_none_and_a_frame_outside_has_the_whole_episode(crowded):
    episode = make_episode()
    silent = EpisodeTexts.of(replace(episode, left=replace(episode.left, captions=())))
    assert silent.choose(10, 0.5, 0.5, 0.5) == (("None.", "Pick up the cup."), ((0, 24), (0, 24)))
    empty = EpisodeCaption("Never.", 3, 3, "truth")
    never = EpisodeTexts.of(replace(episode, left=replace(episode.left, captions=(empty,))))
    assert never.choose(3, 0.5, 0.5, 0.5)[0][0] == "None."


def test_dropping_the_other_hands_sentence_keeps_its_labels():
    episode, u = make_episode(), draw_many(0, 0, np.arange(200))
    u[:, PLACE["flip"]] = 0.9
    dropped = labels_at(episode, [7] * 200, SampleConfig(augmentation=AugmentationConfig(none_probability=0.3)), u)
    kept = labels_at(episode, [7] * 200, SampleConfig(augmentation=AugmentationConfig()), u)
    share = np.mean([a != b for a, b in zip(dropped.instruction, kept.instruction, strict=True)])
    assert abs(share - 0.3) < 0.1 and all("Left hand: Hold the bowl." in text for text in kept.instruction)
    assert np.array_equal(dropped.action_mask, kept.action_mask)

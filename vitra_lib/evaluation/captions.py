"""How right captions are, against the truth of the synthetic world: verb, noun, N/A, and whose hand was described.

Sentences are compared by meaning: verbs and nouns of one group of `captioning.vocabulary` are the same. Intervals
resample whole clips, because the segments of a clip share its objects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vitra_lib.captioning.vocabulary import Meaning, meaning
from vitra_lib.contracts import Caption, Segment
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.tabletop.clip import TabletopClip

MIN_IN_VIEW = 0.5
"""Segments whose hand is in view for a smaller share of their frames are left out: nobody could caption them."""
_DRAWS = 2000


@dataclass(frozen=True)
class Judgement:
    """One segment: what is true of it, and what was said.

    Attributes:
        clip: number of its clip.
        segment: the segment.
        truth: the true sentence, or "" where the hand does nothing that can be named.
        said: the caption, "" for N/A, None where there is none.
        verb, noun: whether the verb and the noun are right; False where either sentence is missing.
        other: what the other hand does meanwhile, or "" where nothing else or the same.
        wrong_hand: whether the caption describes the other hand; False where `other` is "" and no hand is named.
    """

    clip: int
    segment: Segment
    truth: str
    said: str | None
    verb: bool
    noun: bool
    other: str
    wrong_hand: bool


def judge_clip(
    clip: TabletopClip, segments: Sequence[Segment], captions: Sequence[Caption], number: int = 0
) -> tuple[Judgement, ...]:
    """Compare the captions of one clip with its truth.

    Args:
        clip: a clip of the world.
        segments: what was captioned: the true segments, or those of a cutting rule.
        captions: one per answered segment.
        number: number of the clip in its set.
    """
    said = {c.segment: "" if c.is_na else c.text for c in captions}
    judged = []
    for segment in segments:
        in_view = clip.truth.hand(segment.side).is_valid[segment.start : segment.stop]
        if len(in_view) == 0 or in_view.mean() < MIN_IN_VIEW:
            continue
        other: Side = "left" if segment.side == "right" else "right"
        truth, meanwhile = true_action(clip, segment, segment.side), true_action(clip, segment, other)
        judged.append(judge(number, segment, truth, meanwhile, said.get(segment)))
    return tuple(judged)


def true_action(clip: TabletopClip, segment: Segment, side: Side) -> str:
    """The true sentence of the action of a hand that fills most of a segment; "" where that is nothing nameable."""

    def shared(caption: Caption) -> int:
        return min(caption.segment.stop, segment.stop) - max(caption.segment.start, segment.start)

    own = [c for c in clip.captions if c.segment.side == side and shared(c) > 0]
    return max(own, key=shared).text if own else ""


def judge(number: int, segment: Segment, truth: str, other: str, said: str | None) -> Judgement:
    """Compare one caption with what is true.

    Args:
        number: number of the clip.
        segment: what was captioned.
        truth: what its hand does, "" = nothing.
        other: what the other hand does meanwhile, "" = nothing.
        said: the caption; "" = N/A, None = none.
    """
    heard, wanted, meanwhile = meaning(said or ""), meaning(truth), meaning(other)
    verb, noun = _same_verb(heard, wanted), _same_noun(heard, wanted)
    is_distinct = bool(other) and not (_same_verb(meanwhile, wanted) and _same_noun(meanwhile, wanted))
    tells_other = is_distinct and _same_verb(heard, meanwhile) and _same_noun(heard, meanwhile) and not (verb and noun)
    names_other = bool(heard.hand) and heard.hand != segment.side
    return Judgement(
        clip=number,
        segment=segment,
        truth=truth,
        said=said,
        verb=verb,
        noun=noun,
        other=other if is_distinct else "",
        wrong_hand=bool(said) and (tells_other or names_other),
    )


def _same_verb(a: Meaning, b: Meaning) -> bool:
    return bool(a.verbs & b.verbs)


def _same_noun(a: Meaning, b: Meaning) -> bool:
    return bool(a.nouns & b.nouns)


@dataclass(frozen=True)
class Share:
    """A share that is pooled over judgements.

    Attributes:
        name: of the figure.
        counts: whether a judgement is in the denominator.
        hits: whether it is in the numerator as well.
    """

    name: str
    counts: Callable[[Judgement], bool]
    hits: Callable[[Judgement], bool]

    def per_clip(self, judged: Sequence[Judgement], clips: int) -> np.ndarray:
        """(clips, 2) hits and counts of each clip."""
        table = np.zeros((clips, 2))
        for j in judged:
            if self.counts(j):
                table[j.clip] += (self.hits(j), 1)
        return table


SHARES = (
    Share("segments answered", lambda j: True, lambda j: j.said is not None),
    Share("verb right", lambda j: bool(j.truth), lambda j: j.verb),
    Share("noun right", lambda j: bool(j.truth), lambda j: j.noun),
    Share("verb and noun right", lambda j: bool(j.truth), lambda j: j.verb and j.noun),
    Share("N/A precision", lambda j: j.said == "", lambda j: not j.truth),
    Share("N/A recall", lambda j: not j.truth, lambda j: j.said == ""),
    Share("wrong hand", lambda j: bool(j.said) and bool(j.other), lambda j: j.wrong_hand),
)
"""Accuracies count segments whose truth has an action; N/A and missing captions are wrong there. The rate of wrong
hands counts captions of segments in which the other hand does something else."""


def caption_figures(judged: Sequence[Judgement], seed: int = 0) -> tuple[Figure, ...]:
    """All shares with 95 % intervals from resampled clips.

    Raises:
        BadInput: nothing was judged.
    """
    clips = _clips(judged)
    picks = np.random.default_rng(seed).integers(clips, size=(_DRAWS, clips))
    return tuple(_figure(share.name, share.per_clip(judged, clips), picks) for share in SHARES)


def clip_figures(clip: TabletopClip | None, captions: Sequence[Caption]) -> tuple[Figure, ...]:
    """The shares of one clip, whose own segments were captioned; without truth each is NaN of nothing.

    Args:
        clip: the clip; None = a real video, of which nothing is known.
        captions: captions of its segments.
    """
    judged = () if clip is None else judge_clip(clip, [c.segment for c in captions], captions)
    return (
        caption_figures(judged) if judged else tuple(Figure(share.name, float("nan"), "share", 0) for share in SHARES)
    )


def paired_figures(
    judged: Sequence[Judgement], without: Sequence[Judgement], names: tuple[str, str], seed: int = 0
) -> tuple[Figure, ...]:
    """Both conditions of an ablation and their difference, first minus second; clips are resampled in pairs.

    Args:
        judged, without: judgements of the same clips under the two conditions.
        names: what the conditions are called.
        seed: of the resampling.

    Raises:
        BadInput: nothing was judged, or the clips differ.
    """
    clips = _clips(judged)
    if _clips(without) != clips:
        raise BadInput("An ablation compares the same clips: one condition has others.")
    picks = np.random.default_rng(seed).integers(clips, size=(_DRAWS, clips))
    figures = []
    for share in SHARES:
        one, two = share.per_clip(judged, clips), share.per_clip(without, clips)
        figures += [_figure(f"{share.name}, {names[0]}", one, picks), _figure(f"{share.name}, {names[1]}", two, picks)]
        draws = _ratio(one[picks].sum(axis=1)) - _ratio(two[picks].sum(axis=1))
        value = float(_ratio(one.sum(axis=0)) - _ratio(two.sum(axis=0)))
        figures.append(Figure(f"{share.name}, difference", value, "share", int(one[:, 1].sum()), _interval(draws)))
    return tuple(figures)


def _clips(judged: Sequence[Judgement]) -> int:
    if not judged:
        raise BadInput("There is no segment to judge: no hand is in view in any of the clips.")
    return max(j.clip for j in judged) + 1


def _figure(name: str, table: np.ndarray, picks: np.ndarray) -> Figure:
    value = float(_ratio(table.sum(axis=0)))
    return Figure(name, value, "share", int(table[:, 1].sum()), _interval(_ratio(table[picks].sum(axis=1))))


def _ratio(counts: np.ndarray) -> np.ndarray:
    """Hits per count; NaN where nothing counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts[..., 1] > 0, counts[..., 0] / counts[..., 1], np.nan)


def _interval(draws: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of the draws; None where nothing could be drawn."""
    known = draws[np.isfinite(draws)]
    if len(known) == 0:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)

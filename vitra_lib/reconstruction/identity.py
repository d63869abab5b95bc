"""Which hand is which: single sightings of two tracker passes become at most one left and one right hand per frame.

Three steps. (1) `fuse`: sightings of one frame that cover each other (the passes run forward and backward in time)
become one. (2) `link`: sightings are chained through time by motion and size, and a chain is cut where two
continuations are equally good, so that crossing hands can't swap unnoticed. (3) `choose_sides`: each chain votes
with all its frames; two chains that are seen at once can't be the same hand; ghosts (short, off-size, duplicate)
are dropped. A prior of egocentric cameras (left hand on the left) is worth less than one confident frame.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class Sighting:
    """One hand in one frame, before it's known whose it is.

    Attributes:
        frame: index of the frame.
        keypoints_px: (21, 2) landmarks [px of the given frame].
        world_landmarks_m: (21, 3) the tracker's own 3-D guess, camera axes, centred on the hand [m].
        right_probability: in [0, 1], the tracker's belief in a right hand.
        passes: how many passes saw it.
    """

    frame: int
    keypoints_px: Float[np.ndarray, "21 2"]
    world_landmarks_m: Float[np.ndarray, "21 3"]
    right_probability: float
    passes: int = 1

    @property
    def size_px(self) -> float:
        """Longer side of the box around the landmarks [px]."""
        return float(np.ptp(self.keypoints_px, axis=0).max())


@dataclass(frozen=True)
class HandDetections:
    """What the tracker saw of one hand in every frame of a video.

    Attributes:
        side: "left" or "right".
        keypoints_px: (time, 21, 2) landmarks [px of the given frame]; NaN where not detected.
        world_landmarks_m: (time, 21, 3) the tracker's own 3-D guess, camera axes, centred on the hand [m]; NaN where
            not detected. It's biased for egocentric views: `lifter` corrects it.
        score: (time,) in [0, 1], the tracker's belief that this is a hand of `side`; 0 where not detected.
        is_detected: (time,) True where the hand was seen.
    """

    side: Side
    keypoints_px: Float[np.ndarray, "time 21 2"]
    world_landmarks_m: Float[np.ndarray, "time 21 3"]
    score: Float[np.ndarray, " time"]
    is_detected: Bool[np.ndarray, " time"]

    def __len__(self) -> int:
        return len(self.is_detected)


@dataclass(frozen=True)
class IdentityConfig:
    """Thresholds of the identity step; lengths are in units of the hand's own size (longer box side).

    Attributes:
        fuse_distance: two sightings of one frame closer than this (mean landmark distance) are one hand.
        link_distance: how far a hand may be from where it's expected in the next frame.
        link_growth_per_s: how much that grows per second without a sighting.
        link_gap_s: longest pause inside one chain [s].
        ambiguity: a chain is cut where the second-best continuation costs less than this more than the best.
        label_weight: cost of a full change of handedness inside a chain.
        min_seen_s: chains seen for a shorter time (summed over both passes) are ghosts [s].
        size_range: legal hand size as a fraction of the image diagonal.
        prior_log_odds: weight of "the left hand is on the left", for a whole chain at the image border.
        continuity_log_odds: weight of "a named hand was in this very place a moment ago".
        memory_s: time constant with which that fades [s].
        swap_proof_s: how long a chain must be seen on the proper side of a rival to be renamed against its own sure
            label [s].
    """

    fuse_distance: float = 0.5
    link_distance: float = 0.9
    link_growth_per_s: float = 2.0
    link_gap_s: float = 0.35
    ambiguity: float = 0.25
    label_weight: float = 0.3
    min_seen_s: float = 0.25
    size_range: tuple[float, float] = (0.025, 1.2)
    prior_log_odds: float = 1.5
    continuity_log_odds: float = 20.0
    memory_s: float = 0.7
    swap_proof_s: float = 0.4

    def __post_init__(self) -> None:
        for name in ("fuse_distance", "link_distance", "link_gap_s"):
            if not getattr(self, name) > 0:
                raise BadInput(f"IdentityConfig.{name} must be positive, not {getattr(self, name)}.")
        if not 0 < self.size_range[0] < self.size_range[1]:
            raise BadInput(f"IdentityConfig.size_range must be two growing positive numbers, not {self.size_range}.")


def landmark_distance(a: Sighting, b: Sighting) -> float:
    """Mean landmark distance of two sightings in units of their mean size."""
    gap = np.linalg.norm(a.keypoints_px - b.keypoints_px, axis=1).mean()
    return float(gap / max(0.5 * (a.size_px + b.size_px), 1e-6))


def fuse(forward: list[Sighting], backward: list[Sighting], max_distance: float) -> list[Sighting]:
    """Join the sightings of one frame by two passes; those that cover each other are averaged.

    Each pass counts with its own certainty about the handedness, the only confidence that the tracker gives.
    """
    forward, backward = _distinct(forward, 0.7 * max_distance), _distinct(backward, 0.7 * max_distance)
    if not forward or not backward:
        return [*forward, *backward]
    cost = np.array([[landmark_distance(a, b) for b in backward] for a in forward])
    pairs = [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(cost), strict=True) if cost[i, j] < max_distance]
    fused = [_average(forward[i], backward[j]) for i, j in pairs]
    left_over = [a for i, a in enumerate(forward) if i not in {p[0] for p in pairs}]
    left_over += [b for j, b in enumerate(backward) if j not in {p[1] for p in pairs}]
    return _distinct(fused + left_over, 0.7 * max_distance)


def _distinct(sightings: list[Sighting], max_distance: float) -> list[Sighting]:
    """Without the sightings that cover a better one: the tracker at times follows one hand twice."""
    kept: list[Sighting] = []
    for s in sorted(sightings, key=lambda s: (-s.passes, -abs(s.right_probability - 0.5))):
        if all(landmark_distance(s, other) > max_distance for other in kept):
            kept.append(s)
    return kept


def _average(a: Sighting, b: Sighting) -> Sighting:
    # squared margin over a coin toss: a pass that drifts off the hand soon doubts which hand it is
    weight_a, weight_b = ((abs(s.right_probability - 0.5) + 0.05) ** 2 for s in (a, b))
    share = weight_a / (weight_a + weight_b)
    return Sighting(
        a.frame,
        share * a.keypoints_px + (1 - share) * b.keypoints_px,
        share * a.world_landmarks_m + (1 - share) * b.world_landmarks_m,
        share * a.right_probability + (1 - share) * b.right_probability,
        a.passes + b.passes,
    )


def _expected(chain: list[Sighting], frame: int) -> np.ndarray:
    """Where the landmarks of a chain should be in `frame`: constant velocity over at most two frames."""
    last = chain[-1]
    if len(chain) < 2:
        return last.keypoints_px
    before = chain[-2]
    velocity = (last.keypoints_px.mean(0) - before.keypoints_px.mean(0)) / (last.frame - before.frame)
    return last.keypoints_px + velocity * min(frame - last.frame, 2)


def _link_cost(chain: list[Sighting], sighting: Sighting, fps: float, config: IdentityConfig) -> float:
    gap_s = (sighting.frame - chain[-1].frame) / fps
    size = max(chain[-1].size_px, sighting.size_px, 1e-6)
    # a hand that turned may overshoot: the nearer of "moves on" and "stays" counts
    means = [
        np.abs(p - sighting.keypoints_px).mean() * 1.5
        for p in (_expected(chain, sighting.frame), chain[-1].keypoints_px)
    ]
    cost = min(means) / size
    if cost > config.link_distance + config.link_growth_per_s * gap_s or size > 2.5 * min(
        chain[-1].size_px, sighting.size_px
    ):
        return np.inf
    belief = np.mean([s.right_probability for s in chain[-8:]])
    return cost + config.label_weight * abs(belief - sighting.right_probability)


def link(frames: list[list[Sighting]], fps: float, config: IdentityConfig) -> list[list[Sighting]]:
    """Chain the sightings of successive frames; ambiguous continuations start new chains."""
    done: list[list[Sighting]] = []
    open_chains: list[list[Sighting]] = []
    max_gap = max(1, round(config.link_gap_s * fps))
    for index, sightings in enumerate(frames):
        done += [c for c in open_chains if index - c[-1].frame > max_gap]
        open_chains = [c for c in open_chains if index - c[-1].frame <= max_gap]
        if not sightings:
            continue
        taken: set[int] = set()
        if open_chains:
            cost = np.array([[_link_cost(c, s, fps, config) for s in sightings] for c in open_chains])
            rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e6))
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
                if np.isfinite(cost[i, j]) and not _is_ambiguous(cost, i, j, config.ambiguity):
                    open_chains[i].append(sightings[j])
                    taken.add(j)
        open_chains += [[s] for j, s in enumerate(sightings) if j not in taken]
    return done + open_chains


def _is_ambiguous(cost: np.ndarray, i: int, j: int, margin: float) -> bool:
    """True where exchanging the partners with another live chain AND sighting would cost nearly the same."""
    for k in range(cost.shape[0]):
        for m in range(cost.shape[1]):
            if (
                k != i
                and m != j
                and np.isfinite(cost[k, m])
                and cost[i, m] + cost[k, j] < cost[i, j] + cost[k, m] + margin
            ):
                return True
    return False


def _evidence(chain: list[Sighting], width_px: float, config: IdentityConfig) -> float:
    """Log-odds of "right": every sighting votes, bounded, and the place in the image breaks ties."""
    p = np.clip([s.right_probability for s in chain], 0.05, 0.95)
    votes = np.log(p / (1 - p)) * np.minimum([s.passes for s in chain], 2) / 2
    place = np.mean([s.keypoints_px[:, 0].mean() for s in chain]) / width_px
    return float(votes.sum() + config.prior_log_odds * np.clip(2 * place - 1, -1, 1))


def _continuity(
    chain: list[Sighting], accepted: dict[Side, list[list[Sighting]]], fps: float, config: IdentityConfig
) -> float:
    """Log-odds of "right" because a named hand was here just before, or is just after."""
    log_odds = 0.0
    for side, sign in (("left", -1.0), ("right", 1.0)):
        best = 0.0
        for other in accepted[side]:
            for early, late in ((other[-1], chain[0]), (chain[-1], other[0])):
                gap_s = (late.frame - early.frame) / fps
                if gap_s > 0:
                    nearness = np.exp(-landmark_distance(early, late)) * np.exp(-gap_s / config.memory_s)
                    best = max(best, config.continuity_log_odds * nearness)
        log_odds += sign * best
    return float(log_odds)


def _shared(a: list[Sighting], b: list[Sighting]) -> list[tuple[Sighting, Sighting]]:
    other = {s.frame: s for s in b}
    return [(s, other[s.frame]) for s in a if s.frame in other]


def _is_ghost(chain: list[Sighting], fps: float, frame_count: int, diagonal_px: float, config: IdentityConfig) -> bool:
    needed = min(max(2, ceil(config.min_seen_s * fps)), 2 * frame_count)
    size = np.median([s.size_px for s in chain]) / diagonal_px
    return sum(s.passes for s in chain) < needed or not config.size_range[0] <= size <= config.size_range[1]


def _settle(
    chain: list[Sighting],
    evidence: float,
    accepted: dict[Side, list[list[Sighting]]],
    fps: float,
    config: IdentityConfig,
) -> tuple[Side | None, list[Sighting]]:
    """Side of a chain given the stronger chains that already have one; None for a ghost."""
    wanted: Side = "right" if evidence > 0 else "left"
    other: Side = "left" if wanted == "right" else "right"
    rivals = [pairs for c in accepted[wanted] if (pairs := _shared(chain, c))]
    if not rivals:
        return wanted, chain
    shared = [pair for pairs in rivals for pair in pairs]
    frames = {a.frame for a, _ in shared}
    rest = [s for s in chain if s.frame not in frames]
    if len(frames) < 0.3 * len(chain):
        return wanted, rest
    distance = np.median([landmark_distance(a, b) for a, b in shared])
    size_ratio = np.median([a.size_px / max(b.size_px, 1e-6) for a, b in shared])
    if distance < 0.6 or not 0.4 < size_ratio < 2.5:
        return (wanted, rest) if len(rest) > len(frames) else (None, [])
    # two hands at once with one label: the weaker chain is the other hand unless that side is taken too; when it's
    # sure of its label, only a long time on the proper side of its rival can outvote it
    offset = np.median([a.keypoints_px[:, 0].mean() - b.keypoints_px[:, 0].mean() for a, b in shared])
    apart = (-offset if other == "left" else offset) / np.median([s.size_px for s in chain])
    is_sure = np.mean([max(s.right_probability, 1 - s.right_probability) for s in chain]) > 0.85
    is_proven = apart > 0.5 and len(frames) >= config.swap_proof_s * fps
    if any(_shared(chain, c) for c in accepted[other]) or (is_sure and not is_proven):
        return (wanted, rest) if len(rest) > len(frames) else (None, [])
    return other, chain


def choose_sides(
    chains: list[list[Sighting]], frame_count: int, fps: float, size_px: tuple[int, int], config: IdentityConfig
) -> dict[Side, HandDetections]:
    """Give each chain a side by majority of its frames, strongest first; drop ghosts; pack per frame.

    Args:
        chains: from `link`.
        frame_count: length of the video in frames.
        fps: frames per second [1/s].
        size_px: (width, height) of the frames [px].
        config: thresholds.
    """
    width, height = size_px
    diagonal = float(np.hypot(width, height))
    real = [c for c in chains if not _is_ghost(c, fps, frame_count, diagonal, config)]
    evidence = [_evidence(c, float(width), config) for c in real]
    accepted: dict[Side, list[list[Sighting]]] = {"left": [], "right": []}
    waiting = list(range(len(real)))
    while waiting:  # the surest chain first: what is settled helps to name its neighbours in time
        total = {k: evidence[k] + _continuity(real[k], accepted, fps, config) for k in waiting}
        best = max(waiting, key=lambda k: (abs(total[k]), -real[k][0].frame))
        waiting.remove(best)
        side, kept = _settle(real[best], total[best], accepted, fps, config)
        if side is not None and kept:
            accepted[side].append(kept)
    return {side: _pack(side, accepted[side], frame_count) for side in SIDES}


def _pack(side: Side, chains: list[list[Sighting]], frame_count: int) -> HandDetections:
    keypoints = np.full((frame_count, 21, 2), np.nan)
    world = np.full((frame_count, 21, 3), np.nan)
    score = np.zeros(frame_count)
    seen = np.zeros(frame_count, bool)
    for s in (s for chain in chains for s in chain):
        keypoints[s.frame], world[s.frame], seen[s.frame] = s.keypoints_px, s.world_landmarks_m, True
        score[s.frame] = s.right_probability if side == "right" else 1 - s.right_probability
    return HandDetections(side, keypoints, world, score, seen)


def identify(
    frames: list[list[Sighting]], fps: float, size_px: tuple[int, int], config: IdentityConfig = IdentityConfig()
) -> dict[Side, HandDetections]:
    """Tell left from right in a whole clip.

    Args:
        frames: per frame, the sightings of different hands (`fuse` joins those of several passes).
        fps: frames per second [1/s].
        size_px: (width, height) of the frames [px].
        config: thresholds.

    Returns:
        Detections per side, of the video's length; all-NaN for a hand that is never seen.
    """
    return choose_sides(link(frames, fps, config), len(frames), fps, size_px, config)

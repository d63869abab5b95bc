"""A random program of skills for one hand, filling a given time: a shuffled deck of things it could do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.hands.kinematics import BoneChains
from vitra_lib.tabletop import skills
from vitra_lib.tabletop.layout import Scene, mirror_pose
from vitra_lib.tabletop.motion import Move
from vitra_lib.tabletop.planner import Action, HandPlanner, Hold

_STRETCH = (0.88, 1.25)
_IDLE_CHANCE = 0.15
_WITHDRAW_CHANCE = 0.3
_RETRIES = 3


@dataclass(frozen=True)
class HandProgram:
    """What one hand does in a clip, planned for a right hand (mirrored for a left one).

    Attributes:
        side: whose program it is.
        moves: wrist movements in order.
        keys: (time [s], finger pose (15, 3)) in order.
        actions: atomic actions that cover the whole clip without gaps.
        holds: when which object moves with the hand.
    """

    side: Side
    moves: tuple[Move, ...]
    keys: tuple[tuple[float, np.ndarray], ...]
    actions: tuple[Action, ...]
    holds: tuple[Hold, ...]


@dataclass(frozen=True)
class Card:
    """One thing a hand could do: a skill, its object, and (for putting and pouring) where to."""

    skill: str
    thing: int
    target: int = -1


def _deck(scene: Scene, side: Side) -> list[Card]:
    """All cards of a hand's own objects."""
    own = [i for i, t in enumerate(scene.things) if t.owner == side]
    cards: list[Card] = []
    for i in own:
        can = scene.things[i].instance.skills
        if can & {"carry-side", "carry-top"}:
            cards += [Card("move", i), Card("lift", i)]
            receivers = [k for k in own if "receive" in scene.things[k].instance.skills]
            cards += [Card("put", i, k) for k in receivers]
            cards += [Card("pour", i, k) for k in receivers if "pour" in can]
        cards += [Card(skill, i) for skill in ("push", "turn", "wipe") if skill in can]
    return cards


def _play(planner: HandPlanner, card: Card, labels: Sequence[str]) -> bool:
    """Append the atomic actions of one card; False when it can't be done."""
    thing, label = card.thing, labels[card.thing]
    if card.skill in ("push", "turn", "wipe"):
        return {"push": skills.push, "turn": skills.turn, "wipe": skills.wipe}[card.skill](planner, thing, label)
    if card.skill == "move":
        return skills.take(planner, thing, label) and skills.place(planner, label, True)
    if card.skill == "lift":
        return skills.pick(planner, thing, label) and skills.place(planner, label, False)
    if card.skill == "put":
        return skills.take(planner, thing, label) and skills.put_on(planner, label, card.target, labels[card.target])
    return (
        skills.pick(planner, thing, label)
        and skills.pour(planner, label, card.target, labels[card.target])
        and skills.place(planner, label, False)
    )


def _weights(cards: list[Card], played: list[Card]) -> Float[np.ndarray, " cards"]:
    """Chances of the cards: every skill equally, what was done already rarely again."""
    counts = {skill: sum(c.skill == skill for c in cards) for skill in {c.skill for c in cards}}
    done = [sum(p.skill == c.skill for p in played) + 2 * sum(p == c for p in played) for c in cards]
    w = np.array([1.0 / counts[c.skill] * 0.35**d for c, d in zip(cards, done, strict=True)])
    return w / w.sum()


def plan_hand(scene: Scene, side: Side, chains: BoneChains, duration_s: float, rng: np.random.Generator) -> HandProgram:
    """Draw a program that lasts exactly `duration_s`.

    Args:
        scene: objects and where they stand.
        side: whose hand it is.
        chains: skeleton of the right hand.
        duration_s: length of the clip [s].
        rng: source of randomness.
    """
    is_shared = len({t.owner for t in scene.things} - {None}) > 1
    poses = [t.T_table_object if side == "right" else mirror_pose(t.T_table_object) for t in scene.things]
    labels = [t.label for t in scene.things]
    planner = HandPlanner(side, [t.instance for t in scene.things], poses, chains, is_shared, rng)
    if rng.random() < 0.4:
        skills.idle(planner)
    cards = _deck(scene, side)
    played: list[Card] = []
    untried = list(cards)
    retries = _RETRIES
    while planner.time < duration_s * 0.97:
        if not untried:
            if not retries or duration_s - planner.time < 2.5:
                break
            # Nothing works from here: take the hand back and look again from there.
            if planner.actions and planner.actions[-1].skill == "withdraw":
                skills.idle(planner)
            else:
                skills.withdraw(planner)
            retries, untried = retries - 1, list(cards)
        card = untried.pop(int(rng.choice(len(untried), p=_weights(untried, played))))
        fork = planner.fork()
        if _play(fork, card, labels) and fork.time <= duration_s / _STRETCH[0]:
            planner, untried = fork, list(cards)
            played.append(card)
            _pause(planner, duration_s)
    return _fill(planner, side, duration_s)


def _pause(planner: HandPlanner, duration_s: float) -> None:
    """Sometimes take the hand back, sometimes hover, between two skills."""
    left = duration_s - planner.time
    if left > 1.0 and planner.rng.random() < _WITHDRAW_CHANCE:
        skills.withdraw(planner)
        if planner.rng.random() < 0.5:
            skills.idle(planner)
    elif left > 1.0 and planner.rng.random() < _IDLE_CHANCE:
        skills.idle(planner)


def _fill(planner: HandPlanner, side: Side, duration_s: float) -> HandProgram:
    """Use up what time is left (withdraw, hover), then stretch or squeeze the whole a little to fit exactly."""
    if duration_s - planner.time > 0.55 and not (planner.actions and planner.actions[-1].skill == "withdraw"):
        skills.withdraw(planner)
    while not planner.moves or duration_s / planner.time > _STRETCH[1]:
        skills.idle(planner)
    k = duration_s / planner.time
    moves = tuple(replace(m, start_s=m.start_s * k, stop_s=m.stop_s * k) for m in planner.moves)
    keys = tuple((at * k, pose) for at, pose in planner.keys)
    actions = [replace(a, start_s=a.start_s * k, stop_s=a.stop_s * k) for a in planner.actions]
    actions[-1] = replace(actions[-1], stop_s=duration_s)
    holds = tuple(replace(h, start_s=h.start_s * k, stop_s=h.stop_s * k) for h in planner.holds)
    return HandProgram(side, moves, keys, tuple(actions), holds)

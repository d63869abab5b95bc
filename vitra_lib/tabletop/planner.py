"""The timeline of one hand: moves from standstill to standstill, fingers, holds, and checks that nothing collides.

Everything is planned for a right hand; a left hand is planned in the mirror x -> -x of the table frame.

Where one atomic action ends and the next begins. The wrist stands still for a moment (`dwell_s`) after each move:
that is when fingers close on an object or let go of it. The boundary is the middle of that standstill, so it is a
minimum of the wrist's speed: reach -> [stop, fingers close] -> lift -> [stop] -> carry -> [stop, fingers open]
-> withdraw.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.hands.grasps import blend_poses, named_pose
from vitra_lib.hands.kinematics import BoneChains
from vitra_lib.tabletop.arm import elbow_of, natural_heading, pointing
from vitra_lib.tabletop.catalog import Instance
from vitra_lib.tabletop.grip import SKIN_M, Grip, finger_points, grip_of
from vitra_lib.tabletop.motion import Move, between
from vitra_lib.tabletop.solids import Solid

_CHECKS = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0])
"""Shares of the movement time at which collisions are looked for; the start is where the last move left the hand."""
_FOREARM_RADIUS_M = 0.034
CONTACT = 2.0
"""Key time of `Request.fingers`: the middle of the standstill after the move."""


@dataclass(frozen=True)
class Action:
    """One atomic action.

    Attributes:
        start_s, stop_s: boundaries [s].
        skill: "reach", "lift", "place", "over", "pour", "upright", "push", "turn", "wipe", "withdraw" or "idle".
        text: caption, "" where there is nothing to say.
        thing: index of the object that it is about, -1 for none.
    """

    start_s: float
    stop_s: float
    skill: str
    text: str
    thing: int


@dataclass(frozen=True)
class Hold:
    """An object moves rigidly with the hand.

    Attributes:
        thing: index of the object.
        start_s, stop_s: from contact to release [s].
        T_wrist_object: (4, 4) maps points in the object to the wrist.
    """

    thing: int
    start_s: float
    stop_s: float
    T_wrist_object: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Request:
    """One move that a skill asks for.

    Attributes:
        T_goal: (4, 4) wrist pose at its end; None with `pivot`.
        skill, text, thing: of the atomic action.
        depart, arrive: (3,) offsets [m] of the path's inner control points.
        pivot: (axis, point [m], angle [rad]) of a turn about a line, or None.
        fingers: (when, pose): when = share of the move, or `CONTACT`.
        near: objects that the hand may touch in this move.
        tremor: share of the hand's tremor.
        is_sliding: the path may not be raised to avoid things.
        tempo: scales the duration.
    """

    T_goal: Float[np.ndarray, "4 4"] | None
    skill: str
    text: str
    thing: int = -1
    depart: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    arrive: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    pivot: tuple[np.ndarray, np.ndarray, float] | None = None
    fingers: tuple[tuple[float, np.ndarray], ...] = ()
    near: frozenset[int] = frozenset()
    tremor: float = 1.0
    is_sliding: bool = False
    tempo: float = 1.0


class HandPlanner:
    """Builds the timeline of one hand, move by move; `go` says no rather than letting things collide."""

    def __init__(
        self,
        side: Side,
        models: Sequence[Instance],
        poses: Sequence[Float[np.ndarray, "4 4"]],
        chains: BoneChains,
        is_shared: bool,
        rng: np.random.Generator,
    ) -> None:
        """Start from rest.

        Args:
            side: for words in captions only; geometry is that of a right hand.
            models: all objects of the scene.
            poses: where they stand, in the planning frame (mirrored for a left hand).
            chains: skeleton of the right hand.
            is_shared: another hand works on the other side of x = 0.
            rng: source of variety.
        """
        self.side, self.models, self.chains, self.is_shared, self.rng = side, models, chains, is_shared, rng
        self._grips: dict[tuple[str, str], Grip] = {}
        self.solids = [Solid.of(m) for m in models]
        self.T_things = [T.copy() for T in poses]
        self.moves: list[Move] = []
        self.keys: list[tuple[float, np.ndarray]] = []
        self.actions: list[Action] = []
        self.holds: list[Hold] = []
        self.time, self.boundary = 0.0, 0.0
        self.held: int | None = None
        self.grip: Grip | None = None
        self.origin = np.zeros(3)
        self.pose = blend_poses(named_pose("relaxed"), named_pose("flat"), float(rng.uniform(0.0, 0.4)))
        self.keys.append((0.0, self.pose))
        self.T_wrist = self._free_rest()
        self.leave = np.array([0.0, -0.03, 0.05])

    def _free_rest(self) -> Float[np.ndarray, "4 4"]:
        """A pose to start from that touches nothing (the last of 30 tries otherwise: then the hand is above things)."""
        for _ in range(30):
            T = rest_pose(self.rng)
            if self._is_free(Move(0.0, 1.0, T, T), Request(T, "idle", "")):
                return T
        T[2, 3] += 0.12
        return T

    def grip_on(self, thing: int, way: str) -> Grip:
        """`grip.grip_of` for one object, solved once."""
        key = (self.models[thing].name, way)
        if key not in self._grips:
            self._grips[key] = grip_of(self.models[thing], way, self.chains)
        return self._grips[key]

    def fork(self) -> "HandPlanner":
        """An independent copy that can be thrown away (it shares the random source)."""
        twin = copy(self)
        for name in ("T_things", "moves", "keys", "actions", "holds"):
            setattr(twin, name, list(getattr(self, name)))
        return twin

    def lateral(self, x: float) -> str:
        """ "left" or "right" as the person sees it, for a direction along x of the planning frame."""
        return "right" if (x > 0) == (self.side == "right") else "left"

    def go(self, request: Request) -> bool:
        """Append one move and its standstill; False, with nothing changed, when the way is not free."""
        dwell = float(self.rng.uniform(0.10, 0.17))
        for raise_m in (0.0,) if request.is_sliding else (0.0, 0.06, 0.12):
            move = self._move(request, raise_m)
            if self._is_free(move, request):
                break
        else:
            return False
        if not self.moves:
            self.boundary = 0.0
        self.moves.append(move)
        contact = move.stop_s + 0.5 * dwell
        for when, pose in request.fingers:
            at = contact if when == CONTACT else move.start_s + when * (move.stop_s - move.start_s)
            self.keys.append((at, pose))
            self.pose = pose
        if not request.fingers:
            self.keys.append((move.stop_s, self.pose))
        self.actions.append(Action(self.boundary, contact, request.skill, request.text, request.thing))
        self.T_wrist, self.boundary, self.time = move.T_table_stop, contact, move.stop_s + dwell
        if self.held is not None:
            self.T_things[self.held] = self.T_wrist @ invert(self.grip.T_object_wrist)
        return True

    def grasp(self, thing: int, grip: Grip) -> None:
        """Take hold at the boundary just reached; the fingers must already be asked to close there."""
        T_object_wrist = between(self.T_things[thing], self.T_wrist)
        self.grip = Grip(T_object_wrist, grip.open_pose, grip.closed_pose, grip.heading, grip.is_free)
        self.held, self.origin = thing, self.T_things[thing][:3, 3].copy()
        self.holds.append(Hold(thing, self.boundary, np.inf, invert(T_object_wrist)))

    def release(self, leave: Float[np.ndarray, "3"]) -> None:
        """Let go at the boundary just reached: fingers open while the next move starts along `leave` [m]."""
        last = self.holds[-1]
        self.holds[-1] = Hold(last.thing, last.start_s, self.boundary, last.T_wrist_object)
        self.keys.append((self.boundary, self.pose))
        self.keys.append((self.boundary + 0.24, self.grip.open_pose))
        self.pose = self.grip.open_pose
        self.held, self.grip, self.leave = None, None, leave

    def _move(self, request: Request, raise_m: float) -> Move:
        """The request as a timed move; `raise_m` lifts the middle of the path."""
        up = np.array([0.0, 0.0, raise_m])
        if request.pivot is not None:
            axis, point, angle = request.pivot
            radius = np.linalg.norm(np.cross(axis, self.T_wrist[:3, 3] - point))
            distance = abs(angle) * max(float(radius), 0.06)
        else:
            distance = float(np.linalg.norm(request.T_goal[:3, 3] - self.T_wrist[:3, 3])) + 0.4 * raise_m
        duration = request.tempo * float(np.clip(0.5 + 1.1 * distance + self.rng.normal(0.0, 0.05), 0.62, 1.6))
        start, stop = self.time, self.time + duration
        skew = float(self.rng.uniform(0.88, 1.0))
        if request.pivot is None:
            return Move(
                start,
                stop,
                self.T_wrist,
                request.T_goal,
                request.depart + up,
                request.arrive + up,
                None,
                skew,
                request.tremor,
            )
        turn = Move(start, stop, self.T_wrist, self.T_wrist, pivot=request.pivot, skew=skew, tremor=request.tremor)
        goal = turn.sample(np.array([stop]))[0]
        return Move(start, stop, self.T_wrist, goal, pivot=request.pivot, skew=skew, tremor=request.tremor)

    def _is_free(self, move: Move, request: Request) -> bool:
        """Whether hand, forearm and held object keep clear of the table, of things, and of the other hand's side."""
        poses = move.sample(move.start_s + _CHECKS * (move.stop_s - move.start_s))
        late = request.fingers[0][1] if request.fingers else self.pose
        shapes = finger_points(self.chains, np.stack([self.pose, late])).reshape(2, -1, 3)
        hand = np.stack([apply(T, shapes[int(u > 0.4)]) for T, u in zip(poses, _CHECKS, strict=True)])
        elbows = elbow_of(poses[:, :3, 3])
        share = np.array([0.25, 0.5, 0.75, 1.0])[:, None]
        arm = poses[:, None, :3, 3] + share * (elbows - poses[:, :3, 3])[:, None]
        if hand[..., 2].min() < 0.4 * SKIN_M or hand[..., 1].max() > 0.58:
            return False
        if self.is_shared and hand[..., 0].min() < -0.005:
            return False
        body = np.zeros((len(poses), 0, 3))
        if self.held is not None:
            corners = apply(invert(self.grip.T_object_wrist), self.solids[self.held].corners())
            body = apply(poses, np.broadcast_to(corners, (len(poses), *corners.shape)))
            if body[..., 2].min() < -1e-4 or (self.is_shared and body[..., 0].min() < 0.0):
                return False
        for i, (solid, T) in enumerate(zip(self.solids, self.T_things, strict=True)):
            if i == self.held or i in request.near:
                continue
            upto = 6 if i == request.thing and self.held is None else len(poses)
            for points, margin in ((hand, 0.6 * SKIN_M), (arm, _FOREARM_RADIUS_M), (body, 0.002)):
                if points.shape[1] and solid.distance_at(T, points[:upto].reshape(-1, 3)).min() < margin:
                    return False
        return True


def rest_pose(rng: np.random.Generator) -> Float[np.ndarray, "4 4"]:
    """Where an unused right hand hovers, near the person and half turned."""
    x, y = rng.uniform(0.12, 0.22), rng.uniform(-0.02, 0.05)
    T = np.eye(4)
    T[:3, :3] = pointing(natural_heading(x, y), rng.uniform(-0.1, 0.12), rng.uniform(0.3, 0.9))
    T[:3, 3] = [x, y, rng.uniform(0.09, 0.13)]
    return T

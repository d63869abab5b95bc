"""Whether a way of the robot meets things: the trial's own shapes, looked at without moving the trial."""

import copy
from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from robot.simulation.physics import Simulation
from robot.simulation.rig import load_mujoco
from vitra_lib.geometry.transforms import invert

_STEP_RAD = 0.06


class Surroundings:
    """The things as they lie now, grown by a margin."""

    def __init__(self, simulation: Simulation, margin_m: float = 0.006) -> None:
        """
        Args:
            simulation: the trial; stays untouched.
            margin_m: how near a way may come to a thing.
        """
        self._mujoco, self._simulation = load_mujoco(), simulation
        self._model = copy.copy(simulation.model)
        self._model.opt.enableflags |= int(self._mujoco.mjtEnableBit.mjENBL_OVERRIDE)
        self._model.opt.o_margin = margin_m
        self._data = self._mujoco.MjData(self._model)
        model, things = self._model, {thing.name for thing in simulation.scene.things}
        bodies = [model.body(model.geom_bodyid[geom]).name for geom in range(model.ngeom)]
        self._thing = [body if body in things else "" for body in bodies]
        self._is_robot = [body.startswith(("arm.", "hand.")) for body in bodies]

    def meets(self, path: Float[np.ndarray, "step joints"], ignoring: Collection[str] = (), held: str = "") -> str:
        """The first thing that the robot would meet on a way, or "".

        Args:
            path: angles of arm and hand [rad]; what lies between two steps is looked at too.
            ignoring: things that may be met.
            held: a thing that goes with the hand as it does now; it must not meet others or the table either, once it
                has left what it touches at the beginning.
        """
        count = 1 + int(np.ceil(np.abs(np.diff(path, axis=0)).sum(0).max() / _STEP_RAD)) if len(path) > 1 else 1
        place, known = np.linspace(0.0, 1.0, count), np.linspace(0.0, 1.0, len(path))
        rows = np.stack([np.interp(place, known, column) for column in path.T], axis=1)
        self._data.qpos[:] = self._simulation.data.qpos
        if held:
            T_hand_held = invert(self._simulation.T_world_hand) @ self._simulation.T_world_thing(held)
        allowed: set[str] = set()
        for number, row in enumerate(rows):
            self._data.qpos[self._simulation.rig.qpos] = row
            self._mujoco.mj_fwdPosition(self._model, self._data)
            if held:
                self._carry(held, T_hand_held)
            met = self._met(held) - set(ignoring)
            allowed = met if held and number == 0 else allowed & met
            if met - allowed:
                return min(met - allowed)
        return ""

    def _carry(self, held: str, T_hand_held: Float[np.ndarray, "4 4"]) -> None:
        """Put the held thing where the hand takes it."""
        hand = self._data.body(self._simulation.rig.hand_body)
        R = hand.xmat.reshape(3, 3)
        joint = self._data.joint(held)
        joint.qpos[:3] = hand.xpos + R @ T_hand_held[:3, 3]
        self._mujoco.mju_mat2Quat(joint.qpos[3:], (R @ T_hand_held[:3, :3]).ravel())
        self._mujoco.mj_fwdPosition(self._model, self._data)

    def _met(self, held: str) -> set[str]:
        """What robot and held thing touch now; the held thing and the robot may touch each other."""
        found = set()
        for pair in self._data.contact.geom:
            for other, mine in (pair, pair[::-1]):
                if held and self._thing[mine] == held:
                    if not self._is_robot[other]:
                        found.add(self._thing[other] or "table")
                elif self._is_robot[mine] and self._thing[other] not in ("", held):
                    found.add(self._thing[other])
        return found

"""What the sub-verbs that move the robot share: opening the rig, the safety layer, and the account at the end."""

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robot.drivers.clock import Clock, ManualClock, WallClock
from robot.drivers.kinematic import KinematicRobot, StillCamera
from robot.drivers.protocol import Camera, Robot
from robot.drivers.realman import RealmanArm, RealmanConfig
from robot.drivers.realsense import RealSense
from robot.drivers.rig import Rig
from robot.drivers.xhand import XHandConfig, XHandSerial, XHandVendor
from robot.execution.loop import ControlLoop, LoopConfig, Source
from robot.execution.policy_source import Setup
from robot.safety.arming import Arming
from robot.safety.config import SafetyConfig
from robot.safety.gate import SafetyGate
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput

if TYPE_CHECKING:
    from robot.simulation.driver import SimulatedRig


@dataclass(frozen=True, eq=False)
class OpenRig:
    """A robot with its camera on one clock, not connected yet.

    Attributes:
        robot, camera, clock: belong together.
        arming: the two keys.
        simulation: the trial that they are of; None for hardware and for the kinematic robot.
    """

    robot: Robot
    camera: Camera
    clock: Clock
    arming: Arming
    simulation: "SimulatedRig | None" = None


def open_rig(args: argparse.Namespace) -> OpenRig:
    """The hardware with --real, a task in simulation with --simulate, the kinematic robot without.

    Raises:
        BadInput: --execute without --real, or --real with --simulate.
        UnknownName: no such task or split.
    """
    arming = Arming(args.real, args.execute)
    if args.simulate is not None:
        return _open_task(args, arming)
    if args.film is not None:
        raise BadInput("--film shows a simulation; name a task with --simulate.")
    if not arming.real:
        clock = ManualClock()
        return OpenRig(KinematicRobot(clock), StillCamera(clock), clock, arming)
    clock = WallClock()
    camera = RealSense(clock=clock)
    hand_config = XHandConfig(port=args.hand_port)
    hand = XHandSerial(hand_config, clock) if args.hand == "serial" else XHandVendor(hand_config, clock)
    # Without --execute the controller is in its own simulation too, so that nothing can move by mistake.
    arm = RealmanArm(RealmanConfig(host=args.arm_host, is_simulated=not arming.execute), clock)
    return OpenRig(Rig(arm, hand, camera, clock), camera, clock, arming)


def _open_task(args: argparse.Namespace, arming: Arming) -> OpenRig:
    """A scene of a task."""
    from robot.simulation.driver import open_simulation
    from robot.simulation.tasks import sample_scene

    if arming.real:
        raise BadInput("--real opens the hardware and --simulate a simulation; leave one of them out.")
    rig = open_simulation(sample_scene(args.simulate, args.seed, args.split))
    if rig.setup.side != args.side:
        raise BadInput(f"The task {args.simulate} is for the {rig.setup.side} arm; leave --side out.")
    return OpenRig(rig.robot, rig.camera, rig.clock, arming, rig)


def read_setup(path: Path | None, side: Side, instruction: str, arming: Arming) -> Setup:
    """Where camera and wrist are.

    Args:
        path: JSON with T_base_cam and T_flange_mount; a camera above and behind the table when None.
        side: which hand.
        instruction: what shall be done.
        arming: hardware needs a file.

    Raises:
        BadInput: no such file, or no such transforms in it.
    """
    if path is None:
        if arming.real:
            raise BadInput("The real robot needs --setup, a JSON file with its measured T_base_cam and T_flange_mount.")
        T_base_cam = np.array([[0, -0.6, 0.8, -0.1], [-1, 0, 0, 0], [0, -0.8, -0.6, 0.8], [0, 0, 0, 1]], float)
        return Setup(side, instruction, T_base_cam, np.eye(4))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        T_base_cam, T_flange_mount = (np.array(content[name], float) for name in ("T_base_cam", "T_flange_mount"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is not a JSON file with T_base_cam and T_flange_mount ({error}).") from error
    return Setup(side, instruction, T_base_cam, T_flange_mount)


def finish(args: argparse.Namespace, rig: OpenRig, source: Source, what: Callable[[], str]) -> int:
    """Run a source, write film and journal, and say how it ended; 0 if it ended by itself."""
    simulated = rig.simulation
    gate = SafetyGate(SafetyConfig(side=args.side) if simulated is None else simulated.safety)
    print(rig.arming.describe() if simulated is None else f"Simulation: {simulated.simulation.scene.instruction}")
    loop = ControlLoop(rig.robot, gate, rig.clock, LoopConfig(args.duration, rig.arming))
    with ExitStack() as stack:
        if args.film is not None and simulated is not None:
            from robot.simulation.film import FilmedSource

            source = stack.enter_context(FilmedSource(source, simulated, args.film))
        trace = loop.run(source)
    summary = gate.journal.summary()
    print(f"{what()}, {len(trace)} ticks, {summary['sent']} commands cleared, {trace.overruns} late ticks")
    for name, ticks in summary["interventions"].items():
        print(f"  {name}: {ticks} ticks")
    if args.journal is not None:
        gate.journal.write(args.journal)
        print(args.journal)
    if args.film is not None:
        print(args.film)
    ends = {"over": "the end", "duration": "the time was up", "interrupted": "emergency stop (Ctrl-C)"}
    ends |= {"stopped": "the safety layer stopped the robot", "fault": trace.fault}
    print(f"Ended: {ends[trace.ending]}")
    if simulated is not None:
        print(_judged(simulated))
    return 0 if trace.ending in ("over", "duration") else 3


def _judged(rig: "SimulatedRig") -> str:
    """What became of the task."""
    from robot.simulation.tasks import outcome

    found = outcome(rig.simulation, rig.simulation.scene)
    figures = ", ".join(f"{name} {value:.3g}" for name, value in found.figures.items())
    return f"{'Success' if found.success else f'No success: {found.reason}'} ({figures})"

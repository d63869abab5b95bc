"""What the sub-verbs that move the robot share: opening the rig, the safety layer, and the account at the end."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from robot.cli.setup_file import example_setup, read_setup
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
from vitra_lib.core.errors import BadInput

if TYPE_CHECKING:
    from robot.simulation.driver import SimulatedRig


@dataclass(frozen=True, eq=False)
class OpenRig:
    """A robot with its camera on one clock, not connected yet.

    Attributes:
        robot, camera, clock: belong together.
        arming: the two keys.
        setup: where camera and wrist are, and what shall be done.
        safety: the limits that hold for this very rig.
        simulation: the trial that they are of; None for hardware and for the kinematic robot.
    """

    robot: Robot
    camera: Camera
    clock: Clock
    arming: Arming
    setup: Setup
    safety: SafetyConfig
    simulation: "SimulatedRig | None" = None


def open_rig(args: argparse.Namespace, instruction: str) -> OpenRig:
    """The hardware with --real, a task in simulation with --simulate, the kinematic robot without.

    Args:
        args: as `add_robot_arguments` has them.
        instruction: what shall be done; a simulated task has its own.

    Raises:
        BadInput: --execute without --real, --real with --simulate or without --setup, or a bad file of the rig.
        UnknownName: no such task or split.
    """
    arming = Arming(args.real, args.execute)
    if args.simulate is not None:
        return _open_task(args, arming)
    if args.film is not None:
        raise BadInput("--film shows a simulation; name a task with --simulate.")
    if arming.real and args.setup is None:
        raise BadInput(
            "The real robot needs --setup, a JSON file with its measured T_base_cam, T_flange_mount and table_z_m."
        )
    stands = example_setup if args.setup is None else partial(read_setup, args.setup)
    described = stands(args.side, instruction)
    if not arming.real:
        clock = ManualClock()
        return OpenRig(KinematicRobot(clock), StillCamera(clock), clock, arming, described.setup, described.safety)
    clock = WallClock()
    camera = RealSense(clock=clock)
    hand_config = XHandConfig(port=args.hand_port, table=described.hand_table)
    hand = XHandSerial(hand_config, clock) if args.hand == "serial" else XHandVendor(hand_config, clock)
    # Without --execute the controller is in its own simulation too, so that nothing can move by mistake.
    arm = RealmanArm(RealmanConfig(host=args.arm_host, is_simulated=not arming.execute), clock)
    rig = Rig(arm, hand, camera, clock)
    return OpenRig(rig, camera, clock, arming, described.setup, described.safety)


def _open_task(args: argparse.Namespace, arming: Arming) -> OpenRig:
    """A scene of a task."""
    from robot.simulation.driver import open_simulation
    from robot.simulation.tasks import sample_scene

    if arming.real:
        raise BadInput("--real opens the hardware and --simulate a simulation; leave one of them out.")
    rig = open_simulation(sample_scene(args.simulate, args.seed, args.split))
    if rig.setup.side != args.side:
        raise BadInput(f"The task {args.simulate} is for the {rig.setup.side} arm; leave --side out.")
    return OpenRig(rig.robot, rig.camera, rig.clock, arming, rig.setup, rig.safety, rig)


def finish(args: argparse.Namespace, rig: OpenRig, source: Source, what: Callable[[], str]) -> int:
    """Run a source, write film and journal, and say how it ended; 0 if it ended by itself."""
    simulated = rig.simulation
    gate = SafetyGate(rig.safety)
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

"""Two keys: hardware is opened only with `--real`, and moved only with `--real` and `--execute`."""

from dataclasses import dataclass

from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class Arming:
    """What a run may do; the default is a dry run on the kinematic robot.

    Attributes:
        real: connect to hardware and read from it.
        execute: send commands to it.
    """

    real: bool = False
    execute: bool = False

    def __post_init__(self) -> None:
        if self.execute and not self.real:
            raise BadInput("--execute moves hardware and needs --real beside it; without both the run is a dry run.")

    @property
    def moves_hardware(self) -> bool:
        """Both keys are turned."""
        return self.real and self.execute

    @property
    def writes(self) -> bool:
        """Commands are written at all: to hardware with both keys, to the kinematic robot with none."""
        return self.moves_hardware or not self.real

    def describe(self) -> str:
        """One sentence for the log and the terminal."""
        if self.moves_hardware:
            return "Real robot, commands are EXECUTED."
        return "Real robot, read only: commands are computed and not sent." if self.real else "Dry run: no hardware."

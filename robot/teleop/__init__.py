"""Teleoperated robot data: TeleData files, their check and statistics, samples, and other robots' recordings."""

from robot.teleop.check import Fault, TeleCheckConfig, check_tele
from robot.teleop.episode import TeleArm, TeleEpisode
from robot.teleop.files import TeleData, read_tele, write_tele
from robot.teleop.lag import Lag, LagConfig, align_commands, measure_lag
from robot.teleop.vectors import tele_states, tele_steps

__all__ = [
    "Fault",
    "Lag",
    "LagConfig",
    "TeleArm",
    "TeleCheckConfig",
    "TeleData",
    "TeleEpisode",
    "align_commands",
    "check_tele",
    "measure_lag",
    "read_tele",
    "tele_states",
    "tele_steps",
    "write_tele",
]

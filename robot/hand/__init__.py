"""Robot hands: their tables, the mapping to human finger angles and back, and retargeting of human motion."""

from robot.hand.axes import AxisCheck, check_axes, draw_axis_check
from robot.hand.mapping import UNMAPPED, HandMap
from robot.hand.table import RobotHand, load_hand

__all__ = ["UNMAPPED", "AxisCheck", "HandMap", "RobotHand", "check_axes", "draw_axis_check", "load_hand"]

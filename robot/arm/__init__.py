"""The arm: forward and inverse kinematics from a table, and joint targets for wrist actions in camera axes."""

from robot.arm.model import Arm, load_arm
from robot.arm.reach import IkConfig, IkSolution, solve_ik
from robot.arm.wrist import ArmPlan, WristConfig, follow_wrist

__all__ = ["Arm", "ArmPlan", "IkConfig", "IkSolution", "WristConfig", "follow_wrist", "load_arm", "solve_ik"]

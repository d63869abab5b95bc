"""Scripted experts: from known poses to joint targets, with recovery, through the same loop and safety layer."""

from robot.simulation.expert.run import Demonstration, Expert, ExpertConfig, run_expert

__all__ = ["Demonstration", "Expert", "ExpertConfig", "run_expert"]

"""Answers to the exercises of notebook 00."""

import numpy as np


def exercise_1(camera):
    """The horizontal field of view [deg], from the focal length and the width alone."""
    return np.rad2deg(2 * np.arctan(camera.width_px / (2 * camera.K_px[0, 0])))


def exercise_2(camera, hand, frame):
    """The wrist joint in the world [m]: rotate by R_world_cam, then add t_world_cam."""
    return camera.T_world_cam[frame, :3, :3] @ hand.t_cam_wrist[frame] + camera.T_world_cam[frame, :3, 3]

"""Answers to the exercises of notebook 01."""


def exercise_1(reconstruction, side, frame):
    """The wrist joint in the picture [px]: divide by depth, scale by the focal length, shift to the centre."""
    return reconstruction.camera.K_px[:2] @ (
        reconstruction.hand(side).t_cam_wrist[frame] / reconstruction.hand(side).t_cam_wrist[frame, 2]
    )


def exercise_2():
    """A picture fixes size over depth only: a hand that is 8 % larger is 8 % further away."""
    return 1.08

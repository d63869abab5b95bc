"""Metric hands and camera from video: trackers, the learned lifter, the clip fit, odometry, world space, quality."""

"""Scores against truth: hands, trajectories, segmentation."""

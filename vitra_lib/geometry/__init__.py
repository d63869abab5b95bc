"""Rotations, transforms `T_a_b`, pinhole cameras, alignment and smoothing. SI units, radians, OpenCV camera axes."""

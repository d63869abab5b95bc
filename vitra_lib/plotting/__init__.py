"""Figures by meaning: functions take data and an optional axes, return the axes, never show and never read files."""

from vitra_lib.plotting.frames import plot_contact_sheet, plot_skeletons
from vitra_lib.plotting.paths import plot_paths_3d, plot_paths_top
from vitra_lib.plotting.speed import plot_segments, plot_wrist_speed
from vitra_lib.plotting.style import COLOURS, colour_of, styled
from vitra_lib.plotting.summary import plot_confidence, plot_reconstruction

__all__ = [
    "COLOURS",
    "colour_of",
    "plot_confidence",
    "plot_contact_sheet",
    "plot_paths_3d",
    "plot_paths_top",
    "plot_reconstruction",
    "plot_segments",
    "plot_skeletons",
    "plot_wrist_speed",
    "styled",
]

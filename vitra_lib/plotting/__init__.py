"""Figures by meaning: functions take data and an optional axes, return the axes, never show and never read files."""

from vitra_lib.plotting.comparison import plot_against_truth, plot_chunk_masks, plot_hands_side_on, plot_replay
from vitra_lib.plotting.frames import plot_contact_sheet, plot_skeletons
from vitra_lib.plotting.paths import plot_paths_3d, plot_paths_top
from vitra_lib.plotting.picture import Picture, axes_picture, contact_picture
from vitra_lib.plotting.policy import plot_attention, plot_learning, plot_methods, plot_noise_schedule, plot_scaling
from vitra_lib.plotting.robot import (
    paths_picture,
    plot_chunks,
    plot_commands,
    plot_interventions,
    plot_latencies,
    plot_shares_of_cap,
)
from vitra_lib.plotting.samples import plot_action, shelf_picture, view_picture
from vitra_lib.plotting.series import plot_boundaries, plot_seen, plot_series, plot_window
from vitra_lib.plotting.speed import plot_segments, plot_wrist_speed
from vitra_lib.plotting.style import COLOURS, colour_of, styled
from vitra_lib.plotting.summary import plot_confidence, plot_confidence_against_error, plot_reconstruction
from vitra_lib.plotting.world_view import world_view

__all__ = [
    "COLOURS",
    "Picture",
    "axes_picture",
    "colour_of",
    "contact_picture",
    "paths_picture",
    "plot_action",
    "plot_against_truth",
    "plot_attention",
    "plot_boundaries",
    "plot_chunk_masks",
    "plot_chunks",
    "plot_commands",
    "plot_confidence",
    "plot_confidence_against_error",
    "plot_contact_sheet",
    "plot_hands_side_on",
    "plot_interventions",
    "plot_latencies",
    "plot_learning",
    "plot_methods",
    "plot_noise_schedule",
    "plot_paths_3d",
    "plot_paths_top",
    "plot_reconstruction",
    "plot_replay",
    "plot_scaling",
    "plot_seen",
    "plot_segments",
    "plot_series",
    "plot_shares_of_cap",
    "plot_skeletons",
    "plot_window",
    "plot_wrist_speed",
    "shelf_picture",
    "styled",
    "world_view",
    "view_picture",
]

"""Wrist speed over time with the accepted actions shaded, as inline SVG: small, sharp, and the same bytes each time."""

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import Reconstruction, Segmentation
from vitra_lib.contracts.hand_track import SIDES, Side

_WIDTH, _ROW, _LEFT, _TOP, _GAP = 1000, 90, 60, 18, 16
_COLOURS = {"left": "#e69f00", "right": "#0072b2"}
_MAX_POINTS = 2000  # of one curve: a ten-minute track needs no more on a thousand pixels


def speed_figure(reconstruction: Reconstruction, segmentation: Segmentation) -> str:
    """One row per hand that was ever valid: its wrist speed in the world, and its accepted segments.

    Args:
        reconstruction: camera and hands, for the time axis.
        segmentation: speed and segments of the same frames.
    """
    sides = [side for side in SIDES if np.isfinite(segmentation.speed[side]).any()]
    if not sides:
        return ""
    time_s = reconstruction.time_s - reconstruction.time_s[0]
    total = max(float(time_s[-1]), 1e-9)
    top = max(float(np.nanmax([np.nanmax(segmentation.speed[side]) for side in sides])), 1e-9)
    x = _LEFT + (_WIDTH - _LEFT - 10) * time_s / total
    rows = [_row(side, row, x, top, segmentation) for row, side in enumerate(sides)]
    height = _TOP + len(sides) * (_ROW + _GAP) + 22
    axis = _time_axis(total, height - 22)
    text = "Wrist speed in the world; accepted atomic actions are shaded, with white between neighbours."
    style = 'style="font:12px system-ui,sans-serif" fill="#444"'
    svg = f'<svg viewBox="0 0 {_WIDTH} {height}" width="100%" {style}>{"".join(rows)}{axis}</svg>'
    return f"<h3>Wrist speed and atomic actions</h3><figure>{svg}<figcaption>{text}</figcaption></figure>"


def _row(side: Side, row: int, x: Float[np.ndarray, " time"], top: float, segmentation: Segmentation) -> str:
    y0 = _TOP + row * (_ROW + _GAP)
    colour = _COLOURS[side]
    parts = [
        f'<text x="{_LEFT - 8}" y="{y0 + _ROW / 2:.0f}" text-anchor="end" fill="{colour}">{side}</text>',
        f'<text x="{_LEFT - 8}" y="{y0 + 10}" text-anchor="end">{top:.2f}</text>',
        f'<text x="{_LEFT - 8}" y="{y0 + _ROW}" text-anchor="end">0 m/s</text>',
        f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y0 + _ROW}" y2="{y0 + _ROW}" stroke="#bbb"/>',
    ]
    for segment in segmentation.segments:
        if segment.side == side:
            left, right = x[segment.start], x[segment.stop - 1]
            parts.append(
                f'<rect x="{left:.1f}" y="{y0}" width="{max(right - left - 1, 1):.1f}" height="{_ROW}" '
                f'fill="{colour}" opacity=".15"/>'
            )
    speed = segmentation.speed[side]
    known = np.flatnonzero(np.isfinite(speed))
    for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        step = max(len(speed) // _MAX_POINTS, 1)
        shown = np.union1d(run[::step], run[-1:])
        points = " ".join(f"{x[i]:.1f},{y0 + _ROW * (1 - speed[i] / top):.1f}" for i in shown)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return "".join(parts)


def _time_axis(total_s: float, y: int) -> str:
    """Ticks at round times, about ten of them."""
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if total_s / s <= 12), 1200)
    ticks = []
    for i in range(int(total_s / step + 1e-9) + 1):
        x = _LEFT + (_WIDTH - _LEFT - 10) * i * step / total_s
        ticks.append(f'<text x="{x:.1f}" y="{y + 4}" text-anchor="middle">{i * step:g} s</text>')
    return "".join(ticks)

"""The README's picture: the sample reconstructed (above), and one atomic action as a captioner sees it (below).

    .venv/bin/python benchmarks/readme_figure.py

writes results/figures/sample.jpg. With a path as argument the same is made for any video, into the same folder.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.captioning import overlay_frames
from vitra_lib.captioning.overlay import path_px
from vitra_lib.contracts import Reconstruction, Segment
from vitra_lib.core.files import atomic_path
from vitra_lib.core.paths import results_folder, sample_video
from vitra_lib.reconstruction.overlay_video import draw_hands
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.segmentation import segment
from vitra_lib.video import VideoReader

_TILES, _TILE_WIDTH_PX = 5, 260


def main(video: Path) -> Path:
    """Make the picture of one video and return its path."""
    reconstruction = reconstruct(video, progress=True)
    action = max(segment(reconstruction).segments, key=lambda s: _in_view(reconstruction, s) * s.path_m)
    with VideoReader(video) as reader:

        def images(indices: list[int]) -> list[np.ndarray]:
            return [frame.image for frame in reader.at(indices)]

        shown = [int(i) for i in np.linspace(0, len(reconstruction) - 1, _TILES + 2)][1:-1]
        hands = [draw_hands(reconstruction, i, image) for i, image in zip(shown, images(shown), strict=True)]
        seen = [frame.image for frame in overlay_frames(reconstruction, action, images, _TILES)]
    picture = np.vstack([np.hstack([_tile(image) for image in row]) for row in (hands, seen[:_TILES])])
    path = results_folder() / "figures" / f"{video.stem}.jpg"
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return path


def _in_view(reconstruction: Reconstruction, action: Segment) -> float:
    """Share of an action's palm path that lies inside its first frame."""
    uv = path_px(reconstruction, action, action.start)
    inside = (uv > 0).all(axis=1) & (uv < [reconstruction.camera.width_px, reconstruction.camera.height_px]).all(axis=1)
    return float(inside.mean() ** 4)  # an action that leaves the view makes a poor picture


def _tile(image: np.ndarray) -> np.ndarray:
    height = round(image.shape[0] * _TILE_WIDTH_PX / image.shape[1])
    return cv2.resize(image, (_TILE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]) if len(sys.argv) > 1 else sample_video()))

"""A tiny world of textured planes for camera tests: exact poses, exact K, and a hand-like patch that wanders."""

from dataclasses import dataclass

import cv2
import numpy as np

from vitra_lib.geometry import rotations
from vitra_lib.geometry.transforms import invert, make

WIDTH, HEIGHT, FPS = 320, 240, 30.0
FOCAL = 250.0
_SUPER = 2


@dataclass(frozen=True)
class PlaneClip:
    """Frames, times, true K and true poses (world = first camera), and the boxes of the moving patch."""

    frames: list
    times_s: np.ndarray
    K_px: np.ndarray
    T_world_cam: np.ndarray
    hand_boxes: np.ndarray


def texture(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """(size, size, 3) uint8 random texture with detail at several scales."""
    out = np.zeros((size, size, 3))
    for cells, weight in ((8, 1.0), (24, 0.8), (64, 0.7), (128, 0.5)):
        out += weight * cv2.resize(rng.uniform(-1, 1, (cells, cells, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 55 * out, 0, 255).astype(np.uint8)


def planes(rng: np.random.Generator) -> list:
    """(corner, edge u, edge v, texture) back to front: a wall, a table and five upright boards."""
    out = [
        (np.array([-4.0, -3.0, 2.2]), np.array([8.0, 0, 0]), np.array([0, 6.0, 0]), texture(rng, 1024)),
        (np.array([-1.2, 0.32, 2.0]), np.array([2.4, 0, 0]), np.array([0, 0.05, -1.4]), texture(rng, 1024)),
    ]
    for x, z in ((-0.5, 1.5), (0.45, 1.35), (0.1, 1.15), (-0.35, 0.95), (0.3, 0.8)):
        corner = np.array([x - 0.12, 0.02, z])
        out.append((corner, np.array([0.24, 0, 0.04]), np.array([0, 0.28, 0]), texture(rng, 256)))
    return out


def K_true(focal: float = FOCAL) -> np.ndarray:
    return np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1.0]])


def draw(scene: list, K: np.ndarray, T_cam_world: np.ndarray) -> np.ndarray:
    """One uint8 RGB frame by composing plane homographies back to front."""
    lift = np.array([[_SUPER, 0, (_SUPER - 1) / 2], [0, _SUPER, (_SUPER - 1) / 2], [0, 0, 1.0]])
    size = (WIDTH * _SUPER, HEIGHT * _SUPER)
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for corner, u, v, tex in scene:
        n = tex.shape[0]
        basis = np.stack([u / n, v / n, corner], axis=1)
        H = lift @ K @ (T_cam_world[:3, :3] @ basis + np.outer(T_cam_world[:3, 3], [0, 0, 1.0]))
        layer = cv2.warpPerspective(tex, H, size, flags=cv2.INTER_LINEAR)
        mask = cv2.warpPerspective(np.full((n, n), 255, np.uint8), H, size, flags=cv2.INTER_NEAREST)
        # Every scene keeps its planes in front of the camera; behind it a homography would wrap around.
        assert all(H[2] @ [x, y, 1.0] > 0.05 for x in (0, n) for y in (0, n))
        cv2.copyTo(layer, mask, image)
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def head_path(count: int, translation_m: float, rotation_rad: float) -> np.ndarray:
    """(count, 4, 4) smooth T_world_cam that starts at the identity."""
    s = np.arange(count) / FPS
    t = translation_m * np.stack([np.sin(2.2 * s), 0.6 * (1 - np.cos(2.9 * s)), 0.5 * np.sin(1.7 * s)], axis=1)
    w = rotation_rad * np.stack([0.5 * np.sin(2.6 * s), np.sin(1.9 * s), 0.4 * (1 - np.cos(2.3 * s))], axis=1)
    return make(rotations.exp(w), t)


def plane_clip(
    seed: int, count: int = 40, translation_m: float = 0.12, rotation_rad: float = 0.15, hand_share: float = 0.1,
    focal: float = FOCAL, noise: float = 2.0,
) -> PlaneClip:  # fmt: skip
    """A clip of the plane world with a patch that wanders over it and covers `hand_share` of the image."""
    rng = np.random.default_rng(seed)
    scene, patch = planes(rng), texture(rng, 256)
    K, T = K_true(focal), head_path(count, translation_m, rotation_rad)
    w, h = int(WIDTH * np.sqrt(hand_share)), int(HEIGHT * np.sqrt(hand_share))
    phase = rng.uniform(0, 6, 2)
    frames, boxes = [], np.full((count, 1, 4), np.nan)
    for i in range(count):
        image = draw(scene, K, invert(T[i]))
        if w > 0:
            x = int((WIDTH - w) * (0.5 + 0.45 * np.sin(0.11 * i + phase[0])))
            y = int((HEIGHT - h) * (0.6 + 0.35 * np.sin(0.17 * i + phase[1])))
            image[y : y + h, x : x + w] = cv2.resize(patch, (w, h))
            boxes[i, 0] = x, y, x + w, y + h
        noisy = image + rng.normal(0, noise, image.shape)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return PlaneClip(frames, np.arange(count) / FPS, K, T, boxes)

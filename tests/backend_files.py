"""A known scene, and what other tools would write about it: true keys, types, sizes and conventions."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from vitra_lib.geometry.transforms import invert, make
from vitra_lib.video import VideoInfo

COUNT = 40
WIDTH, HEIGHT = 1280, 720
K = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])


def info(frame_count: int = COUNT, width: int = WIDTH, height: int = HEIGHT, rotation: int = 0) -> VideoInfo:
    """A video's facts."""
    return VideoInfo(Path("clip.mp4"), width, height, 30.0, frame_count, frame_count / 30, "h264", rotation, False)


@dataclass(frozen=True)
class Truth:
    """Camera path [m], and both hands in the camera: (left, right) along the first axis."""

    T_world_cam: np.ndarray
    R_cam_wrist: np.ndarray
    t_cam_wrist: np.ndarray
    fingers: np.ndarray


def truth(seed: int = 0) -> Truth:
    """A turning, moving camera that starts at the origin, and two hands that move in front of it."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, COUNT)
    R = Rotation.from_rotvec(np.stack([0.3 * t, 0.5 * np.sin(2 * t), 0.1 * t], axis=1)).as_matrix()
    T = make(R, np.stack([0.3 * np.sin(2 * t), 0.1 * t, 0.2 * t], axis=1))
    start = np.array([[-0.15, 0.1, 0.5], [0.15, 0.1, 0.45]])
    wrists = start[:, None] + 0.1 * np.sin(3 * t)[None, :, None] * rng.normal(size=(2, 1, 3))
    roots = Rotation.from_rotvec(rng.normal(size=(2, 3))).as_matrix()[:, None]
    turn = Rotation.from_rotvec(np.outer(t, [0.2, 0.5, -0.3])).as_matrix()[None]
    fingers = Rotation.from_rotvec(0.3 * rng.normal(size=(2 * COUNT * 15, 3))).as_matrix()
    return Truth(T, roots @ turn, wrists, fingers.reshape(2, COUNT, 15, 3, 3))


def droid_size() -> tuple[int, int, np.ndarray]:
    """Rows and columns of the frames MegaSaM works on, before the crop to multiples of eight, and the scale."""
    shrink = np.sqrt((384 * 512) / (HEIGHT * WIDTH))
    rows, columns = int(HEIGHT * shrink), int(WIDTH * shrink)
    return rows, columns, np.array([columns / WIDTH, rows / HEIGHT])


def megasam(path: Path, T: np.ndarray, depth: np.ndarray | None = None, unit: float = 1.0) -> Path:
    """`NAME_sgd_cvd_hr.npz`; lengths divided by `unit` metres."""
    rows, columns, scale = droid_size()
    rows, columns = rows - rows % 8, columns - columns % 8
    T = T.copy()
    T[:, :3, 3] /= unit
    depth = np.ones((len(T), rows, columns)) if depth is None else depth
    intrinsic = K * np.array([[scale[0]], [scale[1]], [1.0]])
    np.savez(
        path,
        images=np.zeros((len(T), rows, columns, 3), np.uint8),
        depths=np.clip(np.float16(depth / unit), 1e-3, 1e2),
        intrinsic=np.float32(intrinsic),
        cam_c2w=np.float32(T),
    )
    return path


def vipe(folder: Path, T: np.ndarray, kind: str = "PINHOLE") -> Path:
    """pose/clip.npz, intrinsics/clip.npz and intrinsics/clip_camera.txt."""
    (folder / "pose").mkdir(parents=True)
    (folder / "intrinsics").mkdir()
    inds = np.arange(len(T))
    np.savez(folder / "pose" / "clip.npz", data=np.float32(T), inds=inds)
    rows = np.tile([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], (len(T), 1))
    np.savez(folder / "intrinsics" / "clip.npz", data=np.float32(rows), inds=inds)
    (folder / "intrinsics" / "clip_camera.txt").write_text("".join(f"{i}: {kind}\n" for i in inds))
    return folder / "pose" / "clip.npz"


def quaternion_rows(T: np.ndarray) -> np.ndarray:
    """tx ty tz qx qy qz qw."""
    return np.concatenate([T[:, :3, 3], Rotation.from_matrix(T[:, :3, :3]).as_quat()], axis=1)


def droid(folder: Path, T: np.ndarray, keys: np.ndarray, xi: float | None = None) -> Path:
    """reconstructions/NAME with poses, tstamps, intrinsics, images."""
    folder.mkdir(parents=True)
    rows, columns, scale = droid_size()
    values = np.array([K[0, 0] * scale[0], K[1, 1] * scale[1], K[0, 2] * scale[0], K[1, 2] * scale[1]]) / 8
    values = values if xi is None else np.append(values, xi)
    np.save(folder / "poses.npy", np.float32(quaternion_rows(invert(T[keys]))))
    np.save(folder / "tstamps.npy", np.float32(keys))
    np.save(folder / "intrinsics.npy", np.float32(np.tile(values, (len(keys), 1))))
    np.save(folder / "images.npy", np.zeros((len(keys), 3, rows - rows % 8, columns - columns % 8), np.uint8))
    return folder


def tum(path: Path, T: np.ndarray, times: np.ndarray) -> Path:
    """Lines of time tx ty tz qx qy qz qw."""
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    lines += [" ".join(f"{v:.9f}" for v in (t, *row)) for t, row in zip(times, quaternion_rows(T), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def colmap(folder: Path, T: np.ndarray) -> Path:
    """cameras.txt and images.txt; pixel centres at halves."""
    folder.mkdir()
    params = f"{K[0, 0]} {K[1, 1]} {K[0, 2] + 0.5} {K[1, 2] + 0.5}"
    (folder / "cameras.txt").write_text(f"# Camera list\n1 PINHOLE {WIDTH} {HEIGHT} {params}\n")
    lines = ["# Image list"]
    for i, row in enumerate(quaternion_rows(invert(T))):
        values = " ".join(f"{v:.9f}" for v in (row[6], *row[3:6], *row[:3]))
        lines += [f"{i + 1} {values} 1 frame_{i:06d}.jpg", "1.0 2.0 -1"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    return folder


def hawor(folder: Path, scene: Truth, root_joint: np.ndarray, valid: np.ndarray | None = None) -> Path:
    """A run's folder: world_space_res.pth (joblib's pickle of torch tensors), SLAM, cam_space."""
    import pickle

    import torch

    scale = 2.5
    (folder / "SLAM").mkdir(parents=True)
    path = scene.T_world_cam.copy()
    path[:, :3, 3] /= scale
    np.savez(
        folder / "SLAM" / f"hawor_slam_w_scale_0_{COUNT}.npz",
        tstamp=np.arange(0, COUNT, 5), disps=np.ones((8, 4, 4)), traj=np.float32(quaternion_rows(path)),
        img_focal=K[0, 0], img_center=np.array([WIDTH / 2, HEIGHT / 2]), scale=scale,
    )  # fmt: skip
    translation, root = np.zeros((2, COUNT, 3)), np.zeros((2, COUNT, 3))
    fingers = np.zeros((2, COUNT, 45))
    mirror = np.diag([-1.0, 1, 1])
    for hand in range(2):
        R = scene.T_world_cam[:, :3, :3] @ scene.R_cam_wrist[hand]
        wrist = np.einsum("tij,tj->ti", scene.T_world_cam[:, :3, :3], scene.t_cam_wrist[hand])
        joint = root_joint * ([-1, 1, 1] if hand == 0 else [1, 1, 1])  # MANO_LEFT's root is mirrored
        translation[hand] = wrist + scene.T_world_cam[:, :3, 3] - joint
        root[hand] = Rotation.from_matrix(R).as_rotvec()
        local = mirror @ scene.fingers[hand] @ mirror if hand == 0 else scene.fingers[hand]
        fingers[hand] = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(COUNT, 45)
    valid = np.ones((2, COUNT)) if valid is None else valid
    tensors = [
        torch.tensor(x, dtype=torch.float32) for x in (translation, root, fingers, np.zeros((2, COUNT, 10)), valid)
    ]
    with (folder / "world_space_res.pth").open("wb") as file:
        pickle.dump(tensors, file, protocol=4)
    for hand in range(2):
        (folder / "cam_space" / str(hand)).mkdir(parents=True)
        (folder / "cam_space" / str(hand) / "0_29.json").write_text(json.dumps({"init_trans": []}))
    return folder


def wilor_mini(folder: Path, scene: Truth, keypoint: np.ndarray) -> Path:
    """One pickled list per frame, as WiLoR-mini's `predict` returns it: rotation vectors, left hands mirrored back."""
    import pickle

    folder.mkdir()
    mirror = np.diag([-1.0, 1, 1])
    focal = 5000 / 256 * max(WIDTH, HEIGHT)
    for i in range(COUNT):
        hands = []
        for hand, is_right in ((0, 0.0), (1, 1.0)):
            local = scene.fingers[hand, i] if is_right else mirror @ scene.fingers[hand, i] @ mirror
            joint = keypoint * [1 if is_right else -1, 1, 1]
            # What the small true focal length shows at z, the tool's long one shows further away.
            translation = scene.t_cam_wrist[hand, i] * [1, 1, focal / K[0, 0]] - joint
            root = np.float32(Rotation.from_matrix(scene.R_cam_wrist[hand, i]).as_rotvec())
            hands.append({
                "hand_bbox": [0.0, 0.0, 10.0, 10.0], "is_right": is_right,
                "wilor_preds": {
                    "global_orient": root[None, None],
                    "hand_pose": np.float32(Rotation.from_matrix(local).as_rotvec())[None],
                    "betas": np.zeros((1, 10), np.float32),
                    "pred_cam": np.zeros((1, 3), np.float32),
                    "pred_keypoints_3d": np.float32(np.tile(joint, (1, 21, 1))),
                    "pred_vertices": np.zeros((1, 778, 3), np.float32),
                    "pred_cam_t_full": np.float32(translation)[None],
                    "scaled_focal_length": focal,
                },
            })  # fmt: skip
        with (folder / f"{i:05d}.pkl").open("wb") as file:
            pickle.dump(hands, file)
    return folder


def hamer(folder: Path, scene: Truth, keypoint: np.ndarray) -> Path:
    """One .npz per frame with the network's own outputs: matrices of the mirrored hand, raw keypoints."""
    folder.mkdir()
    mirror = np.diag([-1.0, 1, 1])
    focal = 5000 / 256 * max(WIDTH, HEIGHT)
    for i in range(COUNT):
        root, cam_t = [], []
        for hand in range(2):
            R = scene.R_cam_wrist[hand, i]
            root.append(mirror @ R @ mirror if hand == 0 else R)
            joint = keypoint * [-1 if hand == 0 else 1, 1, 1]
            cam_t.append(scene.t_cam_wrist[hand, i] * [1, 1, focal / K[0, 0]] - joint)
        np.savez(
            folder / f"frame_{i:06d}.npz", right=np.array([0.0, 1.0]), global_orient=np.float32(root)[:, None],
            hand_pose=np.float32(scene.fingers[:, i]), betas=np.zeros((2, 10), np.float32),
            pred_cam_t_full=np.float32(cam_t), pred_keypoints_3d=np.float32(np.tile(keypoint, (2, 21, 1))),
            scaled_focal_length=np.float32(focal), score=np.array([0.7, 0.9]),
        )  # fmt: skip
    return folder

"""A Rerun recording of a reconstruction: camera, both hands and the frames on one timeline (needs rerun-sdk)."""

from pathlib import Path

import cv2
import numpy as np

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.files import atomic_path
from vitra_lib.hands.skeleton import PARENTS
from vitra_lib.video import VideoReader

_COLOURS = {"left": (230, 159, 0), "right": (0, 114, 178)}


def write_rerun(reconstruction: Reconstruction, video: Path, path: Path) -> None:
    """Write a `.rrd` file that `rerun FILE` opens.

    Args:
        reconstruction: camera and hands of `video`.
        video: the video, for the frames (at most 240 px high).
        path: the file to write, atomically.
    """
    import rerun as rr

    camera = reconstruction.camera
    bones = [(parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0]
    joints = {side: reconstruction.joints_world(side) for side in SIDES}
    with atomic_path(path) as temporary, VideoReader(video, max_short_side_px=240) as reader:
        identity = reconstruction.video_sha256[:32] or reconstruction.video_name
        recording = rr.RecordingStream("vitra-lab", recording_id=identity)
        recording.save(str(temporary))
        recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
        for index, frame in enumerate(reader.frames()):
            recording.set_time("video", duration=float(reconstruction.time_s[index]))
            height, width = frame.image.shape[:2]
            scale = np.diag([width / camera.width_px, height / camera.height_px, 1.0])
            T_world_cam = camera.T_world_cam[index]
            recording.log("world/camera", rr.Transform3D(translation=T_world_cam[:3, 3], mat3x3=T_world_cam[:3, :3]))
            recording.log("world/camera", rr.Pinhole(image_from_camera=scale @ camera.K_px, width=width, height=height))
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))[1].tobytes()
            recording.log("world/camera", rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))
            for side in SIDES:
                entity = f"world/{side}"
                if not reconstruction.hand(side).is_valid[index]:
                    recording.log(entity, rr.Clear(recursive=False))
                    continue
                strips = [joints[side][index][list(bone)] for bone in bones]
                recording.log(entity, rr.LineStrips3D(strips, colors=[_COLOURS[side]] * len(strips), radii=0.003))
        recording.flush()
        recording.disconnect()

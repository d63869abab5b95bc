"""Captioning: what the captioner sees, what it may answer, and what happens when it answers badly."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from vitra_lib.captioning import caption, make_captioner, overlay_frames, palm_world, parse_answer
from vitra_lib.captioning.answer import BadAnswer
from vitra_lib.captioning.overlay import path_px, time_colours, uniform_indices
from vitra_lib.captioning.prompt import task_prompt
from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction, Segment
from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName
from vitra_lib.geometry import rotations
from vitra_lib.geometry.cameras import K_from_focal
from vitra_lib.geometry.transforms import apply, invert, make

TIME = 24


def rigid_hand_reconstruction(velocity_world, turn_rad=0.0, close_rad=0.0, moving_camera=True) -> Reconstruction:
    """A right hand that moves on a straight world line in front of a camera that turns and drifts."""
    step = np.arange(TIME)[:, None] / (TIME - 1)
    yaw = 0.3 * step * moving_camera
    R_world_cam = rotations.exp(np.concatenate([0 * yaw, yaw, 0 * yaw], axis=1))
    T_world_cam = make(R_world_cam, 0.1 * step * moving_camera * np.array([[1.0, 0.2, 0.0]]))
    T_world_cam = invert(T_world_cam[0])[None] @ T_world_cam
    t_world = np.array([0.0, 0.1, 0.5]) + step * np.asarray(velocity_world)
    rng = np.random.default_rng(0)
    shape = rng.normal(0, 0.03, (21, 3))
    shape[0] = 0
    R_world_wrist = rotations.exp(np.concatenate([0 * step, turn_rad * step, 0 * step], axis=1))
    joints_world = t_world[:, None] + np.einsum("tij,nj->tni", R_world_wrist, shape)
    T_cam_world = invert(T_world_cam)
    bend = np.zeros((TIME, 15, 3))
    bend[..., 2] = close_rad * step
    camera = CameraTrack(K_from_focal(300.0, 320, 240), 320, 240, T_world_cam, np.ones(TIME, bool), False, "truth", "truth", 0.0, "truth")
    hand = HandTrack(
        side="right",
        R_cam_wrist=T_cam_world[:, :3, :3] @ R_world_wrist,
        t_cam_wrist=apply(T_cam_world, t_world[:, None])[:, 0],
        R_parent_joint=rotations.exp(bend),
        betas=np.zeros(10),
        joints_cam=apply(T_cam_world, joints_world),
        is_valid=np.ones(TIME, bool),
        is_observed=np.ones(TIME, bool),
        confidence=np.ones(TIME),
        hand_model="standin",
    )
    return Reconstruction("clip.mp4", "", 30.0, np.arange(TIME), np.arange(TIME) / 30, camera, HandTrack.absent("left", TIME), hand)


SEGMENT = Segment("right", 0, TIME, 0.3, 0.4, 1.0, "speed-minima")


def black(indices):
    return [np.zeros((240, 320, 3), np.uint8) for _ in indices]


def test_path_is_projected_into_each_frames_own_camera():
    reconstruction = rigid_hand_reconstruction([0.15, -0.05, 0.1])
    palm = palm_world(reconstruction, "right")
    K = reconstruction.camera.K_px
    for index in (0, 9, 17):
        expected = []
        for point in palm[index:]:
            x, y, z = (invert(reconstruction.camera.T_world_cam[index]) @ np.append(point, 1.0))[:3]
            expected.append((K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]))
        assert np.allclose(path_px(reconstruction, SEGMENT, index), expected, atol=1e-9)
    # Control: with the camera of frame 0 for every frame the path lands elsewhere.
    frozen = rigid_hand_reconstruction([0.15, -0.05, 0.1], moving_camera=False)
    assert np.abs(path_px(reconstruction, SEGMENT, 17) - path_px(frozen, SEGMENT, 17)).max() > 5


def test_drawing_covers_the_path_and_runs_from_blue_to_red():
    reconstruction = rigid_hand_reconstruction([0.2, 0.0, 0.0])
    first = overlay_frames(reconstruction, SEGMENT, black)[0]
    for x, y in first.path_px:
        assert first.image[int(round(y)), int(round(x))].max() > 100
    x, y = first.path_px[0]
    assert first.image[int(round(y)), int(round(x))].argmax() == 2  # blue dot: now
    x, y = first.path_px[-1]
    assert first.image[int(round(y)), int(round(x))].argmax() == 0  # red: the end
    assert first.image.sum() < 0.2 * first.image.size * 255  # control: the rest of the picture is untouched


def test_colours_and_frame_choice():
    colours = time_colours(5).astype(int)
    assert colours[0].tolist() == [0, 0, 255] and colours[2].tolist() == [0, 255, 0] and colours[4].tolist() == [255, 0, 0]
    assert uniform_indices(10, 40) == [10, 14, 18, 22, 27, 31, 35, 39]
    assert uniform_indices(3, 6) == [3, 4, 5]


def test_invalid_frames_break_the_path_but_not_the_drawing():
    reconstruction = rigid_hand_reconstruction([0.2, 0.0, 0.0])
    reconstruction.right.joints_cam[5:9] = np.nan
    frames = overlay_frames(reconstruction, SEGMENT, black)
    assert np.isnan(frames[0].path_px[5:9]).all() and np.isfinite(frames[0].path_px[9:]).all()


@pytest.mark.parametrize(
    ("reply", "action", "is_na"),
    [
        ('{"think": "t", "action": "Pick up the cup"}', "Pick up the cup.", False),
        ('Sure!\n```json\n{"think": "a {b} c", "action": "Open the box."}\n```', "Open the box.", False),
        ('{"action": "N/A"}', "", True),
        ('{"action": "n/a."}', "", True),
        ('first {not json} then {"think": "", "action": "Push  the\\n lid"} end', "Push the lid.", False),
    ],
)
def test_parser_reads(reply, action, is_na):
    answer = parse_answer(reply)
    assert (answer.action, answer.is_na) == (action, is_na)


@pytest.mark.parametrize("reply", ["", "Pick up the cup.", '{"think": "x"}', '{"action": 3}', '{"action": "  "}', '["action"]', '{"action": "Pick'])
def test_parser_refuses(reply):
    with pytest.raises(BadAnswer):
        parse_answer(reply)


def test_prompt_names_one_hand_and_warns_of_the_other():
    prompt = task_prompt("left", 8)
    assert prompt.count("left hand") >= 3 and prompt.count("right hand") == 1 and "8 pictures" in prompt


@pytest.mark.parametrize(
    ("velocity", "words"),
    [((0.3, 0, 0), "to the right"), ((-0.3, 0, 0), "to the left"), ((0, -0.3, 0), "up"), ((0, 0, 0.3), "away"), ((0, 0.2, -0.2), "down and closer"), ((0.2, -0.2, 0.2), "to the right, up and away")],
)
def test_motion_captioner_names_the_direction(velocity, words):
    captions, rejections = caption(rigid_hand_reconstruction(velocity), [SEGMENT], black, make_captioner("motion-only"))
    assert captions[0].text == f"Move the right hand {words}." and captions[0].is_weak and captions[0].source == "motion-only"
    assert not rejections


def test_motion_captioner_names_grip_turn_and_rest():
    still = rigid_hand_reconstruction([0, 0, 0])
    closing = rigid_hand_reconstruction([0, 0, 0], close_rad=1.0)
    turning = rigid_hand_reconstruction([0, 0, 0], turn_rad=1.0)
    texts = [caption(r, [SEGMENT], black, make_captioner("motion-only"))[0][0].text for r in (still, closing, turning)]
    assert texts == ["Keep the right hand where it is.", "Close the right hand.", "Turn the right wrist."]


def test_unknown_captioner_and_missing_endpoint(monkeypatch):
    with pytest.raises(UnknownName, match="motion-only"):
        make_captioner("gpt")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(MissingAsset, match="OPENAI_BASE_URL"):
        make_captioner("openai:some-model")


@pytest.fixture
def endpoint(monkeypatch):
    """A chat-completions server on loopback; `script` holds the replies (an int = that HTTP status)."""

    class State:
        script: list = []
        requests: list = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            State.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            step = State.script.pop(0) if State.script else '{"think": "", "action": "Push the lid."}'
            status = step if isinstance(step, int) else 200
            message = {"role": "assistant", "content": "" if isinstance(step, int) else step}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After-Ms", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Keep the test output quiet."""

    State.script, State.requests = [], []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-of-the-test")
    yield State
    server.shutdown()
    server.server_close()


def test_chat_captioner_sends_eight_pictures_retries_and_caches(endpoint, tmp_path):
    endpoint.script = [429, 500, "no json here", '{"think": "held", "action": "Pick up the cup"}']
    reconstruction = rigid_hand_reconstruction([0.2, 0, 0])
    captions, _ = caption(reconstruction, [SEGMENT], black, make_captioner("openai:m", tmp_path))
    assert captions[0].text == "Pick up the cup." and captions[0].source == "openai:m" and not captions[0].is_weak
    assert len(endpoint.requests) == 4
    content = endpoint.requests[-1]["messages"][1]["content"]
    assert sum(part["type"] == "image_url" for part in content) == 8
    again, _ = caption(reconstruction, [SEGMENT], black, make_captioner("openai:m", tmp_path))
    assert again == captions and len(endpoint.requests) == 4  # asked nothing twice
    other, _ = caption(reconstruction, [SEGMENT], black, make_captioner("openai:n", tmp_path))
    assert len(endpoint.requests) == 5 and other[0].source == "openai:n"  # control: another model is another question
    assert all("secret-key" not in path.read_text() for path in tmp_path.iterdir())


def test_useless_answers_and_na_are_counted(endpoint, tmp_path):
    endpoint.script = ["nonsense"] * 3 + ['{"think": "idle", "action": "N/A"}']
    reconstruction = rigid_hand_reconstruction([0.2, 0, 0])
    two = [SEGMENT, Segment("right", 0, TIME - 4, 0.2, 0.4, 1.0, "speed-minima")]
    captions, rejections = caption(reconstruction, two, black, make_captioner("openai:m", tmp_path))
    assert [r.reason for r in rejections] == ["bad_answer", "caption_na"]
    assert [c.is_na for c in captions] == [True]


def test_unreachable_endpoint_is_one_sentence(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-of-the-test")
    captioner = make_captioner("openai:m")
    captioner._client.max_retries = 0
    with pytest.raises(BadInput, match="no answer for model 'm'") as caught:
        caption(rigid_hand_reconstruction([0.2, 0, 0]), [SEGMENT], black, captioner)
    assert "secret-key" not in str(caught.value) and "secret-key" not in repr(captioner.__dict__)

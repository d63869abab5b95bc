"""Prediction: pictures of any mode, hand states, sentences, where steps lead, the files, and what is refused."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from policy_makers import tiny_policy
from prediction_makers import make_checkpoint, make_normaliser, make_state, small_policy

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput, RefusedClip, UnsafePickle
from vitra_lib.dataset import Normaliser
from vitra_lib.geometry.cameras import K_from_focal
from vitra_lib.hands.model import load_hand_model
from vitra_lib.policy.checkpoint import save_policy
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.hand_state import HandState, read_hand_state, write_hand_state
from vitra_lib.policy.predict import STATISTICS, Prediction, Predictor, Request, understood
from vitra_lib.policy.processor import Processor
from vitra_lib.reconstruction.still import still_hands
from vitra_lib.video.still import read_still

SENTENCE = "Left hand: None. Right hand: Pick up the cup."


def photo(height: int = 48, width: int = 64) -> np.ndarray:
    """A picture in which every corner has a colour of its own."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2, : width // 2] = (200, 30, 30)
    image[: height // 2, width // 2 :] = (30, 200, 30)
    image[height // 2 :, : width // 2] = (30, 30, 200)
    return image


def predictor(normaliser: Normaliser) -> Predictor:
    """A small policy, ready."""
    return Predictor(small_policy(), Processor(), normaliser, load_hand_model())


def ask(normaliser: Normaliser, image: np.ndarray | None = None, **changes: object) -> Prediction:
    """A prediction for the picture."""
    request = Request(**({"instruction": SENTENCE, "sampling": SamplingConfig(2, samples=3)} | changes))
    return predictor(normaliser)(photo() if image is None else image, make_state(), request)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_every_mode_come_as_rgb(mode: str, tmp_path: Path) -> None:
    grey = Image.fromarray(photo()).convert("L")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = (grey if mode in ("1", "LA") else Image.fromarray(photo())).convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.png")
    picture.save(path)
    read = read_still(path)
    assert read.shape == (48, 64, 3) and read.dtype == np.uint8
    if mode in ("RGB", "RGBA", "P", "CMYK"):
        assert np.abs(read[5, 5].astype(int) - (200, 30, 30)).max() < 40
    if mode == "I;16":
        assert np.array_equal(read[..., 0], np.asarray(grey))


def test_transparent_places_are_white(tmp_path: Path) -> None:
    pixels = np.dstack([photo(), np.zeros((48, 64), np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_still(tmp_path / "a.png") == 255).all()


def test_a_picture_held_sideways_is_turned_before_it_is_measured(tmp_path: Path) -> None:
    upright = Image.fromarray(photo(64, 48))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.png", exif=exif)
    same = read_still(tmp_path / "sideways.png")
    assert np.array_equal(same, read_still(tmp_path / "upright.png"))
    true, lying = ask(make_normaliser(), same), ask(make_normaliser(), np.rot90(same).copy())
    assert true.K_px[0, 2] == 24 and true.K_px[1, 2] == 32
    assert not np.allclose(true.hands[0].points, lying.hands[0].points)  # control: measured before turning


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no picture"),
        (b"", "no picture that can be read"),
        (b"\x89PNG\r\n\x1a\n1234", "damaged|no picture"),
    ],
)
def test_bad_pictures_are_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read_still(path)


def test_small_floating_and_truncated_pictures_are_refused(tmp_path: Path) -> None:
    Image.fromarray(photo(4, 4)).save(tmp_path / "small.png")
    Image.fromarray(np.zeros((32, 32), np.float32)).save(tmp_path / "float.tiff")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    for name, said in (("small.png", "at least 16"), ("float.tiff", "floating-point"), ("cut.jpg", "cut short")):
        with pytest.raises(BadInput, match=said):
            read_still(tmp_path / name)


def test_hand_states_are_read_as_written(tmp_path: Path) -> None:
    state = make_state((False, True))
    write_hand_state(tmp_path / "a.npz", state)
    again = read_hand_state(tmp_path / "a.npz")
    assert again.is_known.tolist() == [False, True] and again.fov_x_rad == state.fov_x_rad
    np.testing.assert_allclose(again.vector, state.vector, atol=1e-12)


def official(state: HandState, **changes: object) -> dict:
    """The official script's dictionary of a state."""
    content: dict = {"fov_x": float(np.rad2deg(state.fov_x_rad))}
    for index, side in enumerate(("left", "right")):
        hand = {
            "hand_pose": state.R_parent_joint[index].astype(np.float32),
            "global_orient": state.R_cam_wrist[index].astype(np.float32),
            "transl": state.t_cam_wrist[index].astype(np.float32),
            "beta": state.betas[index].astype(np.float32),
        }
        content[side] = {0: hand | changes} if state.is_known[index] else {}
    return content


def save_official(path: Path, content: object) -> Path:
    """As the official script saves it."""
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def test_official_states_are_read(tmp_path: Path) -> None:
    state = make_state((True, False))
    read = read_hand_state(save_official(tmp_path / "a.npy", official(state)))
    assert read.is_known.tolist() == [True, False] and read.hand_model == "mano"
    np.testing.assert_allclose(read.vector, state.vector, atol=1e-6)
    assert np.rad2deg(read.fov_x_rad) == pytest.approx(70.0)


def test_the_official_example_is_read(shared_data: Path) -> None:
    state = read_hand_state(shared_data / "vitra_infer_examples" / "0001.npy")
    assert state.is_known.tolist() == [True, False]
    np.testing.assert_allclose(state.t_cam_wrist[0], [-0.0925, 0.1976, 0.4468], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transl": np.array([0.0, 0.0, -0.5])}, "behind the camera"),
        ({"transl": np.array([np.nan, 0.0, 0.5])}, "NaN"),
        ({"transl": np.zeros(2)}, "shape"),
        ({"global_orient": np.diag([1.0, 1.0, -1.0])}, "no rotation"),
        ({"hand_pose": 2 * np.tile(np.eye(3), (15, 1, 1))}, "no rotation"),
    ],
)
def test_impossible_states_are_refused(changes: dict, said: str, tmp_path: Path) -> None:
    path = save_official(tmp_path / "a.npy", official(make_state(), **changes))
    with pytest.raises(BadInput, match=said):
        read_hand_state(path)


class Hostile:
    """Runs a command when unpickled freely."""

    def __reduce__(self) -> tuple:
        return (print, ("run",))


def test_a_hostile_state_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UnsafePickle):
        read_hand_state(save_official(tmp_path / "a.npy", {"left": Hostile(), "right": {}}))
    assert not capsys.readouterr().out
    with pytest.raises(BadInput, match="no 'left' and 'right'"):
        read_hand_state(save_official(tmp_path / "b.npy", {}))
    with pytest.raises(BadInput, match="no hand state"):
        read_hand_state(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("text", "hands", "sentence", "wanted"),
    [
        (SENTENCE, None, SENTENCE, ("right",)),
        ("right hand: Pick up the cup", None, SENTENCE, ("right",)),
        ("Pick up the cup", ("right",), SENTENCE, ("right",)),
        ("Left hand: Hold it. Right hand: Cut.", None, "Left hand: Hold it. Right hand: Cut.", ("left", "right")),
        ("Right hand: Cut. Left hand: Hold it.", None, "Left hand: Hold it. Right hand: Cut.", ("left", "right")),
        ("Left hand: Hold it. Right hand: Cut.", ("left",), "Left hand: Hold it. Right hand: Cut.", ("left",)),
    ],
)
def test_sentences_come_in_the_training_template(text: str, hands: tuple | None, sentence: str, wanted: tuple) -> None:
    assert understood(text, hands) == (sentence, wanted)


@pytest.mark.parametrize(
    ("text", "hands", "said"),
    [
        ("  ", None, "is empty"),
        ("Pick up the cup", None, "does not say which hand"),
        ("Pick up the cup", ("left", "right"), "does not say which hand"),
        ("Left hand: None. Right hand: None.", None, "gives neither hand"),
    ],
)
def test_sentences_that_say_too_little_are_refused(text: str, hands: tuple | None, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        understood(text, hands)


def test_draws_start_from_the_hand_and_differ_only_by_their_noise() -> None:
    prediction, again = ask(make_normaliser()), ask(make_normaliser())
    (hand,) = prediction.hands
    assert hand.side == "right" and hand.points.shape == (3, 17, 51) and hand.joints_cam.shape == (3, 17, 21, 3)
    start = make_state().vector.reshape(2, 61)[1, :51]
    np.testing.assert_allclose(hand.points[:, 0], np.tile(start, (3, 1)), atol=1e-12)
    np.testing.assert_allclose(hand.joints_cam[:, :, 0], hand.points[..., :3], atol=1e-12)
    assert np.array_equal(hand.points, again.hands[0].points)
    assert not np.allclose(hand.points[0], hand.points[1])
    other = ask(make_normaliser(), sampling=SamplingConfig(2, samples=3, seed=1))
    assert not np.allclose(hand.points, other.hands[0].points)  # control


def test_steps_without_spread_lead_along_a_straight_line() -> None:
    prediction = ask(make_normaliser(0.01, 0.0))
    way = prediction.hands[0].points[0, :, :3]
    expected = way[0] + np.arange(17)[:, None] * [0.01, 0.0, 0.0]
    np.testing.assert_allclose(way, expected, atol=1e-5)
    still = ask(make_normaliser(0.0, 0.0)).hands[0].points[0, :, :3]
    assert np.ptp(still, axis=0).max() < 1e-5 < np.ptp(way, axis=0).max()  # control: no mean, no way


def test_prediction_needs_a_field_of_view_and_the_wanted_hand() -> None:
    asked = predictor(make_normaliser())
    with pytest.raises(BadInput, match="field of view is not known"):
        asked(photo(), make_state(fov_deg=None), Request(SENTENCE))
    with pytest.raises(BadInput, match="The right hand is wanted, but in the hand state only the left one"):
        asked(photo(), make_state((True, False)), Request(SENTENCE))
    with pytest.raises(BadInput, match="legal is 2 to 177"):
        Request(SENTENCE, fov_x_rad=4.0)
    with pytest.raises(BadInput, match="need"):
        predictor(Normaliser(np.zeros(36), np.ones(36), np.zeros(36), np.ones(36)))


def test_a_hand_that_training_never_showed_is_refused() -> None:
    one_sided = make_normaliser()
    one_sided.state_std[61:] = 0.0
    with pytest.raises(BadInput, match="has never seen a right hand"):
        ask(one_sided)
    ask(one_sided, instruction="Left hand: Cut.")  # control: the other one is drawn


def test_numbers_that_never_varied_in_training_are_ignored() -> None:
    steady = make_normaliser()
    steady.state_std[61 + 10] = 1e-9
    usual = make_normaliser()
    usual.state_mean[61 + 10] = make_state().vector[61 + 10]
    np.testing.assert_allclose(ask(steady).hands[0].points, ask(usual).hands[0].points, atol=1e-6)
    narrow = make_normaliser()
    narrow.state_std[61 + 10] = 2e-4
    asked = ask(narrow)
    assert "1 numbers of the hands' state are more than 10 deviations" in asked.remarks[0]
    assert not np.allclose(asked.hands[0].points, ask(usual).hands[0].points, atol=1e-6)  # control


def test_a_sentence_that_is_not_english_is_answered_with_a_remark() -> None:
    assert "not English" in ask(make_normaliser(), instruction="Right hand: 拿起杯子.").remarks[0]
    assert ask(make_normaliser()).remarks == ()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, a state and checkpoints, good and bad."""
    folder = tmp_path_factory.mktemp("predict")
    Image.fromarray(photo(120, 160)).save(folder / "a.png")
    write_hand_state(folder / "state.npz", make_state())
    write_hand_state(folder / "left.npz", make_state((True, False)))
    make_checkpoint(folder / "good", make_normaliser())
    make_checkpoint(folder / "bare", None)
    save_policy(tiny_policy(), folder / "foreign", {STATISTICS: make_normaliser().to_official()})
    damaged = make_checkpoint(folder / "cut", make_normaliser()) / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    return folder


def predict(place: Path, **changes: str) -> int:
    """Run the command."""
    options = {"checkpoint": str(place / "good"), "instruction": SENTENCE, "hand-state": str(place / "state.npz")}
    options |= {"out": str(place / "out"), "samples": "2", "steps": "2"}
    options |= {name.replace("_", "-"): value for name, value in changes.items()}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return main(["predict", str(place / "a.png"), *words])


def test_the_command_writes_numbers_a_picture_and_a_video(place: Path) -> None:
    both = "Left hand: Hold it. Right hand: Cut."
    assert predict(place, out=str(place / "one"), instruction=both) == 0
    assert predict(place, out=str(place / "two"), instruction=both) == 0
    for path in (place / "one").iterdir():
        assert path.read_bytes() == (place / "two" / path.name).read_bytes(), path.name
    numbers = np.load(place / "one" / "prediction.npz")
    assert numbers["left_points"].shape == numbers["right_points"].shape == (2, 17, 51)
    assert numbers["right_joints_cam"].shape == (2, 17, 21, 3) and str(numbers["instruction"]) == both
    with av.open(str(place / "one" / "prediction.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 17 and not np.array_equal(frames[0], frames[-1])
    assert Image.open(place / "one" / "prediction.jpg").size == (960, 720)
    state = read_hand_state(place / "one" / "hand_state.npz")
    np.testing.assert_allclose(state.vector, make_state().vector, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instruction": " "}, "is empty"),
        ({"instruction": "Right hand: " + "word " * 800}, "shorten"),
        ({"checkpoint": "bare"}, "has no normalisation statistics; give the data set's file with --statistics"),
        ({"checkpoint": "cut"}, "missing or cut short"),
        ({"checkpoint": "nowhere"}, "No policy checkpoint"),
        ({"profile": "paper"}, "not paper"),
        ({"checkpoint": "foreign"}, "knows 400 tokens, this tokenizer has"),
        ({"hand_state": "left.npz"}, "The right hand is wanted"),
        ({"hand_state": "nowhere.npz"}, "Can't read"),
        ({"steps": "30"}, "legal are 1, 2"),
        ({"samples": "0"}, "at least one"),
        ({"fov_deg": "200"}, "legal is 2 to 177"),
        ({"statistics": "state.npz"}, "not a JSON file of statistics"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    changes: dict[str, str], said: str, place: Path, capsys: pytest.CaptureFixture
) -> None:
    named = {name: str(place / value) if name in ("checkpoint", "hand_state", "statistics") else value
             for name, value in changes.items()}  # fmt: skip
    assert predict(place, out=str(place / "refused"), **named) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("vitra: ") and error.count("\n") == 1
    assert not (place / "refused").exists()


def test_hands_are_found_in_a_picture(shared_data: Path) -> None:
    examples = shared_data / "vitra_infer_examples"
    image, state = read_still(examples / "0001.jpg"), read_hand_state(examples / "0001.npy")
    height, width = image.shape[:2]
    K_px = K_from_focal(0.5 * width / np.tan(0.5 * state.fov_x_rad), width, height)
    tracks = still_hands(image, K_px, load_hand_model())
    found = HandState.of_tracks(tracks)
    assert found.is_known.tolist() == [True, False]
    away = np.linalg.norm(found.t_cam_wrist[0] - state.t_cam_wrist[0])
    assert away < 0.1 < 2.5 * np.linalg.norm(state.t_cam_wrist[0])  # another estimator's opinion, not truth
    with pytest.raises(RefusedClip, match="No hand was found"):
        still_hands(np.full_like(image, 128), K_px, load_hand_model())  # control: nothing is there

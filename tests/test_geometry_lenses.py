"""Lens models against OpenCV's, against Aria's own library (frozen numbers, a real calibration), and undone again."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import resize_K, rotate_K
from vitra_lib.geometry.cameras_fisheye import Fisheye
from vitra_lib.geometry.cameras_fisheye624 import Fisheye624
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.geometry.cameras_omnidirectional import Omnidirectional

K = np.array([[400.0, 0, 318], [0, 410, 241], [0, 0, 1]])
K_MEI = np.array([[850.0, 0, 318], [0, 860, 241], [0, 0, 1]])
D_MEI = np.array([-0.2, 0.05, 0.001, -0.002])
# The RGB camera of the Aria recording at 2016 x 1512 pixels, and what projectaria_tools 2.3.0 makes of it.
ARIA = np.array([
    878.166349754209, 992.0538191467116, 752.3805904873, -0.03062715238872743, 0.02038251647467475, 0.12113406270867952,
    -0.22032347837849214, 0.1344179042987779, -0.02895528495961128, -0.0009169260734125165, 0.0001400416624196747,
    0.0005346206071796894, 0.0006653858183729804, -0.00045985819862329804, 0.00017987103212187256,
])  # fmt: skip

ARIA_PIXELS = [
    [1243.913581226, 584.421786899], [1730.532818316, 1059.903680288], [460.796216729, 1401.789478734],
    [992.053819147, 752.380590487],
]  # fmt: skip


def points(seed: int = 0, reach: float = 1.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-reach, reach, (300, 2)), np.ones((300, 1))], axis=1)


LENSES = [
    Pinhole(K, 640, 480),
    Fisheye(K, np.array([0.05, -0.02, 0.01, -0.003]), 640, 480),
    Omnidirectional(K_MEI, D_MEI, 640, 480, 1.1),
    Omnidirectional(K, np.zeros(4), 640, 480, 0.0),
    Fisheye624.from_params(ARIA, 2016, 1512),
]


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: type(lens).__name__)
def test_a_ray_comes_back_from_its_pixel(lens) -> None:
    p = points()
    rays = lens.unproject(lens.project(p))
    np.testing.assert_allclose(rays, p / np.linalg.norm(p, axis=1, keepdims=True), atol=1e-9)
    shift = lens.project(p + [0.01, 0, 0]) - lens.project(p)
    assert np.abs(shift).max() > 1, "control: a centimetre at a metre is seen"


def test_fisheye_agrees_with_opencv() -> None:
    lens, p = LENSES[1], points()
    theirs, _ = cv2.fisheye.projectPoints(p[None], np.zeros(3), np.zeros(3), lens.K_px, lens.distortion)
    np.testing.assert_allclose(lens.project(p), theirs[0], atol=1e-9)
    plain, _ = cv2.fisheye.projectPoints(p[None], np.zeros(3), np.zeros(3), lens.K_px, np.zeros(4))
    assert np.abs(plain[0] - theirs[0]).max() > 1, "control: without the coefficients it differs"


def test_mei_agrees_with_opencv() -> None:
    lens, p = LENSES[2], points()
    if not hasattr(cv2, "omnidir"):
        pytest.skip("This OpenCV has no omnidir module; the formulas are tested by `test_mei_by_hand`.")
    theirs, _ = cv2.omnidir.projectPoints(p[None], np.zeros(3), np.zeros(3), lens.K_px, lens.xi, lens.distortion[None])
    np.testing.assert_allclose(lens.project(p), theirs[0], atol=1e-9)
    other, _ = cv2.omnidir.projectPoints(p[None], np.zeros(3), np.zeros(3), lens.K_px, 1.0, lens.distortion[None])
    assert np.abs(other[0] - theirs[0]).max() > 1, "control: another xi differs"


def test_mei_by_hand() -> None:
    lens = Omnidirectional(K_MEI, np.zeros(4), 640, 480, 1.0)
    s = np.array([0.6, 0.0, 0.8])  # on the sphere: x = 0.6 / (0.8 + 1)
    np.testing.assert_allclose(lens.project(s), [318 + 850 * 0.6 / 1.8, 241], atol=1e-12)
    assert np.isnan(lens.project(np.array([0.0, 0.0, -1.0]))).all(), "nothing is seen behind"


def test_mei_without_mirror_is_opencvs_pinhole_distortion() -> None:
    lens, p = Omnidirectional(K, D_MEI, 640, 480, 0.0), points(reach=0.7)
    theirs, _ = cv2.projectPoints(p, np.zeros(3), np.zeros(3), K, D_MEI)
    np.testing.assert_allclose(lens.project(p), theirs[:, 0], atol=1e-9)


def test_aria_agrees_with_its_own_library() -> None:
    lens = Fisheye624.from_params(ARIA, 2016, 1512)
    p = np.array([[0.3, -0.2, 1.0], [1.2, 0.5, 1.0], [-0.9, 1.1, 1.0], [0.0, 0.0, 1.0]])
    theirs = np.array(ARIA_PIXELS)
    np.testing.assert_allclose(lens.project(p), theirs, atol=1e-6)
    without = Fisheye624.from_params(np.concatenate([ARIA[:9], np.zeros(6)]), 2016, 1512)
    assert np.abs(without.project(p) - theirs).max() > 0.3, "control: without tangential and prism terms it differs"


def test_aria_calibration_of_a_real_recording(shared_data: Path) -> None:
    recording = shared_data / "aria_gen2_hands" / "aria_gen2_unit_test_sequence_with_bluetooth.vrs"
    calibration = aria_calibration(recording)
    camera = next(c for c in calibration["CameraCalibrations"] if c["Label"] == "camera-rgb")
    full = Fisheye624.from_params(np.array(camera["Projection"]["Params"]), 4032, 3024)
    np.testing.assert_allclose(full.resized(2016, 1512).K_px[[0, 0, 1], [0, 2, 2]], ARIA[:3], atol=1e-6)
    p = points(reach=1.0)
    np.testing.assert_allclose(
        full.resized(2016, 1512).project(p), Fisheye624.from_params(ARIA, 2016, 1512).project(p), atol=1e-5
    )


def aria_calibration(recording: Path) -> dict:
    """The device calibration, which a .vrs holds as plain JSON among its tags."""
    data = recording.read_bytes()
    start = data.rindex(b'{"AlgorithmName"', 0, data.index(b'"CameraCalibrations"'))
    return json.JSONDecoder().raw_decode(data[start : start + 200_000].decode("latin1"))[0]


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: type(lens).__name__)
def test_the_inverse_agrees_with_a_search_over_all_rays(lens) -> None:
    x, y = np.meshgrid(np.linspace(0, 0.8, 801), np.linspace(0, 0.5, 501))
    seen = lens.project(np.stack([x, y, np.ones_like(x)], axis=-1))
    pixel = lens.project(np.array([0.4321, 0.2345, 1.0]))
    nearest = np.linalg.norm(seen - pixel, axis=-1).argmin()
    ray = lens.unproject(pixel)
    np.testing.assert_allclose(ray[:2] / ray[2], [x.flat[nearest], y.flat[nearest]], atol=1e-3)


def test_beyond_the_lens_there_is_nothing() -> None:
    narrow = Fisheye(K, np.array([-0.3, 0.0, 0.0, 0.0]), 640, 480)  # turns around at 60 degrees
    assert np.rad2deg(narrow.limit_rad) == pytest.approx(60.39, abs=0.01)
    assert np.isnan(narrow.project(np.array([3.0, 0.0, 1.0]))).all()
    assert np.isnan(narrow.unproject(np.array([639.0, 479.0]))).all()
    assert np.isfinite(narrow.project(np.array([1.0, 0.0, 1.0]))).all()


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: type(lens).__name__)
def test_resizing_and_cropping_move_pixels_with_the_picture(lens) -> None:
    p = points(reach=0.5)
    uv = lens.project(p)
    half = lens.resized(lens.width_px // 2, lens.height_px // 2).project(p)
    np.testing.assert_allclose(half, (uv + 0.5) / 2 - 0.5, atol=1e-9)
    np.testing.assert_allclose(
        lens.shifted(32, 16, lens.width_px - 64, lens.height_px - 32).project(p), uv - [32, 16], atol=1e-9
    )


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_turned_intrinsics_look_at_turned_pictures(turn: int) -> None:
    picture = np.zeros((480, 640), np.uint8)
    picture[100, 200] = 1
    turned = np.rot90(picture, -turn // 90)
    K_turned = rotate_K(K, 640, 480, turn)
    a = np.deg2rad(turn)
    R = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    ray = np.linalg.inv(K) @ [200, 100, 1.0]
    uv = K_turned @ R @ ray
    row, column = np.argwhere(turned)[0]
    np.testing.assert_allclose(uv[:2] / uv[2], [column, row], atol=1e-9)


def test_a_quarter_turn_and_no_other() -> None:
    with pytest.raises(BadInput, match="90"):
        rotate_K(K, 640, 480, 45)
    np.testing.assert_allclose(resize_K(K, 2.0, 2.0)[:2, 2], (K[:2, 2] + 0.5) * 2 - 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda K: K * np.nan, "NaN"),
        (lambda K: K / 1000 + np.diag([0, 0, 0.999]), "focal length"),
        (lambda K: K + np.array([[0, 0, 5000.0], [0, 0, 0], [0, 0, 0]]), "principal point"),
        (lambda K: K.T, "aren't a matrix"),
    ],
)
def test_impossible_intrinsics_are_refused(change, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Pinhole(change(K), 640, 480)

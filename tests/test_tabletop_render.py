"""The renderer against closed forms: depth of a plane, area of a sphere, shadows, ids, determinism, no OpenGL."""

import subprocess
import sys

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.cameras import K_from_focal, rays
from vitra_lib.tabletop.render import (
    TEXTURE_FAMILIES,
    AreaLight,
    Background,
    Camera,
    PostConfig,
    RenderConfig,
    RenderObject,
    Scene,
    apply_camera_effects,
    make_texture,
    render,
)

SQUARE = np.array([[0, 1, 2], [0, 2, 3]])
PLAIN = RenderConfig(antialias=False, ambient_samples=0)


def looking_down(height_m: float = 1.0) -> np.ndarray:
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[2, 3] = height_m
    return T


def camera(width: int = 160, height: int = 120, focal: float = 140.0, T: np.ndarray | None = None) -> Camera:
    return Camera(K_from_focal(focal, width, height), width, height, looking_down() if T is None else T)


def table(instance_id: int = 1, half: float = 5.0, z: float = 0.0, **options) -> RenderObject:
    corners = np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    return RenderObject(corners, SQUARE, instance_id, **options)


def sphere(radius: float = 0.2, z: float = 0.3, instance_id: int = 2, n: int = 96, **options) -> RenderObject:
    theta, phi = np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    points = radius * np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], axis=-1).reshape(-1, 3)
    i, j = (a.ravel() for a in np.mgrid[: n - 1, : 2 * n])
    a, b = i * 2 * n + j, i * 2 * n + (j + 1) % (2 * n)
    faces = np.concatenate([np.stack([a, a + 2 * n, b], 1), np.stack([b, a + 2 * n, b + 2 * n], 1)])
    return RenderObject(points + [0.0, 0.0, z], faces, instance_id, **options)


def test_depth_of_a_tilted_plane_is_the_closed_form():
    tilt, height = np.deg2rad(35.0), 0.8
    c, s = np.cos(tilt), np.sin(tilt)
    T = np.eye(4)
    T[:3, :3] = np.array([[1, 0, 0], [0, -c, s], [0, -s, -c]])  # looks down and forward
    T[2, 3] = height
    view = camera(T=T)
    depth = render(Scene((table(half=50.0),)), view, PLAIN).depth_m
    v, u = np.mgrid[: view.height_px, : view.width_px]
    slope = rays(view.K_px, np.stack([u, v], axis=-1).astype(float)) @ T[2, :3]
    assert np.allclose(depth, -height / slope, rtol=2e-5)
    # Control: half a pixel aside is not the same picture.
    aside = rays(view.K_px, np.stack([u, v + 0.5], axis=-1).astype(float)) @ T[2, :3]
    assert np.abs(depth + height / aside).max() > 1e-3


def test_silhouette_of_a_sphere_has_the_area_of_its_conic():
    radius, distance, focal = 0.2, 1.0, 400.0
    view = camera(320, 320, focal)
    ids = render(Scene((sphere(radius, z=0.0),)), view, PLAIN).instance_id
    # A sphere on the optical axis projects to a disc of radius f r / sqrt(d^2 - r^2).
    disc = np.pi * (focal * radius) ** 2 / (distance**2 - radius**2)
    assert (ids == 2).sum() == pytest.approx(disc, rel=0.004)
    # Control: the naive f r / d differs by 4 %, ten times the tolerance.
    assert abs(np.pi * (focal * radius / distance) ** 2 / disc - 1) > 0.03


def test_ids_depth_and_background_agree():
    result = render(Scene((table(7, half=0.1), sphere(0.05, z=0.1, instance_id=300))), camera())
    assert set(np.unique(result.instance_id)) == {0, 7, 300}
    assert result.instance_id.dtype == np.uint16 and result.depth_m.dtype == np.float32
    assert np.array_equal(np.isinf(result.depth_m), result.instance_id == 0)
    assert result.depth_m[result.instance_id == 300].max() < result.depth_m[result.instance_id == 7].min() + 0.06


def test_same_scene_same_bytes_and_another_seed_other_bytes():
    post = PostConfig(noise_std=2.0, blur_sigma_px=0.5, jpeg_quality=90, seed=4)
    scene = Scene((table(texture=make_texture("wood", 3)), sphere()))
    one, two = (render(scene, camera(), RenderConfig(post=post)) for _ in range(2))
    assert one.image.tobytes() == two.image.tobytes() and one.depth_m.tobytes() == two.depth_m.tobytes()
    other = render(scene, camera(), RenderConfig(post=PostConfig(noise_std=2.0, seed=5)))
    assert one.image.tobytes() != other.image.tobytes()


def test_light_from_above_brightens_the_top():
    T = np.eye(4)
    T[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # looks along +y, image up = world up
    T[:3, 3] = [0, -1, 0]
    lit = lambda z: render(  # noqa: E731
        Scene((sphere(z=0.0),), (AreaLight(np.array([0.0, 0.0, z])),), Background(ambient=0.05)), camera(T=T)
    )
    picture = lit(2.0)
    on = picture.instance_id == 2
    rows = np.nonzero(on)[0]
    upper, lower = on & (np.arange(120)[:, None] < rows.mean() - 10), on & (np.arange(120)[:, None] > rows.mean() + 10)
    assert picture.image[upper].mean() > 2 * picture.image[lower].mean()
    below = lit(-2.0).image  # control: the lamp below turns it round
    assert below[upper].mean() < below[lower].mean()


def test_shadow_falls_where_the_lamp_is_hidden_and_softens_with_its_size():
    def shade(radius_m: float) -> np.ndarray:
        lamp = AreaLight(np.array([0.0, 0.0, 2.0]), radius_m, reference_m=2.0)
        plate = table(2, half=0.1, z=0.8)
        T = looking_down(0.7)  # under the plate, which it can't see
        config = RenderConfig(antialias=False, ambient_samples=0, shadow_samples=16)
        return (
            render(Scene((table(), plate), (lamp,)), camera(200, 200, 130.0, T), config).image[100, :, 1].astype(float)
        )

    hard, soft = shade(0.0), shade(0.15)
    # A plate of half width 0.1 at 0.8 under a point at 2.0 throws a shadow of half width 0.1 * 2 / 1.2.
    edge = 0.1 * 2.0 / 1.2 * 130.0 / 0.7
    middle = 0.5 * (hard[100] + hard[190])
    assert np.flatnonzero(hard[100:] > middle)[0] == pytest.approx(edge, abs=1.5)

    def ramp(line: np.ndarray) -> int:
        low, high = line[100], line[195]
        inside = (line[100:] > low + 0.15 * (high - low)) & (line[100:] < low + 0.85 * (high - low))
        return int(inside.sum())

    assert ramp(soft) > 3 * max(ramp(hard), 2)
    assert (np.diff(soft[101:190]) > -3).all()  # no grain left in the ramp


def test_antialiasing_gives_outlines_their_coverage():
    # A plate lit evenly from all around, on black, with its edge along a slanted line: pixels show their share of it.
    tilt, focal = np.deg2rad(20.0), 140.0
    normal = np.array([np.cos(tilt), np.sin(tilt), 0.0])
    along = np.array([-np.sin(tilt), np.cos(tilt), 0.0])
    corners = np.stack([-5 * along, 5 * normal - 5 * along, 5 * normal + 5 * along, 5 * along])
    plate = RenderObject(corners, SQUARE, 1, albedo=np.full(3, 0.5))
    scene = Scene((plate,), (), Background(*(np.full(3, 1e-9),) * 3, ambient=5e8))
    v, u = np.mgrid[:120, :160]
    offset = (u - 80) * normal[0] - (v - 60) * normal[1]  # pixels inside the edge; image v runs against world y
    coverage = np.clip(0.5 + offset / (abs(normal[0]) + abs(normal[1])), 0, 1)
    error = {}
    for on in (False, True):
        image = (
            render(scene, camera(160, 120, focal), RenderConfig(antialias=on, ambient_samples=0)).image[..., 1] / 255.0
        )
        linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
        error[on] = np.abs(linear / linear.max() - coverage)
    band = np.abs(offset) < 0.7
    assert error[True][band].mean() < 0.1 and error[True][~band].max() < 0.02
    assert error[False][band].mean() > 0.2  # control: one ray per pixel


def test_only_casters_cast():
    lamp = (AreaLight(np.array([0.0, 0.0, 2.0]), 0.05),)
    for casts, is_dark in ((True, True), (False, False)):
        lid = table(2, half=0.3, z=0.9, casts_shadow=casts)
        picture = render(Scene((table(), lid), lamp), camera(T=looking_down(0.7)), PLAIN).image
        open_picture = render(Scene((table(),), lamp), camera(T=looking_down(0.7)), PLAIN).image
        assert (picture[60, 80, 1] < open_picture[60, 80, 1] - 30) == is_dark


def test_textures_are_deterministic_tileable_and_scaled_in_metres():
    for family in TEXTURE_FAMILIES:
        texture = make_texture(family, 5, 0.4)
        assert texture.pixels.min() >= 0 and texture.pixels.max() <= 1 and texture.pixels.std() > 0.004, family
        make_texture.cache_clear()
        assert np.array_equal(texture.pixels, make_texture(family, 5, 0.4).pixels)
        assert not np.array_equal(texture.pixels, make_texture(family, 6, 0.4).pixels)
        uv = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
        near = np.zeros(50, np.float32)
        assert np.allclose(texture.sample(uv, near), texture.sample(uv + np.float32(0.4), near), atol=0.02)
    checker = make_texture("checker", 5, 0.4)
    far = checker.sample(uv, np.full(50, 0.5, np.float32))
    assert (
        far.std(axis=0).max() < 0.05 * checker.sample(uv, near).std(axis=0).max()
    )  # from far away a texture is its mean
    with pytest.raises(UnknownName, match="legal are wood"):
        make_texture("lava", 1)


def test_texture_sticks_to_a_moving_object():
    flat = table(half=0.2)
    step = 0.05
    moved = RenderObject(
        flat.vertices + [step, 0, 0], SQUARE, 1, texture=make_texture("checker", 1), texture_coords=flat.vertices
    )
    still = RenderObject(flat.vertices, SQUARE, 1, texture=make_texture("checker", 1))
    far_lamp = (AreaLight(np.array([0.0, 0.0, 60.0]), 0.0, reference_m=60.0),)
    a, b = (render(Scene((thing,), far_lamp), camera(focal=200.0), PLAIN).image.astype(int) for thing in (still, moved))
    shift = int(round(200.0 * step))
    assert np.abs(a[40:80, 50:100] - b[40:80, 50 + shift : 100 + shift]).mean() < 1.0
    assert np.abs(a[40:80, 50:100] - b[40:80, 50:100]).mean() > 3.0  # control: without the shift they differ


def test_empty_scene_is_background_and_bad_input_is_refused():
    result = render(Scene(()), camera())
    assert (result.instance_id == 0).all() and np.isinf(result.depth_m).all()
    with pytest.raises(BadInput, match="instance_id"):
        table(0)
    with pytest.raises(BadInput, match="faces"):
        RenderObject(np.zeros((2, 3)), SQUARE, 1)
    with pytest.raises(BadInput, match="shadow_samples"):
        RenderConfig(shadow_samples=0)
    with pytest.raises(BadInput, match="jpeg_quality"):
        PostConfig(jpeg_quality=0)


def test_camera_effects_leave_their_input_and_average_alone():
    image = np.full((60, 80, 3), 120, np.uint8)
    noisy = apply_camera_effects(image, PostConfig(noise_std=4.0))
    assert (image == 120).all()
    assert noisy.mean() == pytest.approx(120, abs=0.3) and 3.0 < noisy.std() < 5.0
    assert apply_camera_effects(image, PostConfig()).tobytes() == image.tobytes()


def test_no_opengl_is_imported():
    code = (
        "import sys, numpy as np\n"
        "from vitra_lib.tabletop.render import *\n"
        "f = np.array([[0, 1, 2]]); o = RenderObject(np.eye(3), f, 1)\n"
        "render(Scene((o,)), Camera(np.array([[9., 0, 8], [0, 9, 8], [0, 0, 1]]), 16, 16, np.eye(4)))\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('OpenGL', 'pyrender', 'pyglet', 'moderngl', 'glfw')]\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

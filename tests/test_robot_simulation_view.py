"""The simulation's pictures against MuJoCo's own geometry, light, and known colours."""

import numpy as np
import pytest
from simulation_makers import at, block, cup, granules, scene

from robot.simulation.config import TABLE_Z_M, ready_angles
from robot.simulation.physics import Simulation
from robot.simulation.rig import load_mujoco
from robot.simulation.scene import PART_KINDS, HeadCamera, Look, Part, Scene, Surface, Thing, looking_at
from robot.simulation.shapes import solid_mesh
from robot.simulation.things import volume
from robot.simulation.view import Picture, SceneView
from vitra_lib.core.errors import BadInput, UnknownName

WIDTH, HEIGHT = 96, 72
BALL = Thing(
    "ball", "ball", (Part("sphere", (0.03,), at(0, 0, 0.03)),), 0.05, at(0.42, 0.10, TABLE_Z_M), (0.1, 0.7, 0.1)
)
TIN = Thing("tin", "tin", (Part("cylinder", (0.03, 0.05), at(0, 0, 0.05)),), 0.1, at(0.40, -0.12, TABLE_Z_M))
TRAY = Thing(
    "tray", "tray", (Part("box", (0.05, 0.08, 0.01), at(0, 0, 0.01)),), 1.0, at(0.3, 0.22, TABLE_Z_M), is_fixed=True
)


def seen_by_mujoco(simulation: Simulation, picture: Picture, ids: dict[str, int]) -> tuple[float, float, float]:
    """Share of pixels whose body agrees, share whose depth agrees within 2 mm, and share that shows the robot."""
    mujoco, model, data = load_mujoco(), simulation.model, simulation.data
    camera = simulation.scene.camera
    K, T = camera.K_px(WIDTH, HEIGHT), camera.T_world_cam
    same = near = robot = count = 0
    hit = np.zeros(1, np.int32)
    normal = np.zeros(3)
    for v in range(2, HEIGHT, 3):
        for u in range(2, WIDTH, 3):
            ray = T[:3, :3] @ [(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], 1.0]
            depth = mujoco.mj_ray(model, data, T[:3, 3].copy(), ray, None, 1, -1, hit, normal)
            geom = model.geom(int(hit[0])) if depth >= 0 else None
            body = "" if geom is None else model.body(int(geom.bodyid[0])).name
            name = {"world": "" if geom is None else geom.name}.get(body, body)
            number = picture.instance_id[v, u]
            count += 1
            same += number == ids.get(name, 0)
            near += abs(depth - picture.depth_m[v, u]) < 2e-3 if depth >= 0 else np.isinf(picture.depth_m[v, u])
            robot += name.startswith(("arm.", "hand."))
    return same / count, near / count, robot / count


@pytest.fixture(scope="module")
def world() -> tuple[Simulation, SceneView]:
    """A scene of every kind of thing whose mesh is its solid."""
    shown = scene(block(), BALL, TIN, TRAY)
    return Simulation(shown), SceneView(shown)


def test_pictures_show_what_mujoco_says_is_there(world: tuple[Simulation, SceneView]) -> None:
    simulation, view = world
    simulation.reset()
    target = ready_angles() + np.r_[0.3, 0.2, 0, 0.3, 0, -0.2, 0.4, np.full(12, 0.3)]
    stale = view.picture_and_ids(simulation, WIDTH, HEIGHT)
    for _ in range(20):
        simulation.step(target)
    picture = view.picture_and_ids(simulation, WIDTH, HEIGHT)
    same, near, robot = seen_by_mujoco(simulation, picture, view.ids)
    assert same > 0.985 and near > 0.98 and robot > 0.08  # bevels and facets make the rest
    wrong, _, _ = seen_by_mujoco(simulation, stale, view.ids)
    assert wrong < 0.97  # a picture of another moment is found out
    assert set(np.unique(picture.instance_id)) >= {view.ids[name] for name in ("block", "ball", "tin", "tray", "table")}


def test_a_things_middle_is_seen_where_it_is_and_in_its_colour(world: tuple[Simulation, SceneView]) -> None:
    simulation, view = world
    simulation.reset()
    width, height = 320, 240
    picture, camera = view.picture_and_ids(simulation, width, height), simulation.scene.camera
    frame = view.picture(simulation, width, height)
    assert np.array_equal(frame.image, picture.image) and frame.at_s == simulation.time_s
    for name, lift, channel in (("block", 0.04, 0), ("ball", 0.03, 1)):
        local = np.linalg.inv(camera.T_world_cam) @ simulation.T_world_thing(name) @ [0, 0, lift, 1]
        u, v = np.rint((frame.K_px @ (local[:3] / local[2]))[:2]).astype(int)
        assert picture.instance_id[v, u] == view.ids[name]
        colour = picture.image[v, u].astype(int)
        assert colour.argmax() == channel and colour[channel] > 1.5 * np.delete(colour, channel).max()
        assert 0 < local[2] - picture.depth_m[v, u] < 0.05  # its surface is a little nearer than its middle


def test_a_thing_in_the_lamps_way_darkens_the_table_behind_it() -> None:
    look = Look(table=Surface("plain", 1), lamp_m=(0.36, 0.6, 0.5))
    camera = HeadCamera(looking_at(np.array([0.2, 0.0, 0.7]), np.array([0.36, 0.0, -0.1])), 0.9)
    pictures = []
    for things in ((block(),), ()):
        shown = scene(*things, camera=camera, look=look, start_rad=away())
        pictures.append(SceneView(shown).picture(Simulation(shown), 128, 128).image.astype(float).mean(-1))
    darker = pictures[1] - pictures[0]
    K, T = camera.K_px(128, 128), np.linalg.inv(camera.T_world_cam)
    for y, is_dark in ((-0.05, True), (0.05, False)):  # the lamp is at +y
        local = (T @ [0.36, y, TABLE_Z_M, 1])[:3]
        u, v = np.rint((K @ (local / local[2]))[:2]).astype(int)
        patch = darker[v - 1 : v + 2, u - 1 : u + 2].mean()
        assert patch > 15 if is_dark else abs(patch) < 4


def away() -> np.ndarray:
    """The arm turned to the side, out of the picture and of the lamp's way."""
    q = ready_angles()
    q[0] = -2.2
    return q


def test_the_same_state_gives_the_same_picture_and_another_size_shows_the_same() -> None:
    shown = scene(block(), cup(), *granules(6))
    simulation, view = Simulation(shown), SceneView(shown)
    first, again = (view.picture(simulation, WIDTH, HEIGHT).image for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(SceneView(shown).picture(Simulation(shown), WIDTH, HEIGHT).image, first)
    large = view.picture(simulation, 2 * WIDTH, 2 * HEIGHT)
    small = large.image.reshape(HEIGHT, 2, WIDTH, 2, 3).mean((1, 3))
    assert np.abs(small - first).mean() < 6
    np.testing.assert_allclose(large.K_px[0, 0], 2 * shown.camera.K_px(WIDTH, HEIGHT)[0, 0])
    start = simulation.measured
    for share in np.linspace(0, 1, 10):
        simulation.step(start + share * np.r_[0.3, np.zeros(18)])
    assert not np.array_equal(view.picture(simulation, WIDTH, HEIGHT).image, first)
    other: Scene = scene(block())
    with pytest.raises(BadInput, match="another scene"):
        view.picture(Simulation(other))


def test_the_left_rig_is_the_right_one_in_the_mirror() -> None:
    masks = []
    for side, y in (("right", 0.12), ("left", -0.12)):
        shown = scene(block(y=y), side=side)
        view = SceneView(shown)
        ids = view.picture_and_ids(Simulation(shown), WIDTH, HEIGHT).instance_id
        masks.append([ids == view.ids[name] for name in ("block", "hand.base", "arm.joint_6")])
    for right, left in zip(*masks, strict=True):
        assert right.sum() > 8
        union = (right | left[:, ::-1]).sum()
        assert (right & left[:, ::-1]).sum() > 0.75 * union  # pixels of the outline may differ
    assert not (masks[0][0] & masks[1][0]).any()  # unmirrored the blocks don't agree


@pytest.mark.parametrize(
    ("kind", "size"),
    [("box", (0.02, 0.03, 0.04)), ("sphere", (0.03,)), ("ellipsoid", (0.02, 0.03, 0.04)), ("cylinder", (0.03, 0.05)),
     ("capsule", (0.02, 0.05)), ("vessel", (0.04, 0.05, 0.004, 0.03))],
)  # fmt: skip
def test_meshes_are_closed_outward_and_as_large_as_their_solids(kind: str, size: tuple[float, ...]) -> None:
    vertices, faces, _ = solid_mesh(kind, size)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    enclosed = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    if kind == "vessel":
        rim, half, wall, foot = size
        outer = 2 * half * np.pi / 3 * (rim**2 + rim * foot + foot**2)
        assert 0 < enclosed < 0.35 * outer  # a thin shell: inside and outside both face the right way
        assert enclosed > 2 * np.pi * 0.5 * (rim + foot) * wall * 2 * half * 0.8
    else:
        assert enclosed == pytest.approx(volume(kind, size), rel=0.03)
    extent = np.abs(vertices).max(0)
    half_height = size[1] + (size[0] if kind == "capsule" else 0) if len(size) in (2, 4) else size[-1]
    assert extent[2] == pytest.approx(half_height, rel=1e-6)
    assert set(PART_KINDS) >= {kind}


def test_an_unknown_solid_is_refused() -> None:
    with pytest.raises(UnknownName, match="capsule"):
        solid_mesh("torus", (0.1, 0.02))

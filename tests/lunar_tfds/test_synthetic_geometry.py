"""Checks the renderer's hits, shadows and labels against brute force."""

import numpy as np
import pytest

from lunar_tfds.synthetic import (
    labels,
    raycast,
    relief,
    rocks,
    scatter,
    scene,
    shapes,
    terrain,
)
from lunar_tfds.synthetic.camera import Camera

SUN_ELEVATION = np.radians(30.0)


def flat_land(height=0.0):
    shape = (terrain.LEVELS, terrain.GRID, terrain.GRID)
    spacings = terrain.FINEST * terrain.RATIO ** np.arange(terrain.LEVELS, dtype=float)
    corners = np.repeat(-0.5 * terrain.GRID * spacings[:, None], 2, axis=1)
    land = terrain.Terrain(
        corners,
        spacings,
        np.full(shape, height, np.float32),
        np.empty(shape, np.float32),
    )
    terrain.cast_shadows(land, SUN_ELEVATION)
    return land


@pytest.fixture(scope="module")
def land():
    return flat_land()


def box(kind, centre, half_sides, host=-1):
    """A block with sides along the axes; its six planes are listed over and over."""
    six = np.concatenate([np.eye(3), -np.eye(3)])
    normals = np.resize(six, (shapes.PLANES, 3))
    offsets = np.resize(np.tile(half_sides, 2), shapes.PLANES).astype(float)
    return rocks.Rocks(
        np.array([kind], np.int8),
        np.array([centre], float),
        np.array([np.linalg.norm(half_sides)]),
        normals[None],
        offsets[None],
        np.array([0.01]),
        np.array([1.0]),
        np.array([host]),
    )


def slab_interval(origins, directions, centre, half_sides):
    """Independent of the renderer: entry and exit of rays through a block."""
    with np.errstate(divide="ignore"):
        low = (np.subtract(centre, half_sides) - origins) / directions
        high = (np.add(centre, half_sides) - origins) / directions
    return np.minimum(low, high).max(-1), np.maximum(low, high).min(-1)


CAMERA = Camera((0.1, -0.2, 1.5), 0.3, np.radians(-12), np.radians(7), 96, 144)
BLOCKS = [  # kind, centre, half sides, host
    (rocks.LARGE, (5.0, 1.0, 0.2), (0.7, 0.9, 0.8), -1),
    (rocks.SMALL, (3.0, 1.6, 0.0), (0.2, 0.15, 0.3), -1),
    (rocks.SMALL, (4.4, 1.5, 0.4), (0.3, 0.2, 0.2), 0),  # Embedded in the first.
    (rocks.PEBBLE, (2.6, 0.7, 0.0), (0.04, 0.04, 0.04), -1),
    (rocks.SMALL, (8.0, 3.0, 0.0), (0.3, 0.3, 0.2), -1),
    (rocks.SMALL, (7.5, 1.5, 0.0), (0.3, 0.3, 0.3), -1),  # Hidden by the first.
]


def test_every_pixel_has_the_class_its_ray_hits(land):
    stones = rocks.join([box(*block) for block in BLOCKS])
    soil = land.hit(CAMERA, CAMERA.rays())
    ground = scene.ground_mask(CAMERA, stones, scene.trace(CAMERA, soil, stones))

    rays = CAMERA.rays().astype(float)
    origin = np.array(CAMERA.position)
    depth = np.where(
        rays[:, 2] < 0, -origin[2] / np.minimum(rays[:, 2], -1e-12), np.inf
    )
    depth[depth > 1500] = np.inf
    winner = np.full(len(rays), -1)
    inside_first = None
    for i, (_, centre, half, _) in enumerate(BLOCKS):
        enter, leave = slab_interval(origin, rays, centre, half)
        hit = (enter < leave) & (enter > 0)
        inside_first = hit if inside_first is None else inside_first
        nearer = hit & (enter < depth)
        winner[nearer], depth[nearer] = i, enter[nearer]
    kinds = np.array([block[0] for block in BLOCKS] + [rocks.PEBBLE])[winner]
    small = kinds == rocks.SMALL
    large = (kinds == rocks.LARGE) | ((winner == 2) & inside_first)
    flat = ground.reshape(-1, 3)
    expected = np.stack([np.isinf(depth), small, large], -1)
    # Rays within a hair of an edge may fall on either side in float32.
    differs = ((flat > 0) != expected).any(-1)
    assert differs.mean() < 2e-4
    assert (small & large).any() and (winner == 3).any() and not (winner == 5).any()
    distance = np.linalg.norm(rays, axis=1) * depth
    same = small & ~differs
    np.testing.assert_allclose(flat[same, 1], labels.fade(distance[same]), atol=1)


def test_ground_hits_lie_on_the_ground():
    rng = np.random.default_rng(3)
    rough = relief.build_terrain(rng, relief.Relief(), 0.4, SUN_ELEVATION)
    camera = Camera((0.0, 0.0, 1.7), 0.4, np.radians(-15), 0.2, 96, 144)
    rays = camera.rays()
    depth = rough.hit(camera, rays)
    seen = np.isfinite(depth) & (depth < 60)
    points = rays[seen] * depth[seen, None] + np.float32(camera.position)
    gap = points[:, 2] - rough.height(points[:, 0], points[:, 1])
    # Within a tenth of a pixel's width, seen along the ray.
    assert np.quantile(np.abs(gap) / (depth[seen] * camera.pixel_angle), 0.98) < 0.1
    # Nothing hides the hit: 200 points along each ray stay above the ground.
    steps = np.linspace(0.02, 0.98, 200)
    sample = np.nonzero(seen)[0][::97]
    along = rays[sample, None] * (depth[sample, None] * steps)[..., None]
    along = (along + np.array(camera.position)).reshape(-1, 3).astype(np.float32)
    above = along[:, 2] - rough.height(along[:, 0], along[:, 1])
    assert (above.reshape(len(sample), -1).min(1) < -0.02).mean() < 0.02


def test_terrain_shadow_is_as_long_as_the_sun_is_low(land):
    wall = flat_land()
    x = wall.corners[1, 0] + wall.spacings[1] * np.arange(terrain.GRID)
    wall.heights[1][:, np.abs(x - 6.0) < 0.1] = 2.0
    terrain.cast_shadows(wall, SUN_ELEVATION)
    probe = np.array([0.5, 2.0, 3.0, 5.0, 7.0], np.float32) + np.float32(0.003)
    # Level 1's own grid: 2 m of wall shade 2 / tan(30 degrees) = 3.46 m of ground.
    row = terrain.GRID // 2
    column = np.rint((probe - wall.corners[1, 0]) / wall.spacings[1]).astype(int)
    dark = wall.shadows[1, row, column] > 0.001
    assert dark.tolist() == [False, False, True, True, False]
    assert not (land.shadows > 0).any()


def test_rock_shadows_match_brute_force(land):
    stones = rocks.join([box(*block) for block in BLOCKS])
    soil = land.hit(CAMERA, CAMERA.rays())
    view = scene.trace(CAMERA, soil, stones)
    sun = np.array([np.cos(SUN_ELEVATION), 0, np.sin(SUN_ELEVATION)])
    finite = np.isfinite(view.depth)
    points = CAMERA.rays() * np.where(finite, view.depth, 0)[:, None]
    dark = raycast.shadowed(CAMERA, stones, points, finite, view.rock, sun)
    expected = np.zeros(len(points), bool)
    world = points + np.array(CAMERA.position)
    with np.errstate(invalid="ignore"):
        for i, (_, centre, half, _) in enumerate(BLOCKS):
            enter, leave = slab_interval(world, sun + 1e-9, centre, half)
            expected |= finite & (enter < leave) & (leave > 0) & (view.rock != i)
    assert expected.any()
    assert (dark != expected).mean() < 5e-4


def test_batches_hide_no_part_of_a_rock(land):
    """Rocks cast together and each over the whole frame give the same picture."""
    rng = np.random.default_rng(5)
    bodies = shapes.draw_shapes(rng, 0.5, (1, 1, 1, 1))
    positions = np.stack([rng.uniform(0.5, 30, 60), rng.uniform(-9, 9, 60)], -1)
    stones = rocks.place(rng, positions, rng.uniform(0.05, 0.8, 60), land, bodies)
    soil = land.hit(CAMERA, CAMERA.rays())
    hits = raycast.cast(CAMERA, stones, soil)
    rays = CAMERA.rays().astype(float)
    nearest = np.full(len(rays), np.inf)
    for normals, offsets, centre in zip(
        stones.normals, stones.offsets, stones.centres, strict=True
    ):
        slope = rays @ normals.T
        crossing = (offsets + normals @ (centre - CAMERA.position)) / slope
        enter = np.where(slope < 0, crossing, -np.inf).max(1)
        leave = np.where(slope > 0, crossing, np.inf).min(1)
        hit = (enter < leave) & (enter > 0.01) & (enter < soil)
        nearest = np.where(hit, np.minimum(nearest, enter), nearest)
    wrong = np.isfinite(nearest) != (hits.rock >= 0)
    assert wrong.mean() < 2e-4
    both = np.isfinite(nearest) & np.isfinite(hits.depth)
    close = np.abs(nearest[both] - hits.depth[both]) < 1e-3 * nearest[both]
    assert close.mean() > 0.995


@pytest.mark.parametrize("form", range(4))
def test_shapes_touch_the_unit_sphere(form):
    weights = np.eye(4)[form]
    normals, offsets = shapes.draw_shapes(np.random.default_rng(0), 0.3, weights)
    directions = np.random.default_rng(1).normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    facing = np.maximum(np.einsum("skc,dc->sdk", normals, directions), 1e-9)
    reach = (offsets[:, None] / facing).min(-1)
    assert reach.max() < 1 + 1e-6
    assert reach.max(1).min() > 0.85
    assert reach.min() > 0.15


def test_pyramids_taper_slabs_do_not():
    """Half a body's height up, how wide is it still?"""
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    level = np.stack([np.cos(around), np.sin(around), np.zeros(60)], -1)
    share = []
    for form in (1, 3):
        rng = np.random.default_rng(2)
        normals, offsets = shapes.draw_shapes(rng, 0.5, np.eye(4)[form])
        up = np.maximum(normals[..., 2], 1e-9)
        top = np.where(normals[..., 2] > 0.5, offsets / up, np.inf).min(-1)
        facing = np.maximum(np.einsum("skc,dc->sdk", normals, level), 1e-9)
        half_up = offsets - 0.5 * top[:, None] * normals[..., 2]
        low, high = ((o[:, None] / facing).min(-1).mean() for o in (offsets, half_up))
        share.append(high / low)
    assert share[0] < 0.65 < 0.85 < share[1]


def test_what_is_large_is_large_on_the_ground(land):
    """Near or far, tall or flat: a rock's class is its width in metres."""
    rng = np.random.default_rng(7)
    bodies = shapes.draw_shapes(rng, 0.5)
    positions, radii = rng.uniform(1, 200, (400, 2)), rng.uniform(0.01, 1, 400)
    stones = rocks.place(rng, positions, radii, land, bodies, flatness=(0.3, 1.3))
    expected = np.where(radii < 0.42, rocks.SMALL, rocks.LARGE)
    expected[radii < 0.08] = rocks.PEBBLE
    np.testing.assert_array_equal(stones.kinds, expected)


def test_rocks_that_lean_touch_and_others_do_not(land):
    rng = np.random.default_rng(8)
    bodies = shapes.draw_shapes(rng, 1.0)
    grid = np.stack(np.meshgrid(np.arange(5, 45, 4), np.arange(5, 45, 4)), -1)
    radii = rng.uniform(0.2, 0.9, 100)
    alone = rocks.place(rng, grid.reshape(-1, 2), radii, land, bodies)
    stones = scatter.lean(rng, alone, land, bodies, 0.5)
    added = np.arange(100, len(stones))
    gaps = np.linalg.norm(
        stones.centres[added, None, :2] - alone.centres[None, :, :2], axis=-1
    )
    nearest = gaps.argmin(1)
    reach = stones.radii[added] + stones.radii[nearest]
    assert (gaps.min(1) < 0.9 * reach).all()
    assert 0.35 < len(set(nearest)) / 100 < 0.65
    assert len(scatter.lean(rng, alone, land, bodies, 0.0)) == 100


def test_a_hill_on_the_skyline_is_ground():
    """Where a hill stands before the sky, fewer rays reach it, and no rock is there."""
    camera = Camera((0.0, 0.0, 1.7), 0.0, 0.0, 0.0, 96, 144)
    seen = []
    for hills in ((), ((150.0, 0.0, 25.0, 20.0),)):
        shape = relief.Relief(craters=0, ridge_slope=0, hills=hills)
        rough = relief.build_terrain(
            np.random.default_rng(3), shape, camera.yaw, SUN_ELEVATION
        )
        soil = rough.hit(camera, camera.rays()).reshape(96, 144)
        seen.append(np.isinf(soil).sum(0))
    lower = seen[0] - seen[1]
    assert lower[72] > 8 and lower[72] > lower[5] + 6

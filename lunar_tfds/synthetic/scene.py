"""One scene: what it is made of, what the camera sees, and its labels."""

import dataclasses

import numpy as np

from lunar_tfds.kaggle_layout import FRAME_HEIGHT, FRAME_WIDTH
from lunar_tfds.synthetic import labels, noise, raycast, rocks, shading, terrain
from lunar_tfds.synthetic.camera import Camera

# Positions in every run of PERIOD scenes: by these, any 40 in a row hold four scenes
# without sky and four with a boulder over BOULDER_SHARE of the frame.
PERIOD = 20
NO_SKY = (3, 13)
GROUND_FACING = (13,)
BOULDER = (7, 16)
BARE = (10,)
BOULDER_SHARE = 0.15
FLANKS = 0.1  # Share of scenes on a slope that the sunlight only grazes.
LEAST_LIT = 0.08  # Of the ground; a hill that shades more than the rest is left out.


def render_scene(
    seed: int, index: int, *, height: int = FRAME_HEIGHT, width: int = FRAME_WIDTH
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
    """Returns one scene, a function of its arguments alone.

    Args:
        seed: of the collection of scenes.
        index: of the scene in it, from 1.
        height: px.
        width: px.

    Returns:
        (render, ground, clean, boxes): uint8 [height, width, 3] each, in the
        conventions of the Kaggle dataset's folders of these names, and the list of
        (x, y, length, height) of the large rocks, for `bounding_boxes.csv`.
    """
    rng = np.random.default_rng([seed, index])
    camera, land, light, soil = _draw_place(rng, index, height, width)
    stones = _draw_rocks(rng, index, camera, land, soil)
    wobble = _wobble(rng, height, width)
    view = trace(camera, soil, stones, wobble)
    render = shading.shade(rng, camera, land, stones, view, light)
    ground = ground_mask(camera, stones, view)
    return render, ground, labels.draw_clean(ground), labels.find_boxes(ground)


def trace(
    camera: Camera,
    soil: np.ndarray,
    stones: rocks.Rocks,
    wobble: np.ndarray | None = None,
) -> shading.View:
    """Returns the View of rocks over ground.

    Args:
        camera: Camera.
        soil: float32 [pixels], depth at which each ray meets the ground, m.
        stones: Rocks.
        wobble: float32 [pixels] or None, see `raycast.cast`.
    """
    hits = raycast.cast(camera, stones, soil, wobble)
    embedded = np.zeros(len(soil), bool)
    hosts = np.where(hits.rock >= 0, stones.hosts[hits.rock], -1)
    pixels = np.nonzero(hosts >= 0)[0]
    if len(pixels):
        embedded[pixels] = raycast.passes(camera, stones, pixels, hosts[pixels])
    return shading.View(np.minimum(soil, hits.depth), hits.rock, embedded)


def ground_mask(camera: Camera, stones: rocks.Rocks, view: shading.View) -> np.ndarray:
    """Returns uint8 [height, width, 3], the `ground` mask of a View."""
    shape = (camera.height, camera.width)
    kind = np.full(len(view.rock), rocks.PEBBLE, np.int8)
    on_rock = view.rock >= 0
    kind[on_rock] = stones.kinds[view.rock[on_rock]]
    distance = view.depth * np.linalg.norm(camera.rays(), axis=1)
    return labels.draw_ground(
        ~np.isfinite(view.depth).reshape(shape),
        (kind == rocks.SMALL).reshape(shape),
        ((kind == rocks.LARGE) | view.large_behind).reshape(shape),
        distance.reshape(shape),
    )


def _draw_place(rng, index, height, width):
    """Returns (camera, terrain, light, depth of the ground at each pixel)."""
    slot = index % PERIOD
    yaw = rng.uniform(0, 2 * np.pi)
    relief, elevation, lit = _draw_relief(rng)
    pitch = -30 * rng.uniform() ** 1.9
    if slot in GROUND_FACING:
        pitch = rng.uniform(-50, -30)
    if slot in BOULDER:
        pitch = rng.uniform(-20, -8)
    camera = Camera(
        (0.0, 0.0, rng.uniform(1.2, 2.2)),
        yaw,
        np.radians(pitch),
        np.radians(rng.uniform(-20, 20)),
        height,
        width,
    )
    lie = rng.integers(2**63)
    land = terrain.build_terrain(np.random.default_rng(lie), relief, yaw, elevation)
    soil = land.hit(camera, camera.rays())
    if lit is not None:
        elevation = _raise_sun(camera, land, soil, lit)
    elif _lit_share(camera, land, soil) < LEAST_LIT:
        relief = dataclasses.replace(relief, massif=terrain.Relief.massif)
        land = terrain.build_terrain(np.random.default_rng(lie), relief, yaw, elevation)
        soil = land.hit(camera, camera.rays())
    while slot in NO_SKY and np.isinf(soil).any():
        camera = dataclasses.replace(camera, pitch=camera.pitch - np.radians(4))
        soil = land.hit(camera, camera.rays())
    light = shading.Light(
        sun_elevation=elevation,
        gain=rng.uniform(195, 235),
        lunar=rng.uniform(0.05, 0.35),
        rock_brightness=rng.uniform(0.95, 1.3),
        grain_slope=np.clip(relief.slope * rng.uniform(0.8, 1.8), 0.045, 0.12),
        rock_slope=rng.uniform(0.03, 0.1),
        mottling=rng.uniform(0.02, 0.07),
        blur=rng.uniform(0.05, 0.12),
    )
    return camera, land, light, soil


def _draw_relief(rng):
    """Returns (Relief, sun's elevation in rad, share of the ground to be lit or None).

    Most scenes are lit as they come. FLANKS of them lie on a rugged slope that falls
    away from the sun as steeply as its light: only what stands out of it is lit.
    """
    # Author: three quarters of the suns stand at 20 to 40 degrees, the rest at 40-50.
    low, high = (20, 40) if rng.uniform() < 0.75 else (40, 50)
    elevation = np.radians(rng.uniform(low, high))
    slope = np.exp(rng.normal(np.log(0.045), 0.45))
    massif, tilt, lit = _draw_massif(rng, elevation), 0.0, None
    if rng.uniform() < FLANKS:
        slope = np.clip(slope * rng.uniform(1, 3), 0.06, 0.2)
        massif = terrain.Relief.massif
        tilt = np.tan(np.radians(rng.uniform(20, 32))) * rng.uniform(0.85, 1.1)
        lit = rng.uniform(0.08, 0.5)
    relief = terrain.Relief(
        slope=slope,
        hill_slope=rng.uniform(0.04, 0.1),
        craters=rng.uniform(0, 20),
        ridge_start=np.exp(rng.uniform(np.log(60), np.log(500))),
        ridge_slope=rng.uniform(0.0, 0.25),
        massif=massif,
        tilt=tilt,
    )
    return relief, elevation, lit


def _draw_massif(rng, elevation):
    """Returns (x, y, height) of the hill that shades some of the scenes."""
    distance = rng.uniform(25, 120)
    reach = rng.uniform(0.6, 1.3)  # Of its shadow, over its distance.
    present = rng.uniform() < 0.22
    height = distance * np.tan(elevation) * reach * present
    return distance, distance * rng.uniform(-0.4, 0.4), height


def _raise_sun(camera, land, soil, lit):
    """Raises the sun, from 20 to 50 degrees, until a share of the ground is lit.

    Args:
        camera: Camera.
        land: Terrain; its shadows are cast anew.
        soil: float32 [pixels], depth of the ground, m.
        lit: the share, of the ground in view.

    Returns:
        The sun's elevation, rad.
    """
    low, high = np.radians([20.0, 50.0])
    for _ in range(6):
        elevation = (low + high) / 2
        terrain.cast_shadows(land, elevation)
        if _lit_share(camera, land, soil) < lit:
            low = elevation
        else:
            high = elevation
    return elevation


def _lit_share(camera, land, soil):
    """Returns the share of the ground in view that the terrain leaves in the sun."""
    hit = np.nonzero(np.isfinite(soil))[0][::7]
    points = camera.rays()[hit] * soil[hit, None] + np.float32(camera.position)
    if not len(points):
        return 1.0
    shadow = land.surface(points[:, 0], points[:, 1])[3]
    return float(np.mean(points[:, 2] > shadow - 0.01))


def _draw_rocks(rng, index, camera, land, soil):
    """Returns the Rocks of a scene."""
    slot = index % PERIOD
    shapes = rocks.draw_shapes(rng, rng.uniform(0.2, 1.0))
    clumping = rng.uniform(0.0, 0.85)
    power = rng.uniform(1.2, 2.1)
    counts = np.exp(rng.uniform(np.log([5.0, 2.0, 0.004]), np.log([100, 15.0, 0.05])))
    populations = [
        rocks.Population(rocks.PEBBLE, counts[0], 0.008, 0.03, 2.4, 40),
        rocks.Population(
            rocks.SMALL, counts[1], rocks.LABELLED_RADIUS, 0.5, power, 150
        ),
        rocks.Population(rocks.LARGE, counts[2], 0.6, 2.5, power, 400),
    ]
    if slot in BARE:
        populations = populations[:1]
    groups = [
        rocks.scatter(rng, p, camera, land, shapes, clumping) for p in populations
    ]
    if slot in BOULDER:
        groups.append(_boulder(rng, camera, land, shapes, soil))
    stones = rocks.join(groups)
    return rocks.embed(rng, stones, land, shapes) if slot not in BARE else stones


def _boulder(rng, camera, land, shapes, soil):
    """Returns one large rock that fills over BOULDER_SHARE of the frame.

    The same rock is set down nearer and nearer, then grown, until it is large enough;
    the camera of these scenes looks down a little, so that ends after a few steps.
    """
    small = dataclasses.replace(
        camera, height=camera.height // 4, width=camera.width // 4
    )
    soil = soil.reshape(camera.height, camera.width)[2::4, 2::4].ravel()
    target = rng.uniform(BOULDER_SHARE + 0.03, 0.4)
    radius = rng.uniform(0.8, 1.6)
    bearing = camera.yaw + np.radians(rng.uniform(-15, 15))
    state = rng.bit_generator.state
    distance, best, largest = 5 * radius, None, -1.0
    for _ in range(40):
        rng.bit_generator.state = state
        position = np.array([[np.cos(bearing), np.sin(bearing)]]) * distance
        boulder = rocks.place(
            rng, rocks.LARGE, position, [radius], land, shapes, flatness=(0.7, 1.0)
        )
        share = np.mean(raycast.cast(small, boulder, soil).rock >= 0)
        if share > largest:
            best, largest = boulder, share
        if share > target:
            break
        if distance > 1.4 * radius + 0.3:
            distance *= 0.92
        else:
            radius, distance = 1.15 * radius, 1.15 * distance
    return best


def _wobble(rng, height, width):
    """Returns float32 [pixels]: noise that roughens outlines, px."""
    row, column = np.mgrid[:height, :width].astype(np.float32)
    total = 0
    for wavelength, amount in ((7.0, 0.5), (18.0, 0.9)):
        offset, angle = rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi)
        values = noise.sample_grain(
            column.ravel() + 1e3, row.ravel() + 1e3, wavelength, offset, angle
        )
        total = total + np.float32(amount) * values[:, 2]
    return total

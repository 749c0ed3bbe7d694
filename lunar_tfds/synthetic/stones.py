"""The rocks of one scene: populations, fields, and boulders that stand out."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import raycast, rocks, scatter, shapes
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks
from lunar_tfds.synthetic.terrain import Terrain
from lunar_tfds.synthetic.variety import Variety

# Of small rocks and of those strewn large ones, half the width, m: between them lies
# the border between the kinds.
SMALL_RADII = (rocks.LEAST_RADII[0], 0.3)
LARGE_RADII = (0.4, 2.0)
PEBBLE_RADII = (0.008, 0.03)
# Those of a stony scene, whose pebbles are nearly as wide as the least labelled rock.
STONY_PEBBLE_RADII, STONY_SMALL_RADII = (0.01, 0.047), (0.065, SMALL_RADII[1])


def draw_rocks(
    rng: np.random.Generator,
    camera: Camera,
    terrain: Terrain,
    soil: np.ndarray,
    variety: Variety,
    *,
    bare: bool = False,
    boulder_share: float | None = None,
) -> Rocks:
    """Returns the Rocks of a scene.

    Args:
        rng: numpy Generator.
        camera: Camera.
        terrain: Terrain.
        soil: float32 [pixels], depth at which each ray meets the ground, m.
        variety: Variety.
        bare: only pebbles.
        boulder_share: of the frame, to be covered by one boulder; None for none such.
    """
    bodies = shapes.draw_shapes(rng, rng.uniform(*variety.roundedness), variety.shapes)
    clumping = rng.uniform(0.0, 0.85)
    groups = [
        scatter.scatter(
            rng, p, camera, terrain, bodies, clumping, flatness=variety.flatness
        )
        for p in _populations(rng, variety)[: 1 if bare else None]
    ]
    if bare:
        return rocks.join(groups)
    if rng.uniform() < variety.boulders:
        groups.append(_boulders(rng, camera, terrain, variety))
    if boulder_share is not None:
        groups.append(_close_boulder(rng, camera, terrain, bodies, soil, boulder_share))
    stones = rocks.join(groups)
    stones = scatter.lean(rng, stones, terrain, bodies, variety.touching)
    return scatter.embed(rng, stones, terrain, bodies)


def _populations(rng, variety):
    """Returns the Populations of a scene, the pebbles first."""
    power = rng.uniform(*variety.rock_power)
    pebbles, small, large = np.exp(
        rng.uniform(np.log([5.0, 7.0, 0.01]), np.log([100.0, 35.0, 0.1]))
    )
    if rng.uniform() < variety.sparse:
        small *= 0.06
    # Asked first: other styles draw no number for it, and so the scenes that they drew.
    if variety.stony and rng.uniform() < variety.stony:
        pebbles, small = np.exp(rng.uniform(np.log([15, 0.02]), np.log([150, 1.5])))
        populations = [
            scatter.Population(pebbles, *STONY_PEBBLE_RADII, rng.uniform(1.5, 2.3), 30),
            scatter.Population(small, *STONY_SMALL_RADII, power, 200),
        ]
    else:
        populations = [
            scatter.Population(pebbles, *PEBBLE_RADII, 2.4, 40),
            scatter.Population(small, *SMALL_RADII, power, 200),
        ]
    if rng.uniform() < variety.strewn:
        populations.append(scatter.Population(large, *LARGE_RADII, power, 400))
    if rng.uniform() < variety.fields:
        start = np.exp(rng.uniform(np.log(5), np.log(30)))
        dense = rng.uniform(1.0, 4.0)
        populations.append(
            scatter.Population(dense, 0.1, SMALL_RADII[1], power, 300, start)
        )
    return populations


def _boulders(rng, camera, terrain, variety):
    """Returns one to three boulders in view that stand tall and bright."""
    count = rng.integers(1, 4)
    radii = np.exp(rng.uniform(np.log(0.45), np.log(2.2), count))
    bearing = camera.yaw + np.radians(rng.uniform(-28, 28, count))
    nearest = 2.5 * radii + 1.0
    distance = nearest * np.exp(rng.uniform(0, np.log(12), count))
    positions = np.stack([np.cos(bearing), np.sin(bearing)], -1) * distance[:, None]
    # The odd shapes, where the style has any.
    weights = (0.3 * variety.shapes[0], *variety.shapes[1:])
    bodies = shapes.draw_shapes(rng, rng.uniform(*variety.roundedness), weights)
    tall = rocks.place(
        rng,
        positions,
        radii,
        terrain,
        bodies,
        flatness=(0.7, 1.3),
        lift=(-0.2, 0.15),
        tilt=0.12,
    )
    return dataclasses.replace(tall, tones=rng.uniform(1.0, 1.3, count))


def _close_boulder(rng, camera, terrain, bodies, soil, share):
    """Returns one large rock that fills over a share of the frame.

    The same rock is set down nearer and nearer, then grown, until it is large enough;
    the camera of these scenes looks down a little, so that ends after a few steps.
    """
    small = dataclasses.replace(
        camera, height=camera.height // 4, width=camera.width // 4
    )
    soil = soil.reshape(camera.height, camera.width)[2::4, 2::4].ravel()
    radius = rng.uniform(0.8, 1.6)
    bearing = camera.yaw + np.radians(rng.uniform(-15, 15))
    state = rng.bit_generator.state
    distance, best, largest = 5 * radius, None, -1.0
    for _ in range(60):
        rng.bit_generator.state = state
        position = np.array([[np.cos(bearing), np.sin(bearing)]]) * distance
        boulder = rocks.place(
            rng,
            position,
            [radius],
            terrain,
            bodies,
            flatness=(0.7, 1.2),
            lift=(0.0, 0.3),
        )
        found = np.mean(raycast.cast(small, boulder, soil).rock >= 0)
        if found > largest:
            best, largest = boulder, found
        if found > share:
            break
        if distance > 1.4 * radius + 0.3:
            distance *= 0.94
        else:
            radius, distance = 1.12 * radius, 1.12 * distance
    return best

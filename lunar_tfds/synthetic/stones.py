"""The rocks of one scene: populations, and boulders that stand out."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import raycast, rocks, scatter, shapes
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks
from lunar_tfds.synthetic.terrain import Terrain
from lunar_tfds.synthetic.variety import Range, Variety

# Half the width, m, of unlabelled stones and of strewn large rocks.
PEBBLE_RADII = (0.008, 0.06)
LARGE_RADII = (0.45, 2.2)


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
    clumping = rng.uniform(*variety.clumping)
    groups = [
        scatter.scatter(
            rng,
            population,
            camera,
            terrain,
            bodies,
            clumping,
            flatness=variety.flatness,
            lift=variety.buried,
        )
        for population in _populations(rng, variety)[: 1 if bare else None]
    ]
    if bare:
        return rocks.join(groups)
    if rng.uniform() < variety.giants:
        groups.append(_giants(rng, camera, terrain, variety))
    if boulder_share is not None:
        groups.append(_close_boulder(rng, camera, terrain, bodies, soil, boulder_share))
    stones = rocks.join(groups)
    stones = scatter.lean(rng, stones, terrain, bodies, variety.touching)
    if variety.label_widths:
        return stones
    return scatter.embed(rng, stones, terrain, bodies)


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Returns a number whose logarithm is uniform between those of two bounds."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _populations(rng, variety):
    """Returns the Populations of a scene, the pebbles first."""
    populations = [
        scatter.Population(log_uniform(rng, variety.pebbles), *PEBBLE_RADII, 2.4, 40),
        scatter.Population(
            log_uniform(rng, variety.small_rocks),
            *variety.small_radii,
            rng.uniform(*variety.small_power),
            log_uniform(rng, (12, 45)),
        ),
    ]
    if variety.large_rocks[1]:
        start = log_uniform(rng, variety.large_start)
        density = log_uniform(rng, variety.large_rocks)
        # Twice as far away, large rocks stand half as dense: as many in the picture.
        reach = start * rng.uniform(1.6, 4.0)
        populations.append(
            scatter.Population(
                density * 20 / start,
                *LARGE_RADII,
                rng.uniform(1.2, 2.6),
                reach,
                start,
                clumping=rng.uniform(0.3, 1.0),
            )
        )
    return populations


def _giants(rng, camera, terrain, variety):
    """Returns one to three boulders in view that stand tall and bright."""
    count = rng.integers(1, 4)
    half_view = np.degrees(camera.field_of_view) * 0.43
    bearing = camera.yaw + np.radians(rng.uniform(-half_view, half_view, count))
    # Wide in the picture, near or far; the nearest leave the camera its place.
    angle = np.exp(rng.uniform(np.log(0.06), np.log(0.5), count)) * (
        camera.field_of_view / np.radians(65)
    )
    radii = np.exp(rng.uniform(np.log(0.45), np.log(2.5), count))
    if variety.label_widths:
        radii *= 0.4
    distance = np.clip(2 * radii / angle, 2.5 * radii + 1.0, 40)
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

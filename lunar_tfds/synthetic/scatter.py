"""Where rocks lie: strewn by size, in fields, stuck in and leaning on one another."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import rocks
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks, place
from lunar_tfds.synthetic.shapes import Shapes
from lunar_tfds.synthetic.terrain import Terrain


@dataclasses.dataclass(frozen=True)
class Population:
    """How many rocks of which size lie around.

    The count of rocks wider than a radius falls as radius**-power.

    Attributes:
        per_square_metre: rocks with a radius over `smallest`.
        smallest, largest: radius, m.
        power: of the size distribution.
        reach: greatest distance from the camera, m.
        nearest: least distance from the camera, m.
        clumping: 0 for evenly strewn rocks, 1 for dense fields and bare patches; None
            for the scene's.
    """

    per_square_metre: float
    smallest: float
    largest: float
    power: float
    reach: float
    nearest: float = 0.4
    clumping: float | None = None


def scatter(
    rng: np.random.Generator,
    population: Population,
    camera: Camera,
    terrain: Terrain,
    bodies: Shapes,
    clumping: float,
    *,
    flatness: tuple[float, float] = (0.35, 0.9),
    lift: tuple[float, float] = (-0.6, 0.2),
    most: int = 6000,
) -> Rocks:
    """Returns the Rocks of one population that the camera may see.

    Rocks that would cover less than about a pixel are never drawn.

    Args:
        rng: numpy Generator.
        population: Population.
        camera: Camera.
        terrain: Terrain.
        bodies: what `shapes.draw_shapes` returned.
        clumping: of populations that name none.
        flatness: range of a rock's height over its width.
        lift: range of its centre's height over the ground, in halves of its height.
        most: upper bound of their expected number.
    """
    edges = np.geomspace(population.nearest, population.reach, 400)
    smallest, expected = _expected(population, camera, edges, most)
    total = expected.sum()
    count = rng.poisson(total)
    ring = rng.choice(len(expected), size=count, p=expected / total)
    distance = np.sqrt(
        rng.uniform(0, 1, count) * (edges[ring + 1] ** 2 - edges[ring] ** 2)
        + edges[ring] ** 2
    )
    power = population.power
    ratio = (smallest[ring] / population.largest) ** power
    tail = 1 - rng.uniform(0, 1, count) * (1 - ratio)
    radii = smallest[ring] * tail ** (-1 / power)
    half = _half_angle(camera)
    angle = camera.yaw + rng.uniform(-half, half, count)
    if population.clumping is not None:
        clumping = population.clumping
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    keep = distance > 0.8 + 1.5 * radii
    keep &= rng.uniform(0, 1, count) < _density(rng, x, y, clumping)
    positions = np.stack([x, y], -1)[keep]
    return place(
        rng, positions, radii[keep], terrain, bodies, flatness=flatness, lift=lift
    )


def _half_angle(camera):
    """Returns how far left and right of the view axis rocks may be seen, rad."""
    return min(0.68 * camera.field_of_view / np.cos(camera.pitch), np.pi)


def _expected(population, camera, edges, most):
    """Returns (least radius drawn, expected rocks) of each ring around the camera."""
    middle = np.sqrt(edges[1:] * edges[:-1])
    area = _half_angle(camera) * (edges[1:] ** 2 - edges[:-1] ** 2)
    pixels = 0.4  # Least radius drawn, px; larger where there would be too many.
    while True:
        smallest = np.maximum(population.smallest, pixels * middle * camera.pixel_angle)
        expected = population.per_square_metre * area
        expected *= (population.smallest / smallest) ** population.power
        expected[smallest >= population.largest] = 0
        if expected.sum() <= most:
            return smallest, expected
        pixels *= 1.2


def embed(
    rng: np.random.Generator,
    stones: Rocks,
    terrain: Terrain,
    bodies: Shapes,
    *,
    most: int = 3,
) -> Rocks:
    """Returns the rocks with a few small ones stuck in the sides of large ones.

    Args:
        rng: numpy Generator.
        stones: Rocks.
        terrain: Terrain.
        bodies: what `shapes.draw_shapes` returned.
        most: small rocks stuck in one large rock, at the most.
    """
    large = np.nonzero(stones.kinds == rocks.LARGE)[0]
    hosts = np.repeat(large, rng.integers(0, most + 1, len(large)))
    if not len(hosts):
        return stones
    reach = stones.radii[hosts] * rng.uniform(0.35, 0.7, len(hosts))
    positions = _beside(rng, stones, hosts, reach)
    radii = np.minimum(rng.uniform(0.08, 0.3, len(hosts)), 0.4 * stones.radii[hosts])
    stuck = place(rng, positions, radii, terrain, bodies)
    stuck.centres[:, 2] += stones.radii[hosts] * rng.uniform(0, 0.3, len(hosts))
    return rocks.join([stones, dataclasses.replace(stuck, hosts=hosts)])


def lean(
    rng: np.random.Generator,
    stones: Rocks,
    terrain: Terrain,
    bodies: Shapes,
    share: float,
    *,
    most: int = 3,
) -> Rocks:
    """Returns the rocks with others that touch some of the labelled ones.

    Args:
        rng: numpy Generator.
        stones: Rocks.
        terrain: Terrain.
        bodies: what `shapes.draw_shapes` returned.
        share: of the labelled rocks that others lean on.
        most: rocks that lean on one, at the most.
    """
    chosen = rng.uniform(0, 1, len(stones)) < share * (stones.kinds > rocks.PEBBLE)
    held = np.nonzero(chosen)[0]
    held = np.repeat(held, rng.integers(1, most + 1, len(held)))
    radii = stones.radii[held] * rng.uniform(0.35, 0.95, len(held))
    # Bodies fill some three quarters of their balls.
    reach = 0.75 * (stones.radii[held] + radii) * rng.uniform(0.7, 1.0, len(held))
    positions = _beside(rng, stones, held, reach)
    return rocks.join([stones, place(rng, positions, radii, terrain, bodies)])


def _beside(rng, stones, index, reach):
    """Returns [n, 2], points at a distance `reach` from the rocks of that index."""
    angle = rng.uniform(0, 2 * np.pi, len(index))
    steps = np.stack([np.cos(angle) * reach, np.sin(angle) * reach], -1)
    return stones.centres[index, :2] + steps


def _density(rng, x, y, clumping):
    """Returns [n] in [0, 1]: chance that a rock at (x, y) stays."""
    wave = np.zeros_like(x)
    for wavelength in (4.0, 10.0, 25.0, 60.0):
        direction = rng.uniform(0, 2 * np.pi, 2)
        phase = rng.uniform(0, 2 * np.pi, 2)
        for a, p in zip(direction, phase, strict=True):
            wave += np.sin((x * np.cos(a) + y * np.sin(a)) * 2 * np.pi / wavelength + p)
    return np.clip(1 - clumping + clumping * (0.35 + 0.45 * wave), 0.0, 1.0)

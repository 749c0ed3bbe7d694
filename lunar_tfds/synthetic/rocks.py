"""Rocks: convex bodies bounded by planes, scattered over the terrain."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.terrain import Terrain

# Normals and offsets of planes, see `draw_shapes`.
Shapes = tuple[np.ndarray, np.ndarray]

PLANES = 16  # Bounding each rock.
SHAPES = 64  # Different bodies in a scene, before stretching and turning.
PEBBLE, SMALL, LARGE = range(3)  # Only the last two are labelled.
LABELLED_RADIUS = 0.05  # Only rocks over 10 cm are labelled (the dataset's author), m.


@dataclasses.dataclass(frozen=True)
class Rocks:
    """Convex bodies, each the points p with normals @ (p - centre) <= offsets.

    Attributes:
        kinds: int8 [n], PEBBLE, SMALL or LARGE.
        centres: float64 [n, 3], m.
        radii: float64 [n], of a sphere around the centre that holds the rock, m.
        normals: float64 [n, PLANES, 3], unit vectors pointing out.
        offsets: float64 [n, PLANES], m.
        roundness: float64 [n], width over which neighbouring faces blend, in radii.
        hosts: int64 [n], the large rock that a small one is embedded in, else -1.
    """

    kinds: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    normals: np.ndarray
    offsets: np.ndarray
    roundness: np.ndarray
    hosts: np.ndarray

    def __len__(self):
        return len(self.kinds)


def join(groups: Sequence[Rocks]) -> Rocks:
    """Returns one Rocks of several; hosts count from the first group's first rock."""
    names = [f.name for f in dataclasses.fields(Rocks)]
    return Rocks(**{n: np.concatenate([getattr(g, n) for g in groups]) for n in names})


def draw_shapes(rng: np.random.Generator, roundedness: float) -> Shapes:
    """Returns (normals, offsets) of SHAPES bodies that touch the unit sphere.

    Args:
        rng: numpy Generator.
        roundedness: 0 for slabs and wedges, 1 for near-spheres.

    Returns:
        float64 [SHAPES, PLANES, 3] and [SHAPES, PLANES].
    """
    normals = rng.normal(size=(SHAPES, PLANES, 3))
    # Directions spread by repulsion: random ones leave long needles of rock.
    for _ in range(12):
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        gap = normals[:, :, None] - normals[:, None]
        normals += 0.05 * (gap / ((gap**2).sum(-1, keepdims=True) + 0.05)).sum(2)
    normals += rng.normal(0, 0.12, normals.shape)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    depth = 0.5 * (1 - rng.uniform(0, 1, (SHAPES, 1)) * roundedness)
    offsets = 1 - depth * rng.uniform(0, 1, (SHAPES, PLANES)) ** 1.5
    directions = rng.normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    facing = np.einsum("skc,dc->sdk", normals, directions)
    reach = np.where(facing > 1e-3, offsets[:, None] / np.maximum(facing, 1e-3), 9.0)
    extent = reach.min(-1).max(-1)
    return normals, offsets / extent[:, None]


def place(
    rng: np.random.Generator,
    kind: int,
    positions: np.ndarray,
    radii: np.ndarray | Sequence[float],
    terrain: Terrain,
    shapes: Shapes,
    *,
    flatness: tuple[float, float] = (0.35, 0.9),
) -> Rocks:
    """Returns Rocks standing in the ground at given positions.

    Args:
        rng: numpy Generator.
        kind: PEBBLE, SMALL or LARGE.
        positions: [n, 2], m.
        radii: [n], half the longest side, m.
        terrain: Terrain.
        shapes: what `draw_shapes` returned.
        flatness: range of a rock's height over its length.
    """
    count = len(radii)
    which = rng.integers(0, SHAPES, count)
    scale = np.stack(
        [
            np.ones(count),
            rng.uniform(0.6, 1.0, count),
            rng.uniform(*flatness, count),
        ],
        -1,
    )
    scale *= np.asarray(radii)[:, None]
    turn = _turns(rng, count)
    # A plane n.q <= d of the unit body q = R^T p / s is (R (n / s)).p <= d.
    normals = np.einsum(
        "nij,nkj->nki", turn, shapes[0][which] / scale[:, None, :], optimize=False
    )
    length = np.linalg.norm(normals, axis=-1)
    normals /= length[..., None]
    offsets = shapes[1][which] / length
    x, y = (np.asarray(positions)[:, i].astype(np.float32) for i in (0, 1))
    level = terrain.height(x, y).astype(np.float64)
    lift = scale[:, 2] * rng.uniform(-0.6, 0.2, count)
    centres = np.stack([x, y, level + lift], -1)
    roundness = np.exp(rng.uniform(np.log(0.01), np.log(0.12), count))
    return Rocks(
        np.full(count, kind, np.int8),
        centres,
        scale.max(-1) * 1.1,
        normals,
        offsets,
        roundness,
        np.full(count, -1),
    )


def _turns(rng, count):
    """Returns float64 [count, 3, 3], any heading and a tilt of some 15 degrees."""
    heading = rng.uniform(0, 2 * np.pi, count)
    tilt = rng.normal(0, 0.25, count)
    c, s, ct, st = np.cos(heading), np.sin(heading), np.cos(tilt), np.sin(tilt)
    zero = np.zeros(count)
    rows = [[c, -s * ct, s * st], [s, c * ct, -c * st], [zero, st, ct]]
    return np.stack([np.stack(r, -1) for r in rows], -2)


@dataclasses.dataclass(frozen=True)
class Population:
    """How many rocks of which size lie around.

    The count of rocks wider than a radius falls as radius**-power.

    Attributes:
        kind: PEBBLE, SMALL or LARGE.
        per_square_metre: rocks with a radius over `smallest`.
        smallest, largest: radius, m.
        power: of the size distribution.
        reach: greatest distance from the camera, m.
    """

    kind: int
    per_square_metre: float
    smallest: float
    largest: float
    power: float
    reach: float


def scatter(
    rng: np.random.Generator,
    population: Population,
    camera: Camera,
    terrain: Terrain,
    shapes: Shapes,
    clumping: float,
    most: int = 6000,
) -> Rocks:
    """Returns the Rocks of one population that the camera may see.

    Rocks that would cover less than about a pixel are never drawn.

    Args:
        rng: numpy Generator.
        population: Population.
        camera: Camera.
        terrain: Terrain.
        shapes: what `draw_shapes` returned.
        clumping: 0 for evenly strewn rocks, 1 for dense fields and bare patches.
        most: upper bound of their expected number.
    """
    edges = np.geomspace(0.4, population.reach, 400)
    middle = np.sqrt(edges[1:] * edges[:-1])
    half_angle = np.radians(44.0)
    area = half_angle * (edges[1:] ** 2 - edges[:-1] ** 2)
    pixels = 0.4  # Least radius drawn, px; larger where there would be too many.
    while True:
        smallest = np.maximum(population.smallest, pixels * middle * camera.pixel_angle)
        expected = population.per_square_metre * area
        expected *= (population.smallest / smallest) ** population.power
        expected[smallest >= population.largest] = 0
        total = expected.sum()
        if total <= most:
            break
        pixels *= 1.2
    count = rng.poisson(total)
    ring = rng.choice(len(middle), size=count, p=expected / total)
    distance = np.sqrt(
        rng.uniform(0, 1, count) * (edges[ring + 1] ** 2 - edges[ring] ** 2)
        + edges[ring] ** 2
    )
    power = population.power
    ratio = (smallest[ring] / population.largest) ** power
    tail = 1 - rng.uniform(0, 1, count) * (1 - ratio)
    radii = smallest[ring] * tail ** (-1 / power)
    angle = camera.yaw + rng.uniform(-half_angle, half_angle, count)
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    keep = distance > 0.8 + 1.5 * radii
    keep &= rng.uniform(0, 1, count) < _density(rng, x, y, clumping)
    positions = np.stack([x, y], -1)[keep]
    return place(rng, population.kind, positions, radii[keep], terrain, shapes)


def embed(
    rng: np.random.Generator,
    stones: Rocks,
    terrain: Terrain,
    shapes: Shapes,
    *,
    most: int = 3,
) -> Rocks:
    """Returns the rocks with a few small ones stuck in the sides of large ones.

    Args:
        rng: numpy Generator.
        stones: Rocks.
        terrain: Terrain.
        shapes: what `draw_shapes` returned.
        most: small rocks stuck in one large rock, at the most.
    """
    large = np.nonzero(stones.kinds == LARGE)[0]
    hosts = np.repeat(large, rng.integers(0, most + 1, len(large)))
    if not len(hosts):
        return stones
    angle = rng.uniform(0, 2 * np.pi, len(hosts))
    reach = stones.radii[hosts] * rng.uniform(0.35, 0.7, len(hosts))
    positions = stones.centres[hosts, :2] + np.stack(
        [np.cos(angle) * reach, np.sin(angle) * reach], -1
    )
    radii = np.minimum(rng.uniform(0.08, 0.3, len(hosts)), 0.4 * stones.radii[hosts])
    stuck = place(rng, SMALL, positions, radii, terrain, shapes)
    stuck.centres[:, 2] += stones.radii[hosts] * rng.uniform(0, 0.3, len(hosts))
    return join([stones, dataclasses.replace(stuck, hosts=hosts)])


def _density(rng, x, y, clumping):
    """Returns [n] in [0, 1]: chance that a rock at (x, y) stays."""
    wave = np.zeros_like(x)
    for wavelength in (4.0, 10.0, 25.0, 60.0):
        direction = rng.uniform(0, 2 * np.pi, 2)
        phase = rng.uniform(0, 2 * np.pi, 2)
        for a, p in zip(direction, phase, strict=True):
            wave += np.sin((x * np.cos(a) + y * np.sin(a)) * 2 * np.pi / wavelength + p)
    return np.clip(1 - clumping + clumping * (0.35 + 0.45 * wave), 0.0, 1.0)

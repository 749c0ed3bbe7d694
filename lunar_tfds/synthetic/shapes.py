"""Bodies of rocks, bounded by planes, before they are stretched and set down."""

import itertools

import numpy as np

# Unit normals [SHAPES, PLANES, 3] that point out, and offsets [SHAPES, PLANES].
Shapes = tuple[np.ndarray, np.ndarray]

PLANES = 16  # Bounding each rock.
SHAPES = 64  # Different bodies in a scene.


def draw_shapes(
    rng: np.random.Generator,
    roundedness: float,
    weights: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0),
) -> Shapes:
    """Returns SHAPES bodies that touch the unit sphere.

    Args:
        rng: numpy Generator.
        roundedness: of chunks, 0 for slivers and wedges, 1 for near-spheres.
        weights: how common are chunks (broken all around), pyramids, domes and slabs;
            the last three stand on their flat side.

    Returns:
        (normals, offsets), float64 [SHAPES, PLANES, 3] and [SHAPES, PLANES].
    """
    normals, offsets = _chunks(rng, SHAPES, roundedness)
    form = rng.choice(4, SHAPES, p=np.array(weights) / sum(weights))
    for k, draw in enumerate((_pyramids, _domes, _slabs), start=1):
        chosen = form == k
        normals[chosen], offsets[chosen] = draw(rng, int(chosen.sum()))
    return normals, offsets / _extents(normals, offsets)[:, None]


def _extents(normals, offsets):
    """Returns [n], the distance of each body's furthest corner from the origin."""
    corners = np.array(list(itertools.combinations(range(PLANES), 3)))
    # Cramer's rule: matrix libraries start threads, which slow down busy workers.
    first, second, third = (normals[:, corners[:, i]] for i in range(3))
    faces = np.cross(second, third), np.cross(third, first), np.cross(first, second)
    volume = (first * faces[0]).sum(-1, keepdims=True)
    volume = np.where(np.abs(volume) < 1e-9, np.inf, volume)  # Parallel: no corner.
    sums = sum(offsets[:, corners[:, i], None] * faces[i] for i in range(3))
    points = sums / volume
    excess = np.einsum("skc,spc->spk", normals, points) - offsets[:, None]
    inside = (excess < 1e-6).all(-1)
    return np.where(inside, np.linalg.norm(points, axis=-1), 0).max(-1)


def _directions(azimuth, elevation):
    """Returns unit vectors [..., 3] of angles in rad."""
    flat = np.cos(elevation)
    return np.stack(
        [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], -1
    )


def _chunks(rng, count, roundedness):
    normals = rng.normal(size=(count, PLANES, 3))
    # Directions spread by repulsion: random ones leave long needles of rock.
    for _ in range(12):
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        gap = normals[:, :, None] - normals[:, None]
        normals += 0.05 * (gap / ((gap**2).sum(-1, keepdims=True) + 0.05)).sum(2)
    normals += rng.normal(0, 0.12, normals.shape)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    depth = 0.5 * np.maximum(1 - rng.uniform(0, 1, (count, 1)) * roundedness, 0)
    return normals, 1 - depth * rng.uniform(0, 1, (count, PLANES)) ** 1.5


def _pyramids(rng, count):
    """Three to five steep sides, each broken in a few planes, and a blunt tip."""
    azimuth = _around(rng, rng.integers(3, 6, count), 0.22)
    elevation = rng.uniform(0.4, 0.75, (count, 1)) + rng.normal(0, 0.1, azimuth.shape)
    base = 0.3  # The sides are one away from the axis this far below the centre.
    chipped = 1 + 0.15 * rng.uniform(0, 1, azimuth.shape)
    offsets = (np.cos(elevation) - base * np.sin(elevation)) * chipped
    tip = (np.cos(elevation) / np.sin(elevation)).mean(1) - base
    blunt = rng.uniform(0.6, 1.0, count) * tip
    return _with_ends(rng, azimuth, elevation, offsets, blunt, base + 0.15)


def _domes(rng, count):
    """Rings of planes around half a ball."""
    azimuth = _around(rng, np.full(count, PLANES - 2), 0.3)
    rings = np.resize([0.05, 0.4, 0.75, 0.4, 1.1], PLANES - 2)
    elevation = rings + rng.normal(0, 0.1, azimuth.shape)
    offsets = 1 - 0.18 * rng.uniform(0, 1, azimuth.shape) ** 2
    return _with_ends(rng, azimuth, elevation, offsets, np.full(count, 0.95), 0.4)


def _slabs(rng, count):
    """Four to six upright sides and a flat top, with edges broken off."""
    azimuth = _around(rng, rng.integers(4, 7, count), 0.12)
    bevel = np.arange(PLANES - 2) >= PLANES - 6
    elevation = np.where(bevel, 0.7, 0.0) + rng.normal(0.06, 0.1, azimuth.shape)
    offsets = rng.uniform(0.85, 1.15, azimuth.shape)
    top = rng.uniform(0.4, 0.9, count)
    return _with_ends(rng, azimuth, elevation, offsets, top, 0.4)


def _around(rng, sides, spread):
    """Returns azimuths [n, PLANES - 2] of so many sides, `spread` rad around each."""
    side = np.arange(PLANES - 2) % sides[:, None]
    azimuth = 2 * np.pi * side / sides[:, None]
    return azimuth + rng.normal(0, spread, azimuth.shape)


def _with_ends(rng, azimuth, elevation, offsets, top, bottom):
    """Returns (normals, offsets) of sides between a tilted top and a flat bottom."""
    count = len(azimuth)
    up = _directions(
        rng.uniform(0, 2 * np.pi, (count, 1)),
        np.pi / 2 - rng.uniform(0, 0.3, (count, 1)),
    )
    down = np.broadcast_to([0.0, 0.0, -1.0], (count, 1, 3))
    normals = np.concatenate([_directions(azimuth, elevation), up, down], 1)
    ends = np.stack([top, np.full(count, bottom)], -1)
    return normals, np.concatenate([offsets, ends], 1)

"""Rocks: convex bodies bounded by planes, standing in the terrain."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lunar_tfds.synthetic import shapes
from lunar_tfds.synthetic.terrain import Terrain

PEBBLE, SMALL, LARGE = range(3)  # Only the last two are labelled.
# Half of a rock's greatest width on the ground, m, from which on it is SMALL, LARGE.
# Author: only rocks over 10 cm are labelled. In the real frames, wherever the camera's
# height and pitch tell a rock's size, those labelled small are up to 0.6 m wide, those
# labelled large from 0.8 m on, near or far: it is not the size in the picture.
LEAST_RADII = (0.08, 0.42)


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
        tones: float64 [n], a rock's albedo over that of its scene's rocks.
        hosts: int64 [n], the large rock that a small one is embedded in, else -1.
    """

    kinds: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    normals: np.ndarray
    offsets: np.ndarray
    roundness: np.ndarray
    tones: np.ndarray
    hosts: np.ndarray

    def __len__(self):
        return len(self.kinds)


def kinds_of(radii: np.ndarray | Sequence[float]) -> np.ndarray:
    """Returns int8 [n], the kinds of rocks by half their width on the ground, m."""
    return np.digitize(radii, LEAST_RADII).astype(np.int8)


def join(groups: Sequence[Rocks]) -> Rocks:
    """Returns one Rocks of several; hosts count from the first group's first rock."""
    names = [f.name for f in dataclasses.fields(Rocks)]
    return Rocks(**{n: np.concatenate([getattr(g, n) for g in groups]) for n in names})


def place(
    rng: np.random.Generator,
    positions: np.ndarray,
    radii: np.ndarray | Sequence[float],
    terrain: Terrain,
    bodies: shapes.Shapes,
    *,
    flatness: tuple[float, float] = (0.35, 0.9),
    lift: tuple[float, float] = (-0.6, 0.2),
    tilt: float = 0.25,
) -> Rocks:
    """Returns Rocks standing in the ground at given positions.

    Args:
        rng: numpy Generator.
        positions: [n, 2], m.
        radii: [n], half the greatest width, m; the kinds follow from it.
        terrain: Terrain.
        bodies: what `shapes.draw_shapes` returned.
        flatness: range of a rock's height over its width.
        lift: range of its centre's height over the ground, in halves of its height.
        tilt: standard deviation, rad.
    """
    count = len(radii)
    which = rng.integers(0, shapes.SHAPES, count)
    scale = np.stack(
        [
            np.ones(count),
            rng.uniform(0.6, 1.0, count),
            rng.uniform(*flatness, count),
        ],
        -1,
    )
    scale *= np.asarray(radii)[:, None]
    turn = _turns(rng, count, tilt)
    # A plane n.q <= d of the unit body q = R^T p / s is (R (n / s)).p <= d.
    normals = np.einsum(
        "nij,nkj->nki", turn, bodies[0][which] / scale[:, None, :], optimize=False
    )
    length = np.linalg.norm(normals, axis=-1)
    normals /= length[..., None]
    offsets = bodies[1][which] / length
    x, y = (np.asarray(positions)[:, i].astype(np.float32) for i in (0, 1))
    level = terrain.height(x, y).astype(np.float64)
    above = scale[:, 2] * rng.uniform(*lift, count)
    centres = np.stack([x, y, level + above], -1)
    roundness = np.exp(rng.uniform(np.log(0.01), np.log(0.12), count))
    kinds = kinds_of(radii)
    # Unlabelled stones are about as bright as the ground, as in the dataset.
    tones = np.exp(rng.normal(0, 0.07, count)) * np.where(kinds == PEBBLE, 0.8, 1.0)
    return Rocks(
        kinds,
        centres,
        scale.max(-1) * 1.1,
        normals,
        offsets,
        roundness,
        tones,
        np.full(count, -1),
    )


def _turns(rng, count, tilt):
    """Returns float64 [count, 3, 3], any heading and a tilt of some size in rad."""
    heading = rng.uniform(0, 2 * np.pi, count)
    tilt = rng.normal(0, tilt, count)
    c, s, ct, st = np.cos(heading), np.sin(heading), np.cos(tilt), np.sin(tilt)
    zero = np.zeros(count)
    rows = [[c, -s * ct, s * st], [s, c * ct, -c * st], [zero, st, ct]]
    return np.stack([np.stack(r, -1) for r in rows], -2)

"""What makes a scene's terrain: octaves of roughness, hills, craters, slopes."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import noise, terrain
from lunar_tfds.synthetic.terrain import FINEST, GRID, LEVELS, RATIO, Terrain

FLANK = 80.0  # Half the length of a tilted scene's slope, m.
AHEAD = 0.3  # How far a level's centre lies before the camera, in its own sides.


@dataclasses.dataclass(frozen=True)
class Relief:
    """How rough a scene's terrain is.

    Attributes:
        slope: root-mean-square slope each octave of wavelengths adds.
        hill_slope: the same for wavelengths over 100 m.
        craters: mean number of craters stamped into each level.
        ridge_start: distance at which the far ridge starts to rise, m.
        ridge_slope: its mean slope.
        hills: (x, y, height, width) of each lumpy hill, m; over +x one hides the sun.
        bowls: (x, y, radius, depth) of each crater that bends the horizon, m.
        tilt: mean slope around the origin, rising towards +x.
    """

    slope: float = 0.06
    hill_slope: float = 0.08
    craters: float = 10.0
    ridge_start: float = 300.0
    ridge_slope: float = 0.1
    hills: tuple[tuple[float, float, float, float], ...] = ()
    bowls: tuple[tuple[float, float, float, float], ...] = ()
    tilt: float = 0.0


def build_terrain(
    rng: np.random.Generator, relief: Relief, heading: float, sun_elevation: float
) -> Terrain:
    """Returns the Terrain of one scene, height 0 at the origin.

    Args:
        rng: numpy Generator.
        relief: Relief.
        heading: the camera's yaw, rad; the levels lie before it.
        sun_elevation: rad.
    """
    forward = np.array([np.cos(heading), np.sin(heading)])
    spacings = FINEST * RATIO ** np.arange(LEVELS, dtype=np.float64)
    corners = (AHEAD * forward - 0.5) * (GRID * spacings)[:, None]
    heights = np.empty((LEVELS, GRID, GRID), np.float32)
    shadows = np.empty_like(heights)
    spare = None
    for k in range(LEVELS - 1, -1, -1):
        if k == LEVELS - 1:
            height = _coarsest(rng, relief, corners[k], spacings[k], forward)
        else:
            if spare is None:
                field, spare = noise.band_noise(rng, GRID, 2.5, 10)
            else:
                field, spare = spare, None
            slope = relief.slope * np.sqrt(2) * rng.uniform(0.6, 1.3)
            pair = slice(k, k + 2)
            height = terrain.enlarge(heights[k + 1], corners[pair], spacings[pair])
            strength = _patches(rng) * np.float32(slope * spacings[k])
            height += field * strength
        _stamp_craters(rng, height, relief.craters, spacings[k])
        heights[k] = height
    flat = Terrain(corners, spacings, heights, shadows)
    heights -= flat.height(np.zeros(1, np.float32), np.zeros(1, np.float32))[0]
    terrain.cast_shadows(flat, sun_elevation)
    return flat


def _coarsest(rng, relief, corner, spacing, forward):
    """Returns float32 [GRID, GRID], the level that holds hills and horizon."""
    bands = noise.band_noise(rng, GRID, 2.5, GRID / 6)
    height = bands[0] * np.float32(relief.hill_slope * spacing)
    height += _ridge(rng, relief, corner, spacing, forward)
    height += _hills(rng, relief, corner, spacing)
    height += _flank(relief, corner, spacing)
    for x, y, radius, depth in relief.bowls:
        row, column = (y - corner[1]) / spacing, (x - corner[0]) / spacing
        _add_crater(height, row, column, radius / spacing, depth)
    return height


def _patches(rng):
    """Returns float32 [GRID, GRID] around 1: how rough the ground is where."""
    cells = 9
    lattice = np.exp(rng.normal(0, 0.45, (cells, cells))).astype(np.float32)
    u = np.linspace(0, cells - 1.001, GRID)
    i = u.astype(int)
    t = (u - i).astype(np.float32)
    t = t * t * (3 - 2 * t)
    rows = lattice[i] * (1 - t)[:, None] + lattice[i + 1] * t[:, None]
    return rows[:, i] * (1 - t) + rows[:, i + 1] * t


def _ridge(rng, relief, corner, spacing, forward):
    """Returns float32 [GRID, GRID], hills that rise beyond `relief.ridge_start`."""
    x = (corner[0] + spacing * np.arange(GRID)).astype(np.float32)[None, :]
    y = (corner[1] + spacing * np.arange(GRID)).astype(np.float32)[:, None]
    distance = np.hypot(x, y) + np.float32(1e-3)
    # A lumpy crest: a smooth function of the bearing, -2 to 2.
    side = np.array([0.4 * forward[0] - forward[1], 0.4 * forward[1] + forward[0]])
    bearing = (x * np.float32(side[0]) + y * np.float32(side[1])) / distance
    table = np.linspace(-2, 2, 1024)
    wave = np.ones(len(table))
    for harmonic in range(2, 7):
        wave += rng.normal(0, 0.9 / harmonic) * np.sin(
            1.7 * harmonic * table + rng.uniform(0, 2 * np.pi)
        )
    wave = np.maximum(wave, 0.05).astype(np.float32)
    start = relief.ridge_start
    width = np.float32(0.6 * start + 150)
    beyond = np.maximum(distance - np.float32(start), 0) / width
    rise = np.float32(relief.ridge_slope) * width * (1 - np.exp(-beyond * beyond))
    return rise * wave[((bearing + 2) * (1023 / 4)).astype(np.int32)]


def _hills(rng, relief, corner, spacing):
    """Returns float32 [GRID, GRID], lumpy hills; or 0."""
    if not relief.hills:
        return np.float32(0)
    total = np.zeros((GRID, GRID), np.float32)
    for east, north, height, width in relief.hills:
        x = corner[0] + spacing * np.arange(GRID) - east
        y = corner[1] + spacing * np.arange(GRID) - north
        profile = [np.exp(-((offset / width) ** 2) / 2) for offset in (y, x)]
        total += (height * profile[0][:, None] * profile[1]).astype(np.float32)
    lumps = noise.band_noise(rng, GRID, 6, 40)[0]
    return total * (1 + np.float32(0.1) * lumps / lumps.std())


def _flank(relief, corner, spacing):
    """Returns float32 [GRID], a slope along x that levels out FLANK away."""
    x = corner[0] + spacing * np.arange(GRID)
    return (relief.tilt * FLANK * np.tanh(x / FLANK)).astype(np.float32)


def _stamp_craters(rng, height, mean_count, spacing):
    """Adds worn craters to one level, in place."""
    for _ in range(rng.poisson(mean_count)):
        radius = 6.0 * (1 - rng.uniform(0, 0.97)) ** -0.5  # Samples, count ~ radius^-2.
        row, column = rng.uniform(0, height.shape[0], 2)
        depth = radius * rng.uniform(0.08, 0.35) * spacing
        _add_crater(height, row, column, radius, depth)


def _add_crater(height, row, column, radius, depth):
    """Adds a bowl with a raised rim; all in samples but height and depth, in m."""
    size = height.shape[0]
    reach = int(2 * radius) + 1
    rows = slice(max(int(row) - reach, 0), min(int(row) + reach + 1, size))
    columns = slice(max(int(column) - reach, 0), min(int(column) + reach + 1, size))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - row
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - column
    r = np.sqrt(x * x + y * y) / radius
    bowl = np.where(r < 1, (r * r - 1) * depth, 0)
    rim = 0.25 * depth * np.exp(-(((r - 1) / 0.3) ** 2))
    height[rows, columns] += (bowl + rim).astype(np.float32)

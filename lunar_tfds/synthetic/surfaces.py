"""What the surfaces of ground and rocks look like close up: normals and albedo."""

import numpy as np

from lunar_tfds.synthetic import noise
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks

GRAIN_OCTAVES = 12  # From GRAIN_FINEST upwards, each twice as long.
GRAIN_FINEST = 0.006  # m.
GAPS = np.float32(0.1)  # How much darker ground is between pebbles.
CHUNK = 4096  # Points of rocks in one batch; its arrays fit a cache.


def footprints(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Returns float32 [n], how much ground a pixel covers at points of it, m.

    Args:
        camera: Camera.
        points: float32 [n, 3], relative to the camera, m.
    """
    distance = np.linalg.norm(points, axis=1)
    grazing = np.maximum(-points[:, 2] / np.maximum(distance, 1e-6), 0.12)
    return distance * np.float32(camera.pixel_angle) / np.sqrt(grazing)


def grain(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    footprint: np.ndarray,
    spacing: np.ndarray,
    slope: float,
    pebbly: float,
) -> np.ndarray:
    """Returns float32 [n, 3]: ground slopes finer than its grid, albedo around 1.

    Args:
        rng: numpy Generator.
        x: float32 [n], m.
        y: float32 [n], m.
        footprint: float32 [n] of `footprints`, m.
        spacing: float32 [n], of the grid that holds the coarser slopes, m.
        slope: root mean square of each octave.
        pebbly: 0 for powder, 1 for pebbles with dark gaps between them.
    """
    total = np.zeros((len(x), 3), np.float32)
    for octave in range(GRAIN_OCTAVES):
        wavelength = GRAIN_FINEST * 2**octave
        offset, angle = rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi)
        # What the pixel resolves and the grid does not hold already.
        weight = _ramp(wavelength / footprint, 1.2, 2.4)
        weight *= 1 - _ramp(wavelength / spacing, 2, 4)
        # Crisp at the pixel's scale, as the dataset's ground is at every distance.
        weight *= 1.8 - 0.8 * _ramp(wavelength / footprint, 3, 9)
        active = np.nonzero(weight > 0.02)[0]
        if len(active):
            values = noise.sample_grain(x[active], y[active], wavelength, offset, angle)
            height = values[:, 2]
            amount = weight[active] * (1 + pebbly * np.clip(height, -0.8, 1.2))
            total[active, :2] += values[:, :2] * (slope * amount)[:, None]
            close = weight[active] * (1 - _ramp(wavelength / footprint[active], 4, 12))
            total[active, 2] -= pebbly * GAPS * close * np.maximum(-height - 0.4, 0)
    for wavelength, amount in ((0.7, 0.015), (6.0, 0.025), (50.0, 0.03)):
        offset, angle = rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi)
        values = noise.sample_grain(x, y, wavelength, offset, angle)[:, 2]
        total[:, 2] += amount * values * _ramp(wavelength / footprint, 2, 6)
    total[:, 2] = np.clip(1 + total[:, 2], 0.5, 1.3)
    return total


def _ramp(value, low, high):
    """Returns 0 below `low`, 1 above `high`, smoothly between."""
    part = np.clip((value - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def rock_surface(
    camera: Camera,
    rocks: Rocks,
    rock: np.ndarray,
    points: np.ndarray,
    rock_slope: float,
    mottling: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (normals [n, 3], albedo [n]) of rocks, float32, at points of them.

    Args:
        camera: Camera.
        rocks: Rocks.
        rock: int [n].
        points: float32 [n, 3], relative to the camera, m.
        rock_slope: root mean square of each octave of roughness.
        mottling: standard deviation of the albedo.
    """
    if not len(rock):
        return np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    relative = (rocks.centres - np.asarray(camera.position)).astype(np.float32)
    local = points - relative[rock]
    normals = _blended_normals(rocks, rock, local)
    depth = np.linalg.norm(relative, axis=1)
    footprint = np.maximum(depth * camera.pixel_angle, 1e-4).astype(np.float32)
    shift = ((np.arange(len(rocks)) * 0.618034) % 1.0 * 37).astype(np.float32)
    albedo = np.zeros(len(rock), np.float32)
    finest = np.maximum(3 * footprint, 0.012)
    for scale, amount in ((1.0, 0.6), (2.3, 0.8), (6.1, 0.9), (15.0, 0.8)):
        wavelength = finest * np.float32(scale)
        fits = wavelength < 1.2 * rocks.radii
        active = np.nonzero(fits[rock])[0]
        if not len(active):
            continue
        where = local[active] + (shift * footprint)[rock[active], None]
        values = noise.sample_solid(where, wavelength[rock[active]])
        slope = np.float32(rock_slope * amount)
        normals[active] += slope * values[:, :3]
        albedo[active] += np.float32(mottling * amount) * values[:, 3]
    return normals, np.clip(1 + albedo, 0.6, 1.5) * rocks.tones.astype(np.float32)[rock]


def _blended_normals(rocks, rock, local):
    """Returns float32 [n, 3], normals of faces that blend near the edges.

    Args:
        rocks: Rocks.
        rock: int [n].
        local: float32 [n, 3], points relative to the rock's centre, m.
    """
    all_planes = rocks.normals.astype(np.float32)
    offsets = rocks.offsets.astype(np.float32)
    width = (rocks.roundness * rocks.radii).astype(np.float32)
    normals = np.empty_like(local)
    for start in range(0, len(rock), CHUNK):
        part = slice(start, start + CHUNK)
        which, point = rock[part], local[part]
        planes = all_planes[which]
        excess = sum(planes[..., i] * point[:, None, i] for i in range(3))
        excess -= offsets[which]
        excess -= excess.max(1, keepdims=True)
        weights = np.exp(np.maximum(excess / width[which, None], -40))
        total = sum(weights[:, k, None] * planes[:, k] for k in range(planes.shape[1]))
        normals[part] = total / weights.sum(1, keepdims=True)
    return normals

"""Sunlight on ground and rocks: reflectance, grain, shadows, grey levels."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import noise, raycast
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks
from lunar_tfds.synthetic.terrain import Terrain

GRAIN_OCTAVES = 12  # From GRAIN_FINEST upwards, each twice as long.
GRAIN_FINEST = 0.006  # m.
SHOULDER = np.float32(190)  # Grey level above which less and less is added.
CHUNK = 4096  # Points of rocks in one batch; its arrays fit a cache.


@dataclasses.dataclass(frozen=True)
class View:
    """What each pixel shows, from the same ray that colours and labels it.

    Attributes:
        depth: float32 [pixels], along the view axis, m; infinity in the sky.
        rock: int32 [pixels], index of the rock seen, or -1.
        large_behind: bool [pixels]: a small rock is seen whose large host the ray also
            passes through.
    """

    depth: np.ndarray
    rock: np.ndarray
    large_behind: np.ndarray


@dataclasses.dataclass(frozen=True)
class Light:
    """The sun and the materials of one scene.

    Attributes:
        sun_elevation: rad; the sun stands over the world's +x axis.
        gain: grey level of ground lit and seen from straight above.
        lunar: weight of the Lommel-Seeliger term against Lambert's, 0 to 1.
        rock_brightness: albedo of rock over that of ground.
        grain_slope: root-mean-square slope of each octave of ground grain.
        rock_slope: the same for rock faces.
        mottling: standard deviation of the rock's albedo over its mean.
        blur: share of a pixel's light that falls on each neighbour.
    """

    sun_elevation: float
    gain: float = 215.0
    lunar: float = 0.2
    rock_brightness: float = 1.15
    grain_slope: float = 0.06
    rock_slope: float = 0.15
    mottling: float = 0.06
    blur: float = 0.05

    @property
    def sun(self) -> tuple[float, float, float]:
        """Returns the unit vector towards the sun."""
        return (np.cos(self.sun_elevation), 0.0, np.sin(self.sun_elevation))


def shade(
    rng: np.random.Generator,
    camera: Camera,
    terrain: Terrain,
    rocks: Rocks,
    view: View,
    light: Light,
) -> np.ndarray:
    """Returns the render of a traced view.

    Args:
        rng: numpy Generator.
        camera: Camera.
        terrain: Terrain with shadows for this sun.
        rocks: Rocks.
        view: View, what the camera sees at each pixel.
        light: Light.

    Returns:
        uint8 [height, width, 3], nearly grey; sky and shadow are 0.
    """
    seen = np.nonzero(np.isfinite(view.depth))[0]
    points = camera.rays() * np.where(np.isfinite(view.depth), view.depth, 0)[:, None]
    sun = np.array(light.sun, np.float32)
    normals = np.zeros_like(points)
    albedo = np.ones(len(points), np.float32)
    clear = np.zeros(len(points), bool)
    position = np.array(camera.position, np.float32)
    world = points[seen] + position
    level, slope_x, slope_y, shadow = terrain.surface(world[:, 0], world[:, 1])
    on_rock = view.rock[seen] >= 0
    # A hundredth of the grid's spacing keeps a surface from shading itself.
    spare = 0.01 * terrain.spacings.astype(np.float32)[level]
    clear[seen] = world[:, 2] + spare > shadow
    soil = seen[~on_rock]
    grain = _grain(
        rng, camera, terrain, points[soil], level[~on_rock], light.grain_slope
    )
    normals[soil, 0] = -slope_x[~on_rock] - grain[:, 0]
    normals[soil, 1] = -slope_y[~on_rock] - grain[:, 1]
    normals[soil, 2] = 1
    albedo[soil] = grain[:, 2]
    stone = seen[on_rock]
    normals[stone], albedo[stone] = _rock_surface(
        camera, rocks, view.rock[stone], points[stone], light
    )
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    incidence = normals[:, 0] * sun[0] + normals[:, 2] * sun[2]
    distance = np.maximum(np.linalg.norm(points, axis=1), 1e-6)
    emission = np.maximum(-(normals * points).sum(1) / distance, 0.05)
    lit = clear & (incidence > 0)
    lit &= ~raycast.shadowed(camera, rocks, points, lit, view.rock, light.sun)
    incidence = np.where(lit, incidence, 0)
    lommel = 2 * incidence / np.maximum(incidence + emission, 1e-3)
    reflected = light.lunar * lommel * 0.7 + (1 - light.lunar) * incidence
    shape = (camera.height, camera.width)
    grey = _compress(light.gain * albedo * reflected).reshape(shape)
    edges = _edges((view.rock * 2 + lit).reshape(shape))
    return _expose(rng, grey, np.where(edges, np.float32(0.16), light.blur))


def _grain(rng, camera, terrain, points, level, slope):
    """Returns [n, 3]: ground slopes finer than its grid, and its albedo around 1."""
    total = np.zeros((len(points), 3), np.float32)
    x = points[:, 0] + np.float32(camera.position[0])
    y = points[:, 1] + np.float32(camera.position[1])
    distance = np.linalg.norm(points, axis=1)
    grazing = np.maximum(-points[:, 2] / np.maximum(distance, 1e-6), 0.12)
    footprint = distance * np.float32(camera.pixel_angle) / np.sqrt(grazing)
    spacing = terrain.spacings.astype(np.float32)[level]
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
            total[active, :2] += values[:, :2] * (slope * weight[active])[:, None]
    for wavelength, amount in ((0.7, 0.015), (6.0, 0.025), (50.0, 0.03)):
        offset, angle = rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi)
        values = noise.sample_grain(x, y, wavelength, offset, angle)[:, 2]
        total[:, 2] += amount * values * _ramp(wavelength / footprint, 2, 6)
    total[:, 2] = np.clip(1 + total[:, 2], 0.7, 1.3)
    return total


def _ramp(value, low, high):
    """Returns 0 below `low`, 1 above `high`, smoothly between."""
    part = np.clip((value - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def _rock_surface(camera, rocks, rock, points, light):
    """Returns (normals [n, 3], albedo [n]) of the rocks at points of their surface."""
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
        slope = np.float32(light.rock_slope * amount)
        normals[active] += slope * values[:, :3]
        albedo[active] += np.float32(light.mottling * amount) * values[:, 3]
    albedo = np.clip(1 + albedo, 0.6, 1.5) * light.rock_brightness
    return normals, albedo * rocks.tones.astype(np.float32)[rock]


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


def _compress(grey):
    """Returns grey levels that near 255 instead of ending there: lit rock keeps grain."""
    over = np.maximum(grey - SHOULDER, 0) / (255 - SHOULDER)
    return np.minimum(grey, SHOULDER) + (255 - SHOULDER) * (1 - np.exp(-over))


def _edges(parts):
    """Returns bool [H, W]: pixels beside one of another rock, or of other lighting."""
    edges = np.zeros(parts.shape, bool)
    across, down = parts[:, 1:] != parts[:, :-1], parts[1:] != parts[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def _expose(rng, grey, blur):
    """Returns uint8 [H, W, 3] of grey levels, slightly blurred and barely tinted.

    Args:
        rng: numpy Generator.
        grey: float32 [H, W].
        blur: float32 [H, W], share of each neighbour in a pixel; more at edges, which
            stands in for several rays a pixel.
    """
    for axis in (0, 1):
        padded = np.pad(grey, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], "edge")
        before = padded[:-2] if axis == 0 else padded[:, :-2]
        after = padded[2:] if axis == 0 else padded[:, 2:]
        grey = grey + blur * (before + after - 2 * grey)
    tint = 1 - rng.uniform(0, 0.005, 3).astype(np.float32)
    return np.clip(np.rint(grey[..., None] * tint), 0, 255).astype(np.uint8)

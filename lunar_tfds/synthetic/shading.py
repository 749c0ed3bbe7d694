"""Sunlight on ground and rocks: reflectance, shadows, dust, grey levels."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import raycast, surfaces, tracks
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks
from lunar_tfds.synthetic.terrain import Terrain

SHOULDER = np.float32(165)  # Grey level above which less and less is added.


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
        pebbly: 0 for powdery ground, 1 for pebbles.
        ambient: light in the shadows, over the sun's.
        bounce: light that lit ground throws on sides of rocks, over the sun's.
        veil: contrast lost in dust on the lens or right before it; 0 for no dust.
        clear_distance: at which dust leaves 1 / e of the contrast, m.
        brown: how far the ground's colour is from grey, 0 to 1.
        noise: standard deviation of the sensor's noise, grey levels.
    """

    sun_elevation: float
    gain: float = 215.0
    lunar: float = 0.2
    rock_brightness: float = 1.15
    grain_slope: float = 0.06
    rock_slope: float = 0.15
    mottling: float = 0.06
    blur: float = 0.05
    pebbly: float = 0.0
    ambient: float = 0.0
    bounce: float = 0.0
    veil: float = 0.0
    clear_distance: float = 100.0
    brown: float = 0.0
    noise: float = 0.0

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
    track: tracks.Track | None = None,
) -> np.ndarray:
    """Returns the render of a traced view.

    Args:
        rng: numpy Generator.
        camera: Camera.
        terrain: Terrain with shadows for this sun.
        rocks: Rocks.
        view: View, what the camera sees at each pixel.
        light: Light.
        track: of a rover, or None.

    Returns:
        uint8 [height, width, 3], nearly grey; sky is 0, and so is shadow where there is
        no ambient light.
    """
    land = np.isfinite(view.depth)
    points = camera.rays() * np.where(land, view.depth, 0)[:, None]
    normals, albedo, clear = _surface(
        rng, camera, terrain, rocks, view, points, light, track
    )
    sun = np.array(light.sun, np.float32)
    incidence = normals[:, 0] * sun[0] + normals[:, 2] * sun[2]
    distance = np.maximum(np.linalg.norm(points, axis=1), 1e-6)
    emission = np.maximum(-(normals * points).sum(1) / distance, 0.05)
    lit = clear & (incidence > 0)
    lit &= ~raycast.shadowed(camera, rocks, points, lit, view.rock, light.sun)
    incidence = np.where(lit, incidence, 0)
    lommel = 2 * incidence / np.maximum(incidence + emission, 1e-3)
    reflected = light.lunar * lommel * 0.7 + (1 - light.lunar) * incidence
    reflected += light.ambient * (0.6 + 0.4 * normals[:, 2])
    reflected += light.bounce * np.where(view.rock >= 0, 0.6 - 0.4 * normals[:, 2], 0)
    grey = _compress(light.gain * albedo * reflected)
    grey[land] = _veil(grey[land], distance[land], light)
    grey[~land] = 0
    shape = (camera.height, camera.width)
    edges = _edges((view.rock * 2 + lit).reshape(shape))
    blur = np.where(edges, np.float32(0.16), light.blur)
    grey = _blurred(grey.reshape(shape), blur)
    return _expose(rng, grey, (view.rock >= 0).reshape(shape), light)


def _surface(rng, camera, terrain, rocks, view, points, light, track):
    """Returns (normals [n, 3], albedo [n], whether no hill shades it [n]) of pixels."""
    normals = np.zeros_like(points)
    albedo = np.ones(len(points), np.float32)
    clear = np.zeros(len(points), bool)
    seen = np.nonzero(np.isfinite(view.depth))[0]
    world = points[seen] + np.array(camera.position, np.float32)
    level, slope_x, slope_y, shadow = terrain.surface(world[:, 0], world[:, 1])
    spacing = terrain.spacings.astype(np.float32)[level]
    # A hundredth of the grid's spacing keeps a surface from shading itself.
    clear[seen] = world[:, 2] + 0.01 * spacing > shadow
    bare = view.rock[seen] < 0
    soil, stone = seen[bare], seen[~bare]
    x, y = world[bare, 0], world[bare, 1]
    footprint = surfaces.footprints(camera, points[soil])
    fine = surfaces.grain(
        rng, x, y, footprint, spacing[bare], light.grain_slope, light.pebbly
    )
    if track is not None:
        slopes, darker = tracks.press(track, x, y, footprint)
        fine[:, :2] += slopes
        fine[:, 2] *= darker
    normals[soil, 0] = -slope_x[bare] - fine[:, 0]
    normals[soil, 1] = -slope_y[bare] - fine[:, 1]
    normals[soil, 2] = 1
    albedo[soil] = fine[:, 2]
    normals[stone], of_rock = surfaces.rock_surface(
        camera, rocks, view.rock[stone], points[stone], light.rock_slope, light.mottling
    )
    albedo[stone] = of_rock * light.rock_brightness
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    return normals, albedo, clear


def _veil(grey, distance, light):
    """Returns the grey levels of land behind dust: nearer to its mean, far more so."""
    if not light.veil:
        return grey
    clear = (1 - light.veil) * np.exp(-distance / light.clear_distance)
    return grey.mean() + (grey - grey.mean()) * clear


def _compress(grey):
    """Returns grey levels that near 255 instead of ending there: rock keeps grain."""
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


def _blurred(grey, blur):
    """Returns float32 [H, W], slightly blurred grey levels.

    Args:
        grey: float32 [H, W].
        blur: float32 [H, W], share of each neighbour in a pixel; more at edges, which
            stands in for several rays a pixel.
    """
    for axis in (0, 1):
        padded = np.pad(grey, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], "edge")
        before = padded[:-2] if axis == 0 else padded[:, :-2]
        after = padded[2:] if axis == 0 else padded[:, 2:]
        grey = grey + blur * (before + after - 2 * grey)
    return grey


def _expose(rng, grey, is_rock, light):
    """Returns uint8 [H, W, 3] of grey levels, barely tinted unless the light is brown.

    Args:
        rng: numpy Generator.
        grey: float32 [H, W].
        is_rock: bool [H, W]; rock is half as brown as the ground.
        light: Light.
    """
    tint = 1 - rng.uniform(0, 0.005, 3).astype(np.float32)
    color = grey[..., None] * tint
    if light.brown:
        # Of ground in photos, red over green and blue over green, at the most.
        tone = np.array([rng.uniform(1.0, 1.12), 1.0, rng.uniform(0.72, 0.9)]) - 1
        share = light.brown * np.where(is_rock, 0.5, 1)[..., None]
        color = color * (1 + share * tone).astype(np.float32)
    if light.noise:
        noise = rng.standard_normal(grey.shape, dtype=np.float32)
        color = color + (light.noise * noise * (grey > 0))[..., None]
    return np.clip(np.rint(color), 0, 255).astype(np.uint8)

"""Where a scene is: camera, terrain and light."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic import relief, shading, terrain, tracks
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.terrain import Terrain
from lunar_tfds.synthetic.variety import Variety

LEAST_LIT = 0.08  # Of the ground; a hill that shades more than the rest is left out.
LEAST_SKY = 0.002  # Of the frame, where a scene shows sky.
GLANCE = 4  # Rays in so many rows and columns are traced until the camera is set.


@dataclasses.dataclass(frozen=True)
class Site:
    """A place on the Moon before rocks lie there.

    Attributes:
        camera: Camera.
        land: Terrain, with its shadows.
        light: shading.Light.
        soil: float32 [pixels], depth at which each ray meets the ground, m.
        track: of a rover, or None.
    """

    camera: Camera
    land: Terrain
    light: shading.Light
    soil: np.ndarray
    track: tracks.Track | None


def draw_site(
    rng: np.random.Generator,
    variety: Variety,
    height: int,
    width: int,
    *,
    with_sky: bool | None,
    pitches: tuple[float, float] | None = None,
) -> Site:
    """Returns one Site.

    Args:
        rng: numpy Generator.
        variety: Variety.
        height: of the image, px.
        width: px.
        with_sky: True turns the camera up until it sees sky, False down until it sees
            none, None leaves it.
        pitches: range of the camera's pitch, degrees; None for the dataset's.
    """
    camera = _draw_camera(rng, variety, height, width, pitches)
    shape, elevation, lit = _draw_relief(rng, variety, camera.yaw)
    lie = rng.integers(2**63)
    yaw = camera.yaw
    land = relief.build_terrain(np.random.default_rng(lie), shape, yaw, elevation)
    camera = _aim(camera, land, with_sky)
    if lit is not None:
        elevation = _raise_sun(camera, land, lit)
    elif _lit_share(camera, land) < LEAST_LIT:
        shape = dataclasses.replace(shape, hills=())
        land = relief.build_terrain(np.random.default_rng(lie), shape, yaw, elevation)
        camera = _aim(camera, land, with_sky)
    soil = land.hit(camera, camera.rays())
    while with_sky is False and np.isinf(soil).any():
        camera = dataclasses.replace(camera, pitch=camera.pitch - np.radians(2))
        soil = land.hit(camera, camera.rays())
    light = _draw_light(rng, variety, elevation, shape.slope)
    is_driven = rng.uniform() < variety.tracks
    track = tracks.draw_track(rng, yaw) if is_driven else None
    return Site(camera, land, light, soil, track)


def _draw_camera(rng, variety, height, width, pitches):
    """Returns the Camera over the origin."""
    view = rng.uniform(*variety.field_of_view)
    pitch = -30 * rng.uniform() ** 2.2 if pitches is None else rng.uniform(*pitches)
    roll = rng.uniform(-20, 20)
    if view < 60:
        # A photo is level, and shows a strip of sky or none.
        has_sky = rng.uniform() < 0.55
        share = rng.uniform(0.15, 0.42) if has_sky else rng.uniform(0.5, 1.5)
        pitch = -view * height / width * share
        roll *= 0.15
    return Camera(
        (0.0, 0.0, rng.uniform(*variety.camera_height)),
        rng.uniform(0, 2 * np.pi),
        np.radians(pitch),
        np.radians(roll),
        height,
        width,
        np.radians(view),
    )


def _draw_light(rng, variety, elevation, slope):
    """Returns the Light of a scene."""
    is_filled = rng.uniform() >= variety.black_shadows
    return shading.Light(
        sun_elevation=elevation,
        gain=rng.uniform(*variety.gain),
        lunar=rng.uniform(*variety.lunar),
        rock_brightness=rng.uniform(*variety.rock_brightness),
        grain_slope=np.clip(slope * rng.uniform(0.8, 1.8), *variety.grain),
        rock_slope=rng.uniform(0.03, 0.1),
        mottling=rng.uniform(*variety.mottling),
        blur=rng.uniform(0.05, 0.12),
        pebbly=rng.uniform(*variety.pebbly),
        ambient=rng.uniform(*variety.ambient) * is_filled,
        bounce=rng.uniform(*variety.bounce) * is_filled,
        veil=rng.uniform(*variety.veil),
        clear_distance=np.exp(rng.uniform(np.log(80), np.log(600))),
        brown=rng.uniform(*variety.browns),
        noise=rng.uniform(*variety.noise),
    )


def _draw_relief(rng, variety, yaw):
    """Returns (Relief, sun's elevation in rad, share of the ground to be lit or None).

    Most scenes are lit as they come. Flanks lie on a rugged slope that falls away from
    the sun as steeply as its light: only what stands out of it is lit.
    """
    low, middle, high = variety.sun
    below = rng.uniform() < 0.75
    elevation = np.radians(rng.uniform(*((low, middle) if below else (middle, high))))
    slope = np.exp(rng.normal(np.log(variety.roughness), 0.45))
    hills = _draw_hills(rng, variety, yaw) + _draw_massif(rng, variety, elevation)
    mounds, bowls = _draw_bend(rng, variety, yaw)
    tilt, lit = 0.0, None
    if rng.uniform() < variety.flanks:
        slope = np.clip(slope * rng.uniform(1, 3), 0.06, 0.2)
        hills, mounds, bowls = (), (), ()
        tilt = np.tan(np.radians(rng.uniform(20, 32))) * rng.uniform(0.85, 1.1)
        lit = rng.uniform(0.08, 0.5)
    shape = relief.Relief(
        slope=slope,
        hill_slope=rng.uniform(0.04, 0.1),
        craters=rng.uniform(0, 20),
        ridge_start=np.exp(rng.uniform(np.log(60), np.log(500))),
        ridge_slope=rng.uniform(0.0, 0.25),
        hills=hills + mounds,
        bowls=bowls,
        tilt=tilt,
    )
    return shape, elevation, lit


def _draw_hills(rng, variety, yaw):
    """Returns hills on the skyline, as wide in the picture as boulders; or ()."""
    if rng.uniform() > variety.hills:
        return ()
    hills = []
    for _ in range(rng.integers(1, 5)):
        bearing = yaw + np.radians(rng.uniform(-35, 35))
        distance = np.exp(rng.uniform(np.log(60), np.log(600)))
        height = distance * rng.uniform(0.03, 0.2)
        width = max(height * rng.uniform(1.2, 3.0), 6.0)
        x, y = np.cos(bearing) * distance, np.sin(bearing) * distance
        hills.append((x, y, height, width))
    return tuple(hills)


def _draw_massif(rng, variety, elevation):
    """Returns the hill that shades some of the scenes; or ()."""
    if rng.uniform() > variety.massifs:
        return ()
    distance = rng.uniform(25, 120)
    reach = rng.uniform(0.6, 1.3)  # Of its shadow, over its distance.
    height = distance * np.tan(elevation) * reach
    return ((distance, distance * rng.uniform(-0.4, 0.4), height, distance / 3),)


def _draw_bend(rng, variety, yaw):
    """Returns (hills, bowls): what bends the horizon, if anything.

    From the top of a mound it falls away on both sides; from inside a crater it is the
    wall on the other side.
    """
    if rng.uniform() > variety.bends:
        return (), ()
    ahead = np.array([np.cos(yaw), np.sin(yaw)])
    if rng.uniform() < 0.5:
        width = rng.uniform(12, 45)
        curvature = np.exp(rng.uniform(np.log(40), np.log(250)))  # Its radius, m.
        height = min(width**2 / curvature, 0.45 * width)
        x, y = ahead * width * rng.uniform(-0.4, 0.4)
        return ((x, y, height, width),), ()
    radius = rng.uniform(15, 70)
    x, y = ahead * radius * rng.uniform(0.1, 0.9)
    return (), ((x, y, radius, radius * rng.uniform(0.1, 0.3)),)


def _glance(camera):
    """Returns the camera with fewer pixels."""
    height, width = camera.height // GLANCE, camera.width // GLANCE
    return dataclasses.replace(camera, height=height, width=width)


def _aim(camera, land, with_sky):
    """Returns the camera turned up until it sees sky, or down until it sees none."""
    if with_sky is None:
        return camera
    for _ in range(20):
        glance = _glance(camera)
        sky = np.isinf(land.hit(glance, glance.rays())).mean()
        if (sky > LEAST_SKY) if with_sky else not sky:
            break
        step = np.radians(3 if with_sky else -3)
        camera = dataclasses.replace(camera, pitch=camera.pitch + step)
    return camera


def _raise_sun(camera, land, lit):
    """Raises the sun, from 20 to 50 degrees, until a share of the ground is lit.

    Args:
        camera: Camera.
        land: Terrain; its shadows are cast anew.
        lit: the share, of the ground in view.

    Returns:
        The sun's elevation, rad.
    """
    low, high = np.radians([20.0, 50.0])
    for _ in range(6):
        elevation = (low + high) / 2
        terrain.cast_shadows(land, elevation)
        if _lit_share(camera, land) < lit:
            low = elevation
        else:
            high = elevation
    return elevation


def _lit_share(camera, land):
    """Returns the share of the ground in view that the terrain leaves in the sun."""
    glance = _glance(camera)
    rays = glance.rays()
    depth = land.hit(glance, rays)
    seen = np.isfinite(depth)
    if not seen.any():
        return 1.0
    points = rays[seen] * depth[seen, None] + np.float32(camera.position)
    shadow = land.surface(points[:, 0], points[:, 1])[3]
    return float(np.mean(points[:, 2] > shadow - 0.01))

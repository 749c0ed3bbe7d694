"""The tracks of a rover: two ruts along an arc, with the marks of its wheels."""

import dataclasses

import numpy as np

CLEATS = 0.09  # Between the marks that a wheel's ribs leave, m.


@dataclasses.dataclass(frozen=True)
class Track:
    """A pair of ruts.

    Attributes:
        centre: (x, y) of the arc that the rover drove, m.
        radius: of the arc, m.
        gauge: from rut to rut, m.
        width: of a rut, m.
        depth: of a rut, m.
        darkness: how much darker than untouched ground it is.
    """

    centre: tuple[float, float]
    radius: float
    gauge: float
    width: float
    depth: float
    darkness: float


def draw_track(rng: np.random.Generator, yaw: float) -> Track:
    """Returns a Track that crosses the ground before the camera.

    Args:
        rng: numpy Generator.
        yaw: the camera's heading, rad.
    """
    bearing = yaw + np.radians(rng.uniform(-20, 20))
    distance = np.exp(rng.uniform(np.log(2), np.log(9)))
    radius = np.exp(rng.uniform(np.log(2), np.log(60)))
    side = rng.uniform(0, 2 * np.pi)
    return Track(
        (
            distance * np.cos(bearing) + radius * np.cos(side),
            distance * np.sin(bearing) + radius * np.sin(side),
        ),
        radius,
        gauge=rng.uniform(0.8, 1.4),
        width=rng.uniform(0.14, 0.26),
        depth=rng.uniform(0.01, 0.03),
        darkness=rng.uniform(0.05, 0.25),
    )


def press(
    track: Track, x: np.ndarray, y: np.ndarray, footprint: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a track adds to the ground.

    Args:
        track: Track.
        x: float32 [n], m.
        y: float32 [n], m.
        footprint: float32 [n], the ground that a pixel covers, m.

    Returns:
        (slopes, albedo): float32 [n, 2], along x and y, and float32 [n], a factor.
    """
    east, north = x - np.float32(track.centre[0]), y - np.float32(track.centre[1])
    away = np.maximum(np.hypot(east, north), 1e-3)
    outward = np.stack([east, north], -1) / away[:, None]
    onward = np.stack([-outward[:, 1], outward[:, 0]], -1)
    across = np.abs(away - track.radius) - track.gauge / 2
    across = across * np.sign(away - track.radius) / (track.width / 2)
    bowl = np.maximum(1 - across**2, 0)
    sharp = np.clip(track.width / footprint - 1, 0, 1)
    steep = track.depth / (track.width / 2) * 4 * across * bowl * sharp
    phase = np.arctan2(north, east) * np.float32(2 * np.pi * track.radius / CLEATS)
    ribs = 0.2 * np.sin(phase) * (bowl > 0) * np.clip(CLEATS / footprint - 2, 0, 1)
    slopes = outward * steep[:, None] + onward * ribs[:, None]
    return slopes.astype(np.float32), 1 - track.darkness * bowl * sharp

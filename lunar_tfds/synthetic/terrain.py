"""Terrain as nested height grids, its shadows, and where rays meet it."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic.camera import Camera

GRID = 1024  # Samples along each side of a level.
FINEST = 0.01  # Spacing of the finest level, m.
RATIO = 4  # Spacing of a level over that of the next finer one.
LEVELS = 5  # The coarsest spans GRID * FINEST * RATIO**4 = 2.6 km.


@dataclasses.dataclass(frozen=True)
class Terrain:
    """Height grids around the origin, finest first; the sun stands over +x.

    Attributes:
        corners: float64 [levels, 2], world (x, y) of each level's first sample, m.
        spacings: float64 [levels], m.
        heights: float32 [levels, size, size], rows along y, m.
        shadows: float32 [levels, size, size], the height up to which the terrain's
            shadow reaches, m.
    """

    corners: np.ndarray
    spacings: np.ndarray
    heights: np.ndarray
    shadows: np.ndarray

    def locate(
        self, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Returns (level, first index, parts): the finest cell around each point.

        Args:
            x: float32 [n], m; points outside are moved to the edge.
            y: float32 [n], m.
        """
        size = self.heights.shape[1]
        level = np.full(x.shape, len(self.spacings) - 1, np.int32)
        for k in range(len(self.spacings) - 2, -1, -1):
            u = (x - self.corners[k, 0]) / self.spacings[k]
            v = (y - self.corners[k, 1]) / self.spacings[k]
            inside = (u >= 1) & (v >= 1) & (u < size - 3) & (v < size - 3)
            level[inside] = k
        per_metre = (1 / self.spacings).astype(np.float32)[level]
        corner = self.corners.astype(np.float32)
        u = np.clip((x - corner[level, 0]) * per_metre, 0, size - 1.001)
        v = np.clip((y - corner[level, 1]) * per_metre, 0, size - 1.001)
        i, j = v.astype(np.int64), u.astype(np.int64)
        first = (level.astype(np.int64) * size + i) * size + j
        return level, first, (v - i, u - j)

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns float32 [n], the bilinear height of the finest level, m."""
        _, first, parts = self.locate(x, y)
        return self._bilinear(self.heights.ravel(), first, parts)

    def _bilinear(self, flat, first, parts):
        size = self.heights.shape[1]
        v, u = parts
        top = flat[first] * (1 - u) + flat[first + 1] * u
        bottom = flat[first + size] * (1 - u) + flat[first + size + 1] * u
        return top * (1 - v) + bottom * v

    def surface(
        self, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns level, slopes and shadow height under each point.

        Args:
            x: float32 [n], m.
            y: float32 [n], m.

        Returns:
            (int32 level, slope along x, slope along y, shadow height in m), each [n].
        """
        size = self.heights.shape[1]
        level, first, parts = self.locate(x, y)
        flat = self.heights.ravel()
        # Central differences at the four corners, then bilinear: no creases.
        low, high = size + 1, flat.size - 2 * size - 2
        first = np.clip(first, low, high)
        v, u = parts
        half = (0.5 / self.spacings).astype(np.float32)[level]
        slope_x = np.zeros_like(x)
        slope_y = np.zeros_like(x)
        for di, dj in np.ndindex(2, 2):
            at = first + di * size + dj
            weight = (v if di else 1 - v) * (u if dj else 1 - u)
            slope_x += weight * (flat[at + 1] - flat[at - 1])
            slope_y += weight * (flat[at + size] - flat[at - size])
        shadow = self._bilinear(self.shadows.ravel(), first, parts)
        return level, slope_x * half, slope_y * half, shadow

    def hit(
        self,
        camera: Camera,
        rays: np.ndarray,
        *,
        nearest: float = 0.05,
        samples: int = 1000,
    ) -> np.ndarray:
        """Returns the depth at which each ray meets the ground.

        Heights are read once along a fan of directions; in each, the highest elevation
        angle so far is monotone, so a pixel's first hit is one binary search. Two
        secant steps on the ground itself then place the hit.

        Args:
            camera: Camera.
            rays: float32 [n, 3] of that camera.
            nearest: shortest horizontal distance looked at, m.
            samples: distances looked at, in geometric steps.

        Returns:
            float32 [n], depth, m; infinity where the ray meets the sky.
        """
        flat_length = np.maximum(np.hypot(rays[:, 0], rays[:, 1]), 1e-6)
        rise = rays[:, 2] / flat_length
        forward = camera.axes[0]
        heading = np.arctan2(forward[1], forward[0])
        cos, sin = np.float32(np.cos(heading)), np.float32(np.sin(heading))
        azimuth = np.arctan2(
            rays[:, 1] * cos - rays[:, 0] * sin, rays[:, 0] * cos + rays[:, 1] * sin
        )
        low, high = float(azimuth.min()), float(azimuth.max())
        columns = int(np.clip((high - low) / camera.pixel_angle * 1.2, 2, 2500)) + 1
        step = (high - low) / (columns - 1)
        furthest = GRID * FINEST * RATIO ** (LEVELS - 1) * 0.7
        radii = np.geomspace(nearest, furthest, samples).astype(np.float32)
        directions = heading + low + step * np.arange(columns)
        cosines = np.cos(directions).astype(np.float32)[:, None]
        sines = np.sin(directions).astype(np.float32)[:, None]
        px, py, pz = (np.float32(p) for p in camera.position)
        x, y = px + cosines * radii, py + sines * radii
        heights = self.height(x.ravel(), y.ravel()).reshape(columns, samples)
        rises = (heights - pz) / radii
        angles = np.maximum.accumulate(np.arctan(rises), axis=1).astype(np.float64)
        column = np.rint((azimuth - low) / step).astype(np.int64)
        keys = (angles + 4.0 * np.arange(columns)[:, None]).ravel()
        found = np.searchsorted(keys, np.arctan(rise) + 4.0 * column) - column * samples
        sky = found >= samples
        after = np.clip(found, 1, samples - 1)
        r0, r1 = radii[after - 1], radii[after]
        rises = rises.ravel()
        f0 = rises[column * samples + after - 1] * r0 - rise * r0
        f1 = rises[column * samples + after] * r1 - rise * r1
        distance = _secant(r0, r1, f0, f1)
        ux, uy = rays[:, 0] / flat_length, rays[:, 1] / flat_length
        for _ in range(2):
            gap = self.height(px + ux * distance, py + uy * distance)
            gap -= pz + rise * distance
            below = gap >= 0
            r1, f1 = np.where(below, distance, r1), np.where(below, gap, f1)
            r0, f0 = np.where(below, r0, distance), np.where(below, f0, gap)
            distance = _secant(r0, r1, f0, f1)
        return np.where(sky, np.float32(np.inf), distance / flat_length)


def _secant(r0, r1, f0, f1):
    """Returns where the line through two points crosses zero, inside [r0, r1]."""
    run = f1 - f0
    part = np.where(np.abs(run) > 1e-9, -f0 / np.where(run == 0, 1, run), 0.5)
    return r0 + np.clip(part, 0, 1) * (r1 - r0)


def cast_shadows(terrain: Terrain, sun_elevation: float) -> None:
    """Fills `terrain.shadows`: one running maximum along x for each level."""
    tangent = np.tan(sun_elevation)
    for k in range(len(terrain.spacings) - 1, -1, -1):
        height, shadow = terrain.heights[k], terrain.shadows[k]
        size = height.shape[1]
        fall = (np.arange(size) * terrain.spacings[k] * tangent).astype(np.float32)
        reach = np.maximum.accumulate((height - fall)[:, ::-1], axis=1)[:, ::-1]
        shadow[:, :-1] = reach[:, 1:] + fall[:-1]
        if k == len(terrain.spacings) - 1:
            shadow[:, -1] = height.min() - 1e3
        else:
            shadow[:, -1] = shadow[:, -2]
            coarse = slice(k, k + 2)
            wide = enlarge(
                terrain.shadows[k + 1],
                terrain.corners[coarse],
                terrain.spacings[coarse],
            )
            np.maximum(shadow, wide, out=shadow)


def enlarge(
    coarse: np.ndarray, corners: np.ndarray, spacings: np.ndarray
) -> np.ndarray:
    """Returns the part of a coarse level under the next finer one, cubically.

    Args:
        coarse: float32 [GRID, GRID].
        corners: [2, 2], of the finer and of the coarse level, m.
        spacings: [2], of the same, m.

    Returns:
        float32 [GRID, GRID].
    """
    place = [(corners[0][a] - corners[1][a]) / spacings[1] for a in (1, 0)]
    ratio = spacings[0] / spacings[1]
    left = int(place[1]) - 1  # Only the columns needed, before the rows are enlarged.
    coarse = coarse[:, left : left + int(GRID * ratio) + 5]
    coarse = _enlarge_rows(coarse, place[0] + ratio * np.arange(GRID))
    return _enlarge_rows(coarse.T, place[1] - left + ratio * np.arange(GRID)).T


def _enlarge_rows(coarse, position):
    """Returns rows at fractional positions, by Catmull-Rom's four weights."""
    first = np.floor(position).astype(int)
    t = (position - first).astype(np.float32)[:, None]
    weights = (
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    )
    total = coarse[first - 1] * weights[0]
    for i in (1, 2, 3):
        total += coarse[first + i - 1] * weights[i]
    return total

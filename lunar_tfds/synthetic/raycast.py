"""Where rays meet rocks, and which points lie in a rock's shadow."""

import dataclasses

import numpy as np

from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.rocks import Rocks

CHUNK = 100_000  # Pairs of a pixel and a rock in one batch; its arrays fit a cache.

BALL = 1.05  # Radii that are looked at, for rounding and for roughened outlines.
SHADOW_LENGTH = 2.0  # Height of a rock over its foot at the most, radii.


@dataclasses.dataclass(frozen=True)
class Hits:
    """The rock seen at each pixel, if any.

    Attributes:
        rock: int32 [pixels], index into the Rocks, or -1.
        depth: float32 [pixels], m; infinity without a rock.
    """

    rock: np.ndarray
    depth: np.ndarray


def cast(
    camera: Camera, rocks: Rocks, limit: np.ndarray, wobble: np.ndarray | None = None
) -> Hits:
    """Returns the nearest rock in front of `limit` at each pixel.

    Args:
        camera: Camera.
        rocks: Rocks.
        limit: float32 [pixels], depth of what hides rocks behind it, m.
        wobble: float32 [pixels] or None; how far the outline of a rock is pushed out
            at a pixel, px.
    """
    found_pixels, found_depths, found_rocks = [], [], []
    planes = _ray_planes(camera, rocks)
    away = np.linalg.norm(rocks.centres - camera.position, axis=-1)
    most = np.minimum(away * camera.pixel_angle, 0.03 * rocks.radii).astype("f4")
    for pixels, index in _batches(_disc_pairs(camera, rocks, limit)):
        push = None if wobble is None else wobble[pixels] * most[index]
        enter, leave = _clip(camera, planes, pixels, index, push)
        seen = (enter < leave) & (enter > 0.01) & (enter < limit[pixels])
        found_pixels.append(pixels[seen])
        found_depths.append(enter[seen])
        found_rocks.append(index[seen])
    rock = np.full(limit.shape, -1, np.int32)
    depth = np.full(limit.shape, np.inf, np.float32)
    if found_pixels:
        pixels = np.concatenate(found_pixels)
        depths = np.concatenate(found_depths)
        order = np.argsort(-depths, kind="stable")  # The last one written is nearest.
        rock[pixels[order]] = np.concatenate(found_rocks)[order]
        depth[pixels[order]] = depths[order]
    return Hits(rock, depth)


def passes(
    camera: Camera, rocks: Rocks, pixels: np.ndarray, index: np.ndarray
) -> np.ndarray:
    """Returns bool [n]: does the ray of each pixel pass through rock index[n]?"""
    enter, leave = _clip(camera, _ray_planes(camera, rocks), pixels, index)
    return enter < leave


def shadowed(
    camera: Camera,
    rocks: Rocks,
    points: np.ndarray,
    lit: np.ndarray,
    seen: np.ndarray,
    sun: np.ndarray | tuple[float, float, float],
) -> np.ndarray:
    """Returns bool [pixels]: lit points of the scene that a rock hides from the sun.

    Args:
        camera: Camera.
        rocks: Rocks.
        points: float32 [pixels, 3], relative to the camera, m.
        lit: bool [pixels]; only these are looked at.
        seen: int32 [pixels], the rock a point lies on, or -1; being convex, it casts no
            shadow on itself.
        sun: unit vector towards the sun.
    """
    dark = np.zeros(lit.shape, bool)
    relative = rocks.centres - np.asarray(camera.position)
    ends = rocks.offsets + (rocks.normals * relative[:, None]).sum(-1)
    towards = np.asarray(sum(rocks.normals[..., i] * sun[i] for i in range(3)))
    ends, towards = ends.T.astype("f4"), towards.T.astype("f4")
    normals = rocks.normals.transpose(1, 2, 0).astype("f4")
    x, y, z = np.ascontiguousarray(points.T)
    for pixels, index in _batches(_shadow_pairs(camera, rocks, points, lit, sun)):
        px, py, pz = x[pixels], y[pixels], z[pixels]

        def gaps(index=index, px=px, py=py, pz=pz):
            for end, (nx, ny, nz) in zip(ends, normals, strict=True):
                gap = nx[index] * px
                gap += ny[index] * py
                gap += nz[index] * pz
                yield np.subtract(end[index], gap, out=gap)

        enter, leave = _interval(gaps(), (t[index] for t in towards))
        hidden = (enter < leave) & (leave > 0) & (seen[pixels] != index)
        dark[pixels[hidden]] = True
    return dark & lit


def _disc_pairs(camera, rocks, limit):
    """Yields (pixels, rocks): the rays that come near a rock in front of `limit`.

    The ball around a rock lies inside a disc of the image.
    """
    column, row, size, _ = (part[:, 0] for part in _discs(camera, rocks))
    depth = (rocks.centres - np.asarray(camera.position)) @ camera.axes[0]
    front = (depth - BALL * rocks.radii).astype("f4")
    for index, rows, columns in _boxes(camera, _bounds(camera, rocks)):
        across = (columns - column[index, None]) ** 2
        room = (BALL * size[index, None]) ** 2 - (rows - row[index, None]) ** 2
        near = across[:, None, :] <= room[:, :, None]
        pixels, which = _pick(_pixels(camera, rows, columns), index, near)
        clear = limit[pixels] > front[which]
        yield pixels[clear], which[clear]


def _shadow_pairs(camera, rocks, points, lit, sun):
    """Yields (pixels, rocks): the lit points in the cylinder of shade of a ball.

    Arguments as of `shadowed`.
    """
    level = np.hypot(sun[0], sun[1])
    side = np.array([-sun[1], sun[0], 0]) / level
    axes = np.stack([side, np.cross(sun, side), sun])
    centres = ((rocks.centres - np.asarray(camera.position)) @ axes.T).T.astype("f4")
    reach = (BALL * rocks.radii).astype("f4")
    across, up, along = axes.astype("f4") @ points.T
    across[~lit] = np.inf
    for index, rows, columns in _boxes(camera, _bounds(camera, rocks, sun)):
        pixels = _pixels(camera, rows, columns)
        gap, rise = across[pixels], up[pixels]
        gap -= centres[0, index, None, None]
        rise -= centres[1, index, None, None]
        gap *= gap
        rise *= rise
        gap += rise
        near = gap <= (reach[index] ** 2)[:, None, None]
        pixels, which = _pick(pixels, index, near)
        before = along[pixels] < centres[2, which] + reach[which]
        yield pixels[before], which[before]


def _pixels(camera, rows, columns):
    """Returns [b, h, w], the pixels of boxes of rows [b, h] and columns [b, w]."""
    return rows[:, :, None] * camera.width + columns[:, None, :]


def _pick(pixels, index, chosen):
    """Returns (pixels, rocks), int64 [n] each: the chosen pixels of boxes.

    Args:
        pixels: [b, h, w].
        index: [b], rocks.
        chosen: bool [b, h, w].
    """
    return pixels[chosen], np.repeat(index, np.count_nonzero(chosen, axis=(1, 2)))


def _batches(pairs):
    """Yields (pixels, rocks) of all pairs, CHUNK at a time."""
    pairs = list(pairs)
    if not pairs:
        return
    pixels, index = (np.concatenate(part) for part in zip(*pairs, strict=True))
    for start in range(0, len(pixels), CHUNK):
        yield pixels[start : start + CHUNK], index[start : start + CHUNK]


def _ray_planes(camera, rocks):
    """Returns (base, per_column, per_row, ends), each float32 [PLANES, n].

    A ray meets a plane at depth end / (base + column per_column + row per_row).
    """
    basis = camera.ray_basis
    slopes = [
        sum(rocks.normals[..., i] * basis[b, i] for i in range(3)).T.astype("f4")
        for b in range(3)
    ]
    relative = rocks.centres - np.asarray(camera.position)
    ends = rocks.offsets + (rocks.normals * relative[:, None]).sum(-1)
    return (*slopes, ends.T.astype("f4"))


def _clip(camera, planes, pixels, index, push=None):
    """Returns (enter, leave), each float32 [n].

    Args:
        camera: Camera.
        planes: what `_ray_planes` returned.
        pixels: [n].
        index: [n], the rock looked at in each.
        push: float32 [n], how far its planes are moved outwards, m, or None.
    """
    rows, columns = np.divmod(pixels, camera.width)
    rows, columns = rows.astype("f4"), columns.astype("f4")
    base, per_column, per_row, ends = planes

    def slope(k):
        total = columns * per_column[k][index]
        total += base[k][index]
        total += rows * per_row[k][index]
        return total

    moved = (end[index] if push is None else end[index] + push for end in ends)
    return _interval(moved, (slope(k) for k in range(len(ends))))


def _interval(ends, slopes):
    """Returns (enter, leave): the depths between which a ray is inside all planes.

    Args:
        ends: for each plane, its distance from the ray's origin, m.
        slopes: for each plane, how fast the ray nears it; one array a plane, since
            running maxima over planes are several times faster than one reduction.
    """
    enter, leave = None, None
    for end, slope in zip(ends, slopes, strict=True):
        crossing = end / np.where(slope == 0, np.float32(1e-12), slope)
        entering = slope < 0
        near = np.where(entering, crossing, np.float32(-np.inf))
        far = np.where(entering, np.float32(np.inf), crossing)
        enter = near if enter is None else np.maximum(enter, near, out=enter)
        leave = far if leave is None else np.minimum(leave, far, out=leave)
    return enter, leave


def _discs(camera, rocks, sun=None):
    """Returns (column, row, size, depth), each [n, spots], of the ball of each rock.

    The ball lies inside the disc of `size` px around (column, row), which is infinite
    close to the camera. With a sun, there is a second spot: the ball at the shadow's
    end.
    """
    relative = rocks.centres - np.asarray(camera.position)
    spots = [relative]
    if sun is not None:
        spots.append(relative - SHADOW_LENGTH * rocks.radii[:, None] * sun / sun[2])
    column, row, depth = camera.project(np.stack(spots, 1))
    radii = rocks.radii[:, None]
    near = depth < 1.3 * radii + 0.05
    # A sphere off the axis looks longer, at the frame's corners by this much.
    stretch = 1 + np.hypot(column - camera.width / 2, row - camera.height / 2) * (
        camera.pixel_angle
    )
    size = stretch * radii / (np.where(near, 1, depth - radii) * camera.pixel_angle)
    return column, row, np.where(near, np.inf, size), depth


def _bounds(camera, rocks, sun=None):
    """Returns int [n, 4]: first row, last row, first column, last column, all in view.

    With a sun, the box also holds the shadow as far as it may fall.
    """
    column, row, size, depth = _discs(camera, rocks, sun)
    behind = depth < -rocks.radii[:, None]
    low = np.stack([(row - size).min(1), (column - size).min(1)], -1)
    high = np.stack([(row + size).max(1), (column + size).max(1)], -1)
    low, high = np.clip(low, -1e6, 1e6), np.clip(high, -1e6, 1e6)
    first = np.maximum(np.floor(low).astype(int), 0)
    last = np.minimum(np.ceil(high).astype(int), [camera.height - 1, camera.width - 1])
    last[behind.all(1)] = -1
    return np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], -1)


def _boxes(camera, bounds):
    """Yields (rock indices, rows [n, h], columns [n, w]) of boxes of like size.

    Boxes are widened to powers of two, so that many small rocks share one batch.
    """
    height = bounds[:, 1] - bounds[:, 0] + 1
    width = bounds[:, 3] - bounds[:, 2] + 1
    valid = np.nonzero((height > 0) & (width > 0))[0]
    classes = [
        np.minimum(1 << np.ceil(np.log2(side[valid])).astype(int), limit)
        for side, limit in ((height, camera.height), (width, camera.width))
    ]
    keys = classes[0] * 4096 + classes[1]
    for key in np.unique(keys):
        h, w = divmod(int(key), 4096)
        members = valid[keys == key]
        batch = max(CHUNK // (h * w), 1)
        for start in range(0, len(members), batch):
            index = members[start : start + batch]
            top = np.minimum(bounds[index, 0], camera.height - h)
            left = np.minimum(bounds[index, 2], camera.width - w)
            rows, columns = top[:, None] + np.arange(h), left[:, None] + np.arange(w)
            yield index, rows, columns

"""Where rays meet rocks, and which points lie in a rock's shadow."""

import dataclasses

import numpy as np

CHUNK = 1_500_000  # Ray-plane pairs in one batch: about 6 MB an array.


@dataclasses.dataclass(frozen=True)
class Hits:
    """The rock seen at each pixel, if any.

    Attributes:
        rock: int32 [pixels], index into the Rocks, or -1.
        depth: float32 [pixels], m; infinity without a rock.
    """

    rock: np.ndarray
    depth: np.ndarray


def cast(camera, rocks, limit, wobble=None):
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
    for index, rows, columns in _boxes(camera, _bounds(camera, rocks)):
        pixels = (rows[:, :, None] * camera.width + columns[:, None, :]).reshape(
            len(index), -1
        )
        enter, leave = _clip(
            planes, index, rows, columns, rocks, camera, wobble, pixels
        )
        seen = (enter < leave) & (enter > 0.01) & (enter < limit[pixels])
        which = np.nonzero(seen)
        found_pixels.append(pixels[which])
        found_depths.append(enter[which])
        found_rocks.append(index[which[0]])
    rock = np.full(limit.shape, -1, np.int32)
    depth = np.full(limit.shape, np.inf, np.float32)
    if found_pixels:
        pixels = np.concatenate(found_pixels)
        depths = np.concatenate(found_depths)
        order = np.argsort(-depths, kind="stable")  # The last one written is nearest.
        rock[pixels[order]] = np.concatenate(found_rocks)[order]
        depth[pixels[order]] = depths[order]
    return Hits(rock, depth)


def passes(camera, rocks, pixels, index):
    """Returns bool [n]: does the ray of each pixel pass through rock index[n]?"""
    rows = (pixels // camera.width).astype(np.float32)[:, None]
    columns = (pixels % camera.width).astype(np.float32)[:, None]
    base, per_column, per_row, ends = _ray_planes(camera, rocks)
    slope = base[index] + columns * per_column[index] + rows * per_row[index]
    enter, leave = _interval(ends[index], slope)
    return enter < leave


def shadowed(camera, rocks, points, lit, sun):
    """Returns bool [pixels]: lit points of the scene that a rock hides from the sun.

    Args:
        camera: Camera.
        rocks: Rocks.
        points: float32 [pixels, 3], relative to the camera, m.
        lit: bool [pixels]; only these are looked at.
        sun: unit vector towards the sun.
    """
    dark = np.zeros(lit.shape, bool)
    relative = rocks.centres - np.asarray(camera.position)
    ends = (rocks.offsets + (rocks.normals * relative[:, None]).sum(-1)).astype("f4")
    normals = rocks.normals.astype("f4")
    towards = sum(rocks.normals[..., i] * sun[i] for i in range(3)).astype("f4")
    towards = np.where(np.abs(towards) < 1e-6, np.float32(1e-6), towards)
    bounds = _bounds(camera, rocks, sun)
    for index, rows, columns in _boxes(camera, bounds):
        pixels = (rows[:, :, None] * camera.width + columns[:, None, :]).reshape(
            len(index), -1
        )
        which = np.nonzero(lit[pixels])
        for start in range(0, len(which[0]), CHUNK // 16):
            part = slice(start, start + CHUNK // 16)
            rock, pixel = index[which[0][part]], pixels[which[0][part], which[1][part]]
            point, plane = points[pixel], normals[rock]
            along = sum(plane[..., i] * point[:, None, i] for i in range(3))
            crossing = (ends[rock] - along) / towards[rock]
            rising = towards[rock] > 0
            enter = np.where(rising, -np.inf, crossing).max(-1)
            leave = np.where(rising, crossing, np.inf).min(-1)
            # A point on the rock itself leaves at once: that is no shadow.
            margin = 0.02 * rocks.radii[rock]
            dark[pixel[(np.maximum(enter, 0) + margin < leave)]] = True
    return dark


def _ray_planes(camera, rocks):
    """Returns how each plane meets the rays: depth = end / (base + c dc + r dr)."""
    basis = camera.ray_basis
    slopes = [
        sum(rocks.normals[..., i] * basis[b, i] for i in range(3)).astype("f4")
        for b in range(3)
    ]
    relative = rocks.centres - np.asarray(camera.position)
    ends = rocks.offsets + (rocks.normals * relative[:, None]).sum(-1)
    return (*slopes, ends.astype("f4"))


def _clip(planes, index, rows, columns, rocks, camera, wobble, pixels):
    base, per_column, per_row, ends = (p[index] for p in planes)
    across = base[:, None] + columns[:, :, None].astype("f4") * per_column[:, None]
    down = rows[:, :, None].astype("f4") * per_row[:, None]
    slope = across[:, None] + down[:, :, None]
    slope = slope.reshape(len(index), -1, ends.shape[-1])
    ends = ends[:, None]
    if wobble is not None:
        depth = np.linalg.norm(rocks.centres[index] - camera.position, axis=-1)
        size = depth * camera.pixel_angle
        push = wobble[pixels] * np.minimum(size, 0.12 * rocks.radii[index])[:, None]
        ends = ends + push[..., None].astype("f4")
    return _interval(ends, slope)


def _interval(ends, slope):
    """Returns (enter, leave): the depths between which a ray is inside all planes."""
    crossing = ends / np.where(slope == 0, np.float32(1e-12), slope)
    entering = slope < 0
    enter = np.where(entering, crossing, -np.inf).max(-1)
    leave = np.where(entering, np.inf, crossing).min(-1)
    return enter, leave


def _bounds(camera, rocks, sun=None):
    """Returns int [n, 4]: first row, last row, first column, last column, all in view.

    With a sun, the box also holds the shadow as far as it may fall.
    """
    relative = rocks.centres - np.asarray(camera.position)
    corners = np.array(list(np.ndindex(2, 2, 2))) * 2.0 - 1
    points = relative[:, None] + corners * rocks.radii[:, None, None]
    if sun is not None:
        length = 2.6 * rocks.radii / sun[2]
        ends = points - length[:, None, None] * np.asarray(sun)
        points = np.concatenate([points, ends], axis=1)
    column, row, depth = camera.project(points)
    near = depth < 0.05
    some, every = near.any(1), near.all(1)
    low = np.stack([row.min(1), column.min(1)], -1)
    high = np.stack([row.max(1), column.max(1)], -1)
    low[some], high[some] = -1e6, 1e6
    low, high = np.clip(low, -1e6, 1e6), np.clip(high, -1e6, 1e6)
    size = np.array([camera.height, camera.width])
    first = np.maximum(np.floor(low).astype(int), 0)
    last = np.minimum(np.ceil(high).astype(int), size - 1)
    last[every] = -1
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
        batch = max(CHUNK // (h * w * 16), 1)
        for start in range(0, len(members), batch):
            index = members[start : start + batch]
            top = np.minimum(bounds[index, 0], camera.height - h)
            left = np.minimum(bounds[index, 2], camera.width - w)
            rows, columns = top[:, None] + np.arange(h), left[:, None] + np.arange(w)
            yield index, rows, columns

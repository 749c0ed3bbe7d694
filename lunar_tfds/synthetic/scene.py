"""One scene: what it is made of, what the camera sees, and its labels."""

import dataclasses

import numpy as np

from lunar_tfds.kaggle_layout import FRAME_HEIGHT, FRAME_WIDTH
from lunar_tfds.synthetic import labels, noise, raycast, rocks, shading, sites, stones
from lunar_tfds.synthetic.camera import Camera
from lunar_tfds.synthetic.variety import STANDARD, STYLES, Variety

# Positions in every run of PERIOD scenes: by these, any 40 in a row hold two scenes
# without sky, two with a boulder over BOULDER_SHARE of the frame, two of bare ground.
PERIOD = 20
NO_SKY = (3,)
BOULDER = (7,)
BARE = (10,)
BOULDER_SHARE = 0.15


def render_scene(
    seed: int,
    index: int,
    variety: Variety = STYLES[STANDARD],
    *,
    height: int = FRAME_HEIGHT,
    width: int = FRAME_WIDTH,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
    """Returns one scene, a function of its arguments alone.

    Args:
        seed: of the collection of scenes.
        index: of the scene in it, from 1.
        variety: which features are drawn how often.
        height: px.
        width: px.

    Returns:
        (render, ground, clean, boxes): uint8 [height, width, 3] each, in the
        conventions of the Kaggle dataset's folders of these names, and the list of
        (x, y, length, height) of the large rocks, for `bounding_boxes.csv`.
    """
    rng = np.random.default_rng([seed, index])
    slot = index % PERIOD
    is_close = slot in BOULDER
    site = sites.draw_site(
        rng,
        variety,
        height,
        width,
        # Turned towards the sky, the camera would not see the boulder at its feet.
        with_sky=slot not in NO_SKY if variety.has_sky and not is_close else None,
        pitches=(-20, -8) if is_close else None,
    )
    share = BOULDER_SHARE + 0.03 + 0.32 * rng.uniform() ** 2
    all_rocks = stones.draw_rocks(
        rng,
        site.camera,
        site.land,
        site.soil,
        variety,
        bare=slot in BARE,
        boulder_share=share if is_close else None,
    )
    wobble = _wobble(rng, height, width)
    view = trace(site.camera, site.soil, all_rocks, wobble)
    if variety.label_widths:
        all_rocks = _labelled_by_width(rng, all_rocks, view, variety, width)
    render = shading.shade(
        rng, site.camera, site.land, all_rocks, view, site.light, site.track
    )
    ground = ground_mask(site.camera, all_rocks, view)
    return render, ground, labels.draw_clean(ground), labels.find_boxes(ground)


def trace(
    camera: Camera,
    soil: np.ndarray,
    stones: rocks.Rocks,
    wobble: np.ndarray | None = None,
) -> shading.View:
    """Returns the View of rocks over ground.

    Args:
        camera: Camera.
        soil: float32 [pixels], depth at which each ray meets the ground, m.
        stones: Rocks.
        wobble: float32 [pixels] or None, see `raycast.cast`.
    """
    hits = raycast.cast(camera, stones, soil, wobble)
    embedded = np.zeros(len(soil), bool)
    hosts = np.where(hits.rock >= 0, stones.hosts[hits.rock], -1)
    pixels = np.nonzero(hosts >= 0)[0]
    if len(pixels):
        embedded[pixels] = raycast.passes(camera, stones, pixels, hosts[pixels])
    return shading.View(np.minimum(soil, hits.depth), hits.rock, embedded)


def ground_mask(camera: Camera, stones: rocks.Rocks, view: shading.View) -> np.ndarray:
    """Returns uint8 [height, width, 3], the `ground` mask of a View."""
    shape = (camera.height, camera.width)
    kind = np.full(len(view.rock), rocks.PEBBLE, np.int8)
    on_rock = view.rock >= 0
    kind[on_rock] = stones.kinds[view.rock[on_rock]]
    distance = view.depth * np.linalg.norm(camera.rays(), axis=1)
    return labels.draw_ground(
        ~np.isfinite(view.depth).reshape(shape),
        (kind == rocks.SMALL).reshape(shape),
        ((kind == rocks.LARGE) | view.large_behind).reshape(shape),
        distance.reshape(shape),
    )


def _labelled_by_width(rng, stones, view, variety, width):
    """Returns the Rocks with kinds by their width in the picture.

    Args:
        rng: numpy Generator.
        stones: Rocks.
        view: shading.View.
        variety: Variety.
        width: of the picture, px.
    """
    pixels = np.bincount(view.rock[view.rock >= 0], minlength=len(stones))
    diameter = 2 * np.sqrt(pixels / np.pi) * FRAME_WIDTH / width
    borders = [rng.uniform(*border) for border in variety.label_widths]
    kinds = np.digitize(diameter, borders).astype(np.int8)
    return dataclasses.replace(stones, kinds=kinds)


def _wobble(rng, height, width):
    """Returns float32 [pixels]: noise that roughens outlines, px."""
    row, column = np.mgrid[:height, :width].astype(np.float32)
    total = 0
    for wavelength, amount in ((7.0, 0.2), (18.0, 0.4)):
        offset, angle = rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi)
        values = noise.sample_grain(
            column.ravel() + 1e3, row.ravel() + 1e3, wavelength, offset, angle
        )
        total = total + np.float32(amount) * values[:, 2]
    return total

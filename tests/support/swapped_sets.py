"""Sets whose colours mean something else than the palette says, and how they do.

The evidence must name every meaning that it can tell from the palette's, and leave
sets alone whose colours are right.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import CLEAN, GROUND, MASKS
from lunar_tfds.lunar_rocks import (
    frame_files,
    jobs,
    label_statistics,
    palette_check,
    read_frame,
    sources,
)
from lunar_tfds.lunar_rocks.label_statistics import Statistics

RIGHT = palette_check.PALETTE
# Which colour black, red, green and blue are painted in: every other order.
ORDERS = [order for order in itertools.permutations(RIGHT) if order != RIGHT]
ROCKS_SWAPPED = (0, 1, 3, 2)


def recolour(rgb, order):
    """Returns a label image in other colours, each as bright as the one before.

    Args:
        rgb: uint8 [height, width, 3], a `ground` or `clean` mask.
        order: the colour that each of black, red, green and blue is painted in.
    """
    colored = palette.class_ids(rgb, rock_threshold=1)
    brightness = rgb.max(axis=-1)
    brightness[colored == palette.GROUND] = rgb[..., 0].max() or 255
    painted = np.array(palette.CLASS_COLORS)[np.array(order)[colored]] > 0
    return brightness[..., np.newaxis] * painted.astype(np.uint8)


def meaning_of(order, kinds, present=MASKS):
    """Returns the Meaning of what `recolour` paints in some of the kinds."""
    back = tuple(int(color) for color in np.argsort(order))
    return palette_check.Meaning(
        tuple((k, back if k in kinds else RIGHT) for k in reversed(sorted(present)))
    )


@dataclasses.dataclass(frozen=True)
class Scene:
    """A frame with its pixels and boxes."""

    frame: frame_files.Frame
    pixels: read_frame.Pixels
    boxes: list


def read(folder, step=1):
    """Returns the Scene of each render in a folder, every `step`-th pixel of it."""
    source = sources.open_source(folder)
    scenes = []
    for job in itertools.chain(*jobs.list_jobs(source).jobs.values()):
        if job.frame.is_photo:
            continue
        problems: list[str] = []
        files = read_frame.load(source, job.frame, problems)
        pixels = read_frame.decode(files, job.frame, problems)
        assert not problems, problems
        masks = {kind: rgb[::step, ::step] for kind, rgb in pixels.masks.items()}
        pixels = read_frame.Pixels(b"", pixels.top[:, ::step], masks)
        boxes = [tuple(edge / step for edge in box) for box in job.boxes]
        scenes.append(Scene(job.frame, pixels, boxes))
    return scenes


def look(scenes, change=lambda masks: masks, *, boxes=True):
    """Returns the Statistics of scenes whose masks are changed, by a build's own steps.

    Args:
        scenes: as `read` returns them.
        change: from and to the masks by kind.
        boxes: whether the boxes are known.
    """
    total = Statistics()
    for scene in scenes:
        masks = change(scene.pixels.masks)
        problems: list[str] = []
        total.add(label_statistics.of_colors(scene.frame, masks, problems))
        if not problems:
            ids = {kind: palette.class_ids(rgb) for kind, rgb in masks.items()}
            known = scene.boxes if boxes else []
            total.add(label_statistics.of_render(ids, scene.pixels.top, known))
    return total


def repaint(order, kinds, present=MASKS):
    """Returns a change of the masks of some kinds, of those present, into others."""
    return lambda masks: {
        kind: recolour(masks[kind], order) if kind in kinds else masks[kind]
        for kind in present
    }


def exchange(masks):
    """Returns the masks in each other's place."""
    return {GROUND: masks[CLEAN], CLEAN: masks[GROUND]}


def only(kind):
    """Returns a change that leaves one kind of mask."""
    return lambda masks: {kind: masks[kind]}


PLACES = ((GROUND,), (CLEAN,), MASKS)


def failures(scenes):
    """Returns what the evidence says wrong of a set, and of each swap of it.

    Args:
        scenes: of a rightly coloured set with both masks and boxes. A swap of fewer
            than 20 must be named as well, and stop nothing.
    """
    wrong = []
    for name, change, boxes in (
        ("as it is", lambda masks: masks, True),
        ("without boxes", lambda masks: masks, False),
        ("ground alone", only(GROUND), True),
        ("clean alone", only(CLEAN), True),
    ):
        found = palette_check.compare(look(scenes, change, boxes=boxes))
        if found.better:
            wrong.append(f"{name}: called {found.better}")
    swaps = [(kinds, MASKS, order) for kinds in PLACES for order in ORDERS]
    swaps += [((kind,), (kind,), order) for kind in MASKS for order in ORDERS]
    for kinds, present, order in swaps:
        meant = meaning_of(order, kinds, present)
        found = palette_check.compare(look(scenes, repaint(order, kinds, present)))
        if found.better != meant or found.stops != _enough(scenes):
            wrong.append(f"{meant} of {present}: called {found.better}")
    found = palette_check.compare(look(scenes, exchange))
    if not (found.better and found.better.exchanged and found.stops == _enough(scenes)):
        wrong.append(f"exchanged folders: called {found.better}")
    return wrong


def _enough(scenes):
    return len(scenes) >= palette_check.MIN_FRAMES


def drawn(folder, seed, num_scenes):
    """Returns the scenes of a seed, drawn into a folder unless they are there."""
    from lunar_tfds.synthetic import writer

    folder = pathlib.Path(folder) / f"s{seed}"
    writer.write_scenes(folder, num_scenes, seed, progress=False)
    assert (folder / kaggle_layout.BOXES_FILE).exists()
    return read(folder)

"""Draws a few frames in the Kaggle layout in milliseconds, for tests."""

import pathlib

import numpy as np
from PIL import Image

from lunar_tfds import kaggle_layout
from lunar_tfds.kaggle_layout import FRAME_HEIGHT as HEIGHT
from lunar_tfds.kaggle_layout import FRAME_WIDTH as WIDTH


def draw_frame(rng, *, sky=True, num_small=6, num_large=2):
    """Returns (render, ground, clean, boxes) of one frame.

    Returns:
        render, ground, clean: uint8 [480, 720, 3]; ground holds faded colours
        (sky 226, rocks 40 to 255) and green-blue overlaps, clean exact primaries.
        boxes: list of (x, y, length, height) in the CSV's half-pixel convention.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    horizon = rng.integers(90, 200) if sky else 0
    render = np.full((HEIGHT, WIDTH), 110, np.uint8)
    render += (
        (rng.integers(0, 12, (HEIGHT // 8, WIDTH // 8), np.uint8))
        .repeat(8, 0)
        .repeat(8, 1)
    )
    ground = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    clean = np.zeros_like(ground)
    render[:horizon] = 0
    ground[:horizon, :, 0] = 226
    clean[:horizon, :, 0] = 255
    boxes = []
    for channel, count, low, high in ((1, num_small, 6, 14), (2, num_large, 24, 60)):
        for _ in range(count):
            radius = int(rng.integers(low, high))
            cy = int(rng.integers(horizon + radius, HEIGHT - radius))
            cx = int(rng.integers(radius, WIDTH - radius))
            disk = (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
            intensity = (
                int(rng.integers(160, 256))
                if channel == 2
                else int(rng.integers(40, 256))
            )
            render[disk] = 200 if channel == 2 else 60
            ground[..., channel][disk] = intensity
            if intensity >= 100:
                clean[disk] = 0
                clean[..., channel][disk] = 255
            if channel == 2:
                boxes.append(
                    (
                        cx - radius + 0.5,
                        cy - radius + 0.5,
                        2 * radius + 1,
                        2 * radius + 1,
                    )
                )
    # In clean, as in ground, large rock wins wherever both lie.
    clean[clean[..., 2] > 0] = (0, 0, 255)
    return np.repeat(render[..., None], 3, axis=2), ground, clean, boxes


def write_kaggle_folder(folder, *, num_frames=12, num_photos=2, first_id=1, seed=0):
    """Writes `num_frames` frames and `num_photos` photos as Kaggle lays them out.

    Returns:
        The folder, a pathlib.Path holding images/{render,ground,clean},
        real_moon_images and bounding_boxes.csv.
    """
    folder = pathlib.Path(folder)
    rng = np.random.default_rng(seed)
    rows = [",".join(kaggle_layout.BOXES_HEADER)]
    for name in kaggle_layout.FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for frame in range(first_id, first_id + num_frames):
        *images, boxes = draw_frame(rng, sky=frame % 4 != 0)
        for kind, pixels in zip(kaggle_layout.KINDS, images, strict=True):
            name = kaggle_layout.frame_file(kind, kaggle_layout.frame_id(frame))
            Image.fromarray(pixels).save(folder / name, compress_level=1)
        rows += [f"{frame},{x},{y},{w},{h}" for x, y, w, h in boxes]
    (folder / kaggle_layout.BOXES_FILE).write_text("\n".join(rows) + "\n")
    for number in range(1, num_photos + 1):
        render, _, clean, _ = draw_frame(rng)
        # As in the TCAM photos, the second photo is larger than its mask.
        size = (900, 600) if number == 2 else kaggle_layout.FRAME_SIZE
        photo, mask = (
            folder / name(f"PCAM{number}")
            for name in (kaggle_layout.photo_file, kaggle_layout.photo_mask_file)
        )
        Image.fromarray(render).resize(size).save(photo, compress_level=1)
        Image.fromarray(clean).save(mask)
    return folder

"""Folders, file names and sizes of the dataset, as Kaggle has them.

    images/render/render0001.png    the picture
    images/ground/ground0001.png    its raw label colours
    images/clean/clean0001.png      its labels as the author cleaned them
    real_moon_images/PCAM5.png      a photo of the Moon
    real_moon_images/g_PCAM5.png    its labels
    bounding_boxes.csv              boxes of large rocks
    shadow_IDs.txt                  one of the author's lists of defective frames

All names are relative to the dataset's root, with `/` between their parts. Colours are
in `palette`.
"""

import posixpath
import re
from collections.abc import Iterable

# The pictures of a frame.
KINDS = RENDER, GROUND, CLEAN = ("render", "ground", "clean")
MASKS = (GROUND, CLEAN)  # The kinds that are label images.
IMAGES = "images"  # The folder of the kinds.
PHOTOS = "real_moon_images"
# Where pictures are.
FOLDERS = (*(f"{IMAGES}/{kind}" for kind in KINDS), PHOTOS)
# Of every render and its masks, px; photos have any size.
FRAME_SIZE = FRAME_WIDTH, FRAME_HEIGHT = 720, 480

BOXES_FILE = "bounding_boxes.csv"
BOXES_HEADER = ("Frame", "TopLeftCornerX", "TopLeftCornerY", "Length", "Height")
# MATLAB counts pixel centres from 1, so a box that begins with the first column or row
# has its edge here, px.
BOXES_ORIGIN = 0.5
# The defects that have a list, in newer versions of the dataset only.
DEFECTS = ("mismatch", "cam_anomaly", "shadow", "ground_facing", "top200_largerocks")

# Kinds of the photos' files, beside the KINDS.
PHOTO, PHOTO_MASK = "photo", "photo mask"
# JPEG blurs colours, which pictures survive and labels do not.
_FRAME = re.compile(
    rf"{IMAGES}/(?:({'|'.join(MASKS)})/\1(\d{{1,9}})\.png"
    rf"|{RENDER}/{RENDER}(\d{{1,9}})\.(?:png|jpe?g))",
    re.I,
)
# Names with a dot in front are hidden files, such as macOS's "._PCAM5.png".
_PHOTO = re.compile(
    rf"{PHOTOS}/(?:g_([^/.][^/]*)\.png|(?!g_[^/.])([^/.][^/]*)\.(?:png|jpe?g))", re.I
)
_PICTURE = re.compile(r".*\.(?:png|jpe?g)", re.I)
_JPEG = re.compile(r".*\.jpe?g", re.I)
_TEXT = re.compile(rf"{re.escape(BOXES_FILE)}|[^.].*_IDs\.txt")


def frame_id(number: int) -> str:
    """Return the id of a frame, '0001' of frame 1."""
    return str(number).zfill(4)


def mask_name(kind: str) -> str:
    """Return the name of one of the MASKS in an example, 'ground_mask'."""
    return f"{kind}_mask"


def frame_file(kind: str, frame_id: str) -> str:
    """Return the name of a frame's file of one of the KINDS."""
    return f"{IMAGES}/{kind}/{kind}{frame_id}.png"


def photo_file(stem: str) -> str:
    """Return the name of a photo, of 'PCAM5'."""
    return f"{PHOTOS}/{stem}.png"


def photo_mask_file(stem: str) -> str:
    """Return the name of a photo's labels, of 'PCAM5'."""
    return f"{PHOTOS}/g_{stem}.png"


def photo_id(stem: str) -> str:
    """Return the id of a photo, 'PCAM5', and 'photo_0001' where '0001' is a render."""
    return f"{PHOTO}_{stem}" if stem.isdecimal() else stem


def defects_file(defect: str) -> str:
    """Return the name of the list of one of the DEFECTS."""
    return f"{defect}_IDs.txt"


def parse(name: str) -> tuple[str, str] | None:
    """Return (kind, id) of a picture's name, or None for any other name.

    Capitals, and leading zeros of a number, do not count.

    Returns:
        One of KINDS and '0001', or PHOTO or PHOTO_MASK and 'PCAM5'.
    """
    if match := _FRAME.fullmatch(name):
        kind = match[1].lower() if match[1] else RENDER
        return kind, frame_id(int(match[2] or match[3]))
    if match := _PHOTO.fullmatch(name):
        return (PHOTO_MASK if match[1] else PHOTO), photo_id(match[1] or match[2])
    return None


def kinds_among(names: Iterable[str]) -> set[str]:
    """Return the kinds of the pictures among files: as `parse` calls them."""
    return {parsed[0] for name in names if (parsed := parse(name))}


def masks_among(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the MASKS that these files belong to.

    Without masks of renders all of them: the one mask of a photo stands for each.
    """
    kinds = kinds_among(names)
    return tuple(kind for kind in MASKS if kind in kinds) or MASKS


def is_folder(name: str) -> bool:
    """Return whether a folder of this name is part of the layout, in any capitals."""
    return name.lower() in (IMAGES, *KINDS, PHOTOS)


def is_picture(name: str) -> bool:
    """Return whether a file of this name may be a picture of the dataset."""
    return bool(_PICTURE.fullmatch(name))


def is_jpeg(name: str) -> bool:
    """Return whether a file of this name is a JPEG."""
    return bool(_JPEG.fullmatch(name))


def is_dataset_file(name: str) -> bool:
    """Return whether a file of this name takes part in the dataset."""
    folder, base = posixpath.split(name)
    if folder in FOLDERS:
        return parse(name) is not None
    return not folder and bool(_TEXT.fullmatch(base))

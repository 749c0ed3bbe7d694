"""How people's copies of the dataset are laid out, be it in a folder or in a zip."""

import enum
import posixpath
from collections.abc import Callable, Iterable

from lunar_tfds.kaggle_layout import CLEAN, GROUND, IMAGES, PHOTOS, RENDER

# What people call the parts of a copy that they have split anew.
SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}
SPLIT_ANEW = (
    "the frames are split anew. A build splits them itself: put all files of a kind "
    "into one folder, images/render, images/ground and images/clean."
)


class Layout(enum.Enum):
    """Where a copy has the folders of pictures."""

    KAGGLE = "images/render"
    FLAT = "render, beside ground or clean"
    PHOTOS_ALONE = "real_moon_images"


def layout_of(has_folder: Callable[[str], bool]) -> Layout | None:
    """Returns the layout of a copy, or None where there is none.

    Args:
        has_folder: says whether there is a folder of a name, relative to the copy's
            root.
    """
    if has_folder(f"{IMAGES}/{RENDER}"):
        return Layout.KAGGLE
    if has_folder(RENDER) and (has_folder(GROUND) or has_folder(CLEAN)):
        return Layout.FLAT
    return Layout.PHOTOS_ALONE if has_folder(PHOTOS) else None


def place(name: str, layout: Layout) -> str:
    """Returns where a file or folder of the Kaggle layout lies in another one."""
    return name.removeprefix(f"{IMAGES}/") if layout is Layout.FLAT else name


def kaggle_name(place: str, layout: Layout) -> str:
    """Returns the name in the Kaggle layout of what lies at a place in another one."""
    inside = place.partition("/")[0] in (RENDER, GROUND, CLEAN)
    return f"{IMAGES}/{place}" if layout is Layout.FLAT and inside else place


def in_small_letters(name: str) -> str:
    """Returns `images/render/x` of `Images/RENDER/x`: the name of a file in a copy."""
    *folders, file = name.split("/")
    known = (IMAGES, RENDER, GROUND, CLEAN, PHOTOS)
    small = [part.lower() if part.lower() in known else part for part in folders]
    return "/".join([*small, file])


def are_splits(roots: Iterable[str]) -> bool:
    """Returns whether folders are called as the parts of a copy split anew."""
    names = {posixpath.basename(root.rstrip("/")).lower() for root in roots}
    return names <= SPLIT_FOLDERS

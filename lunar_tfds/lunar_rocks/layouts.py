"""How people's copies of the dataset are laid out: functions of lists of names.

Names are relative to a folder or a zip, with `/` between the parts; those of folders
end with `/`. Capital letters of the dataset's own folders do not count.
"""

import collections
import enum
import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

from lunar_tfds import kaggle_layout
from lunar_tfds.kaggle_layout import CLEAN, GROUND, IMAGES, PHOTOS, RENDER, is_picture

# Names for the parts of a copy that was split anew.
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


class Root(NamedTuple):
    """Where a copy lies: '' or 'a/b/', and how it is laid out."""

    path: str
    layout: Layout

    @property
    def depth(self) -> int:
        """How many folders deep it lies."""
        return self.path.count("/")


def find_roots(names: Iterable[str]) -> list[Root]:
    """Return the roots of all copies, in order of their paths."""
    folders = set(_folders(names))
    roots = {}
    for folder in folders:
        above, _, last = folder[:-1].rpartition("/")
        above = f"{above}/" if above else ""
        if last == RENDER:
            if f"/{above}".endswith(f"/{IMAGES}/"):
                root = above.removesuffix(f"{IMAGES}/")
                roots[root] = Root(root, Layout.KAGGLE)
            elif {f"{above}{GROUND}/", f"{above}{CLEAN}/"} & folders:
                roots.setdefault(above, Root(above, Layout.FLAT))
    for folder in folders:
        above, _, last = folder[:-1].rpartition("/")
        if last == PHOTOS and posixpath.basename(above) != PHOTOS:
            above = f"{above}/" if above else ""
            roots.setdefault(above, Root(above, Layout.PHOTOS_ALONE))
    return [roots[path] for path in sorted(roots)]


def _folders(names: Iterable[str]) -> dict[str, str]:
    """Return the folders by name in small letters, 'a/images/' of 'a/Images/'."""
    found: dict[str, str] = {}
    for folder in {name.rpartition("/")[0] for name in names}:
        while folder:
            small = "/".join(map(_small, folder.split("/"))) + "/"
            same = f"{folder}/"
            # Several may differ in capitals only: the one in small letters counts.
            found[small] = small if small == same else min(found.get(small, same), same)
            folder = folder.rpartition("/")[0]
    return found


def _small(part: str) -> str:
    return part.lower() if kaggle_layout.is_folder(part) else part


def dataset_files(names: Iterable[str], root: Root) -> dict[str, str]:
    """Return the names of a copy's files by their names in the Kaggle layout.

    Raises:
        ValueError: a name is there twice.
    """
    names = list(names)
    folders = {"": ""} | _folders(names)
    files: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        folder, _, file = name.rpartition("/")
        if file:
            files[f"{folder}/" if folder else ""].append(file)
    found: dict[str, str] = {}
    for kaggle_folder in ("", *kaggle_layout.FOLDERS):
        place = f"{kaggle_folder}/" if kaggle_folder else ""
        if root.layout is Layout.FLAT:
            place = place.removeprefix(f"{IMAGES}/")
        place = _innermost(f"{root.path}{place}", folders, files)
        actual = folders.get(place, place)
        for file in files[actual]:
            name = posixpath.join(kaggle_folder, file)
            if kaggle_layout.is_dataset_file(name):
                if name in found:
                    raise ValueError(f"it holds {found[name]} twice.")
                found[name] = f"{actual}{file}"
    return found


def _innermost(
    folder: str, folders: dict[str, str], files: dict[str, list[str]]
) -> str:
    """Return `render/render/` of `render/` without pictures, as of unzipping twice."""
    inner = f"{folder}{posixpath.basename(folder[:-1])}/"
    if inner in folders and not any(map(is_picture, files[folders[folder]])):
        return _innermost(inner, folders, files)
    return folder


def are_splits(roots: Iterable[str]) -> bool:
    """Return whether folders are named like the parts of a copy split anew."""
    names = {posixpath.basename(root.rstrip("/")).lower() for root in roots}
    return names <= SPLIT_FOLDERS


_CONVERTED = {
    ".npy": "arrays",
    ".npz": "arrays",
    ".h5": "arrays",
    ".hdf5": "arrays",
    ".parquet": "tables",
    ".arrow": "tables",
    ".tfrecord": "records",
    ".pt": "tensors",
    ".pkl": "pickles",
}
_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".xz", ".bz2")
_MASK_NAME = re.compile(r".*[_-](?:mask|label|gt|seg)s?\.(?:png|jpe?g|bmp|tiff?)", re.I)
_MASK_FILE = re.compile(rf"(?:.*/)?({GROUND}|{CLEAN})/\1\d+\.(?:png|jpe?g)", re.I)
_CHANGED = (
    "the frames' own colours, sizes or numbers are not in them, so neither labels nor "
    "boxes could be checked"
)


def explain(names: list[str]) -> str:
    """Return, as part of a line, why files that hold no copy cannot be used."""
    if not names:
        return "it is empty"
    suffixes = collections.Counter(
        posixpath.splitext(name)[1].lower() for name in names if not name.endswith("/")
    )
    parts = {part.lower() for name in names for part in name.split("/")[:-1]}
    reason = (
        _built(names)
        or jpeg_labels(names)
        or _half(parts)
        or _converted(suffixes, names)
        or _split_anew(parts)
        or _packed(suffixes, names)
        or _photos(names, parts)
    )
    if reason:
        return reason
    if pictures := sum(map(is_picture, names)):
        return f"{pictures} pictures, none of them in folders called as Kaggle has them"
    first = ", ".join(sorted({name.split("/")[0] for name in names})[:5])
    return f"it holds {first}, and no picture"


def _built(names: list[str]) -> str:
    if any(posixpath.basename(name) == "dataset_info.json" for name in names):
        return "it is a built dataset: give the folder of lunar_rocks as --data_dir"
    return ""


def jpeg_labels(names: list[str]) -> str:
    """Return what to say of labels that are all JPEG files, or ''."""
    found = [name for name in names if _MASK_FILE.fullmatch(name)]
    if not found or any(name.lower().endswith(".png") for name in found):
        return ""
    return f"{found[0]} is a JPEG, which blurs labels: masks must be PNG files"


def _half(parts: set[str]) -> str:
    masks = sorted(parts & {GROUND, CLEAN})
    if RENDER in parts and not masks:
        return f"a folder {RENDER}, but neither {GROUND} nor {CLEAN} with its labels"
    if masks and RENDER not in parts:
        return f"a folder {masks[0]}, but no {RENDER} with the pictures of its labels"
    return ""


def _converted(suffixes: collections.Counter, names: list[str]) -> str:
    for suffix, what in _CONVERTED.items():
        if count := suffixes[suffix]:
            return f"{count} {suffix} files, {what} made from the frames: {_CHANGED}"
    named = [name for name in names if _MASK_NAME.fullmatch(name)]
    if named:
        example = posixpath.basename(named[0])
        return f"{len(named)} pictures such as {example}, a converted copy: {_CHANGED}"
    return ""


def _split_anew(parts: set[str]) -> str:
    splits = sorted(parts & SPLIT_FOLDERS)
    if not splits:
        return ""
    return (
        f"the frames split anew into {', '.join(splits)}: which frame is which cannot "
        "be told"
    )


def _packed(suffixes: collections.Counter, names: list[str]) -> str:
    zips = [name for name in names if name.lower().endswith(".zip")]
    if zips:
        return (
            f"{', '.join(zips[:3])}, which hold no pictures with their labels: unpack "
            "them into one folder"
        )
    for suffix in _ARCHIVES:
        if suffixes[suffix]:
            return f"a {suffix} archive, which is not read in place: unpack it first"
    return ""


def _photos(names: list[str], parts: set[str]) -> str:
    if PHOTOS in parts:
        return f"photos in {PHOTOS} without their labels, a g_NAME.png for NAME.png"
    if any(
        posixpath.basename(name).startswith("g_") and is_picture(name) for name in names
    ):
        return f"photos with g_ masks: put them into a folder called {PHOTOS} in it"
    return ""

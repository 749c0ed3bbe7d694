"""What a folder holds that is no copy of the dataset, in words for its owner."""

import collections
import os
import posixpath
import re

from etils import epath

from lunar_tfds.kaggle_layout import CLEAN, GROUND, PHOTOS, RENDER, is_picture
from lunar_tfds.lunar_rocks.layouts import SPLIT_FOLDERS

# How deep, and how many files and folders, are looked at.
_DEPTH, _MAX_ENTRIES = 6, 50_000
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


def explain(folder: str | os.PathLike) -> str:
    """Returns what was found in a folder and why it cannot be used: part of a line.

    Args:
        folder: is there, and `search.copies` finds none in it. Only the names of its
            files are looked at, and those of a remote folder only at its top.
    """
    names = _names(folder)
    if not names:
        return "it is empty"
    suffixes = collections.Counter(
        posixpath.splitext(name)[1].lower() for name in names if not name.endswith("/")
    )
    parts = {part.lower() for name in names for part in name.split("/")[:-1]}
    for reason in (
        _built(names),
        jpeg_labels(folder),
        _half(parts),
        _converted(suffixes, names),
        _resplit(parts),
        _packed(suffixes, names),
        _photos(names, parts),
    ):
        if reason:
            return reason
    pictures = sum(is_picture(name) for name in names)
    if pictures:
        return f"{pictures} pictures, none of them in folders called as Kaggle has them"
    first = ", ".join(sorted({name.split("/")[0] for name in names})[:5])
    return f"it holds {first}, and no picture"


def _names(folder: str | os.PathLike) -> list[str]:
    """Returns names of files, and of folders with a slash, relative to a folder."""
    top = os.fspath(folder)
    if not os.path.isdir(top):
        return [path.name + "/" * path.is_dir() for path in epath.Path(top).iterdir()]
    names: list[str] = []
    for path, folders, files in os.walk(top):
        inside = os.path.relpath(path, top).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names += [f"{prefix}{name}" for name in files if not name.startswith(".")]
        names += [f"{prefix}{name}/" for name in folders]
        if prefix.count("/") >= _DEPTH or len(names) > _MAX_ENTRIES:
            folders.clear()
    return names


def _built(names: list[str]) -> str | None:
    for name in names:
        if posixpath.basename(name) == "dataset_info.json":
            return "it is a built dataset: give the folder of lunar_rocks as --data_dir"
    return None


def jpeg_labels(folder: str | os.PathLike) -> str | None:
    """Returns what to say of labels that are all JPEG files, or None without such."""
    found = [name for name in _names(folder) if _MASK_FILE.fullmatch(name)]
    if not found or any(name.lower().endswith(".png") for name in found):
        return None
    return f"{found[0]} is a JPEG, which blurs labels: masks must be PNG files"


def _half(parts: set[str]) -> str | None:
    masks = sorted(parts & {GROUND, CLEAN})
    if RENDER in parts and not masks:
        return f"a folder {RENDER}, but neither {GROUND} nor {CLEAN} with its labels"
    if masks and RENDER not in parts:
        return f"a folder {masks[0]}, but no {RENDER} with the pictures of its labels"
    return None


def _converted(suffixes: collections.Counter, names: list[str]) -> str | None:
    for suffix, what in _CONVERTED.items():
        if count := suffixes[suffix]:
            return f"{count} {suffix} files, {what} made from the frames: {_CHANGED}"
    named = [name for name in names if _MASK_NAME.fullmatch(name)]
    if named:
        example = posixpath.basename(named[0])
        return f"{len(named)} pictures such as {example}, a converted copy: {_CHANGED}"
    return None


def _resplit(parts: set[str]) -> str | None:
    splits = sorted(parts & SPLIT_FOLDERS)
    if not splits:
        return None
    return (
        f"the frames split anew into {', '.join(splits)}: which frame is which cannot "
        "be told"
    )


def _packed(suffixes: collections.Counter, names: list[str]) -> str | None:
    zips = [name for name in names if name.lower().endswith(".zip")]
    if zips:
        return (
            f"{', '.join(zips[:3])}, which hold no pictures with their labels: unpack "
            "them into one folder"
        )
    for suffix in _ARCHIVES:
        if suffixes[suffix]:
            return f"a {suffix} archive, which is not read in place: unpack it first"
    return None


def _photos(names: list[str], parts: set[str]) -> str | None:
    if PHOTOS in parts:
        return f"photos in {PHOTOS} without their labels, a g_NAME.png for NAME.png"
    if not any(
        posixpath.basename(name).startswith("g_") and is_picture(name) for name in names
    ):
        return None
    return f"photos with g_ masks: put them into a folder called {PHOTOS} in it"

"""Finds the copies of the dataset in and below a folder."""

import os
from collections.abc import Iterator, Sequence

from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks.folder_source import FolderSource, folder_layout
from lunar_tfds.lunar_rocks.layouts import Layout
from lunar_tfds.lunar_rocks.zip_source import MAC_FOLDER, UnreadableZipError, ZipSource

# What a browser and Kaggle's command line call the download.
ZIP_NAMES = ("archive.zip", "artificial-lunar-rocky-landscape-dataset.zip")
# How many folders deeper a copy may lie: five in kagglehub's cache, as in
# datasets/OWNER/NAME/versions/2, and some copies nest everything one deeper.
MAX_DEPTH = 6
# A search through a whole disk ends here.
MAX_FOLDERS = 2000
# What kagglehub calls the folder that has one for each version.
_VERSIONS = "versions"


def copies(folder: epath.Path) -> Sequence[FolderSource | ZipSource]:
    """Returns the copies that lie nearest to a folder; several are all as near.

    Extracted renders come first, in the folder or one deeper; then zips in the folder,
    under one of Kaggle's names before any other; then the same one level deeper, and so
    on; then photos alone. Zips that cannot be read are left alone, but under Kaggle's
    names: the folder may hold other datasets' files.

    Args:
        folder: is there.

    Raises:
        ValueError: an unreadable zip.
    """
    levels: list[list[epath.Path]] = []
    for level in _levels(_around(folder)):
        if found := _extracted(level, photos=False):
            return found
        if levels and (zips := _zipped(levels[-1])):
            return zips
        levels.append(level)
    if zips := _zipped(levels[-1]):
        return zips
    by_level = (_extracted(level, photos=True) for level in levels)
    return next((found for found in by_level if found), [])


def _around(folder: epath.Path) -> epath.Path:
    """Returns the root of the copy whose own folder of pictures this is, or itself."""
    if folder_layout(folder) is Layout.KAGGLE:
        return folder
    root = folder
    while root.name.lower() in (*kaggle_layout.KINDS, kaggle_layout.PHOTOS):
        root = root.parent
    if root.name.lower() == kaggle_layout.IMAGES:
        root = root.parent
    return root if folder_layout(root) else folder


def _levels(folder: epath.Path) -> Iterator[list[epath.Path]]:
    """Yields the folders by their depth below one: first the folder itself."""
    level, seen = [folder], set[str]()
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        # By another name, a link, a folder is no other copy.
        real = {os.path.realpath(path): path for path in reversed(level)}
        level = [path for name, path in reversed(real.items()) if name not in seen]
        seen |= real.keys()
        yield level
        if len(seen) > MAX_FOLDERS:
            logging.warning(
                "Looked into %d folders below %s, not deeper.", len(seen), folder
            )
            return
        level = [child for path in level for child in _subfolders(path)]


def _subfolders(folder: epath.Path) -> list[epath.Path]:
    """Returns the folders in one that can be read, in order of their names."""
    try:
        if os.path.isdir(folder):  # Local: asks nothing of each file, as epath does.
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir()]
        else:
            names = [
                path.name
                for path in folder.iterdir()
                if not kaggle_layout.is_picture(path.name) and path.is_dir()
            ]
    except OSError as error:
        logging.warning("Not searched: %s: %s", folder, error)
        return []
    return [
        folder / name
        for name in sorted(names)
        if name != MAC_FOLDER and not name.startswith(".")
    ]


def _extracted(level: list[epath.Path], *, photos: bool) -> list[FolderSource]:
    """Returns the copies among folders: those of photos alone, or all others."""
    found = []
    for folder in level:
        layout = folder_layout(folder)
        if layout and (layout is Layout.PHOTOS_ALONE) == photos:
            source = FolderSource(folder)
            # Folders of those names may be anything; `images/render` is the dataset.
            if layout is Layout.KAGGLE or source.sizes:
                found.append((folder, source))
    return [source for _, source in _newest(found)]


def _newest(
    found: list[tuple[epath.Path, FolderSource]],
) -> list[tuple[epath.Path, FolderSource]]:
    """Returns the copies, but only the newest of kagglehub's versions of it."""
    folders = [folder for folder, _ in found]
    are_versions = all(f.name.isdigit() and f.parent.name == _VERSIONS for f in folders)
    if len(found) < 2 or not are_versions or len({f.parent for f in folders}) > 1:
        return found
    newest = max(found, key=lambda pair: int(pair[0].name))
    logging.info(
        "Of the versions %s in %s the newest is taken, %s.",
        ", ".join(sorted((folder.name for folder in folders), key=int)),
        newest[0].parent,
        newest[0].name,
    )
    return [newest]


def _zipped(level: list[epath.Path]) -> list[ZipSource]:
    zips = [path for folder in level for path in _files(folder, ".zip")]
    named = [path for path in zips if path.name in ZIP_NAMES]
    if named:
        sources = [ZipSource(path) for path in named]
    else:
        sources = [source for path in zips if (source := _other_zip(path))]
    return [source for source in sources if source.sizes]


def _files(folder: epath.Path, suffix: str) -> list[epath.Path]:
    try:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else None
        paths = [folder / n for n in names] if names else sorted(folder.iterdir())
    except OSError:  # `_subfolders` has told of it.
        return []
    return [path for path in paths if path.name.lower().endswith(suffix)]


def _other_zip(path: epath.Path) -> ZipSource | None:
    try:
        return ZipSource(path)
    except UnreadableZipError as error:
        logging.warning("Leaving a file alone: %s", error)
        return None

"""An extracted copy of the dataset."""

import contextlib
import os
import posixpath
from collections.abc import Iterator

from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks.layouts import Layout, layout_of, place


class FolderSource:
    """An extracted copy of the dataset.

    Attributes:
        description: what and where it is, for messages.
        sizes: dict of file name in the Kaggle layout to size in bytes.
        masks: those of `kaggle_layout.MASKS` that its frames have.
    """

    def __init__(self, root: str | os.PathLike):
        top = epath.Path(root)
        layout = folder_layout(top) or Layout.KAGGLE
        self.description = f"folder {root}"
        # The place of each folder of the Kaggle layout that is there.
        self._folders = {"": top}
        for name in kaggle_layout.FOLDERS:
            if folder := _folder(top, place(name, layout)):
                self._folders[name] = _inner(folder)
                if self._folders[name] != top / place(name, layout):
                    logging.info("Taken as %s: %s.", name, self._folders[name])
        self.sizes = {}
        for folder, found in self._folders.items():
            for file, size in _list(found):
                name = posixpath.join(folder, file)
                if kaggle_layout.is_dataset_file(name):
                    self.sizes[name] = size
        self.masks = kaggle_layout.masks_among(self.sizes)

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file."""
        folder, file = posixpath.split(name)
        return (self._folders[folder] / file).read_bytes()


def folder_layout(folder: epath.Path) -> Layout | None:
    """Returns the layout of the copy whose root a folder is, or None."""
    return layout_of(lambda name: _folder(folder, name) is not None)


def _folder(top: epath.Path, name: str) -> epath.Path | None:
    """Returns a folder below one; on a local disk in capital letters, too."""
    for part in name.split("/"):
        if not (top / part).is_dir():
            alike = _alike(top, part)
            if alike is None:
                return None
            part = alike
        top /= part
    return top


def _alike(folder: epath.Path, name: str) -> str | None:
    """Returns the name of a folder in a local one that differs in its capitals."""
    if not os.path.isdir(folder):
        return None
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        found = [e.name for e in entries if e.name.lower() == name and e.is_dir()]
        return min(found, default=None)
    return None


def _inner(folder: epath.Path) -> epath.Path:
    """Returns `render/render` of `render` without pictures, as of unzipping twice."""
    inner = _folder(folder, folder.name.lower())
    if inner and not any(kaggle_layout.is_picture(name) for name, _ in _list(folder)):
        return _inner(inner)
    return folder


def _list(folder: epath.Path) -> Iterator[tuple[str, int]]:
    """Yields the (name, bytes) of each file in a folder that may be missing."""
    if os.path.isdir(folder):  # Local; epath looks the owner of each file up as well.
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    yield entry.name, entry.stat().st_size
    elif folder.is_dir():
        for path in folder.iterdir():
            if not path.is_dir():
                yield path.name, path.stat().length

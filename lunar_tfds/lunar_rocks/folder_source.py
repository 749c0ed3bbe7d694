"""An extracted copy of the dataset."""

import os
import posixpath
from collections.abc import Iterator

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
        self._root = epath.Path(root)
        self._layout = folder_layout(self._root) or Layout.KAGGLE
        self.description = f"folder {root}"
        self.sizes = {}
        for folder in ("", *kaggle_layout.FOLDERS):
            for file, size in _list(self._root / place(folder, self._layout)):
                name = posixpath.join(folder, file)
                if kaggle_layout.is_dataset_file(name):
                    self.sizes[name] = size
        self.masks = kaggle_layout.masks_among(self.sizes)

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file."""
        return (self._root / place(name, self._layout)).read_bytes()


def folder_layout(folder: epath.Path) -> Layout | None:
    """Returns the layout of the copy whose root a folder is, or None."""
    return layout_of(lambda name: (folder / name).is_dir())


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

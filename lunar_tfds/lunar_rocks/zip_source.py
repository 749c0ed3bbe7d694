"""The zip as Kaggle gives it, or any zip of a copy of the dataset."""

import functools
import os
import posixpath
import zipfile
import zlib

from etils import epath

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks.layouts import (
    SPLIT_ANEW,
    Layout,
    are_splits,
    in_small_letters,
    kaggle_name,
    layout_of,
)

# The largest real file has 3 MB; a member of a zip that claims more is a bomb.
MAX_MEMBER_BYTES = 64 << 20
# Unpacked piece by piece, so that a member can be no larger than it claims.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What macOS adds to the zips that it makes.
MAC_FOLDER = "__MACOSX"
_IN_IMAGES = f"/{kaggle_layout.IMAGES}/"


class UnreadableZipError(ValueError):
    """A file that is not a complete zip."""


class ZipSource:
    """The zip as Kaggle gives it, read in place: nothing is ever extracted.

    Members are looked up by the names of the layout, so a member called
    `../../etc/passwd` is just not part of the dataset. Threads may share it.

    Attributes:
        description: what and where it is, for messages.
        sizes: dict of file name in the Kaggle layout to size in bytes; empty when the
            zip holds no dataset.
        masks: those of `kaggle_layout.MASKS` that its frames have.

    Raises:
        UnreadableZipError: not a complete zip.
        ValueError: two datasets, or twice a name.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = epath.Path(path)
        self.description = f"zip {path}"
        try:
            self._zip = zipfile.ZipFile(self._path.open("rb"))
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            NotImplementedError,  # Of a later version of the format.
        ) as error:
            raise UnreadableZipError(
                f"{path} is not a complete zip file ({error}). Download it again."
            ) from error
        members = [
            (in_small_letters(info.filename), info)
            for info in self._zip.infolist()
            if _is_file(info)
        ]
        root, layout = self._find_root([name for name, _ in members])
        self._infos: dict[str, zipfile.ZipInfo] = {}
        if layout:
            self._take(members, root, layout)
        self.sizes = {name: info.file_size for name, info in self._infos.items()}
        self.masks = kaggle_layout.masks_among(self.sizes)

    def _find_root(self, names: list[str]) -> tuple[str, Layout | None]:
        """Returns the dataset's root and layout, ('a/', KAGGLE), or ('', None)."""
        folders = {
            posixpath.dirname(name) for name in names if kaggle_layout.is_picture(name)
        }
        frames, photos = [], []
        for root in sorted({root for folder in folders for root in _above(folder)}):
            layout = layout_of(functools.partial(_has_folder, folders, root))
            if layout is Layout.PHOTOS_ALONE:
                photos.append((root, layout))
            # The folder of images of a dataset is not another one.
            elif layout and not (
                layout is Layout.FLAT and f"/{root}".endswith(_IN_IMAGES)
            ):
                frames.append((root, layout))
        found = frames or photos
        if len(found) > 1:
            roots = [root for root, _ in found]
            if are_splits(roots):
                raise ValueError(f"{self._path}, {roots}: {SPLIT_ANEW}")
            raise ValueError(
                f"{self._path} holds {len(found)} datasets, in {roots}. Keep one."
            )
        return found[0] if found else ("", None)

    def _take(
        self, members: list[tuple[str, zipfile.ZipInfo]], root: str, layout: Layout
    ) -> None:
        for member, info in members:
            name = kaggle_name(member.removeprefix(root), layout)
            if member.startswith(root) and kaggle_layout.is_dataset_file(name):
                if name in self._infos:
                    raise ValueError(f"{self._path} holds {info.filename} twice.")
                self._infos[name] = info

    def __reduce__(self):
        return ZipSource, (str(self._path),)

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file.

        Raises:
            ValueError: the member is encrypted, damaged or larger than any real file.
        """
        info = self._infos[name]
        if info.flag_bits & 1:
            raise ValueError("encrypted member of the zip; store it without password")
        if info.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"{info.file_size} bytes when unpacked, more than {MAX_MEMBER_BYTES}"
            )
        if info.compress_type not in _COMPRESSIONS:
            raise ValueError(
                f"compressed by method {info.compress_type}; zip it with deflate"
            )
        try:
            with self._zip.open(info) as member:
                return member.read(info.file_size)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
        ) as error:
            raise ValueError(f"damaged member of the zip: {error}") from error


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Returns whether a member is a file inside the archive, unlike `../images/x`."""
    first = info.filename.partition("/")[0]
    return not info.is_dir() and first not in (MAC_FOLDER, "..", ".", "")


def _has_folder(folders: set[str], root: str, name: str) -> bool:
    return root + name in folders


def _above(folder: str) -> list[str]:
    """Returns the folders above one, '' and 'a/' of 'a/b'."""
    parts = [f"{part}/" for part in folder.split("/")]
    return ["".join(parts[:depth]) for depth in range(len(parts))]

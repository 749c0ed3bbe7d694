"""Lists and reads the files of a folder or a zip, by names with `/` between the parts.

Nothing here knows the dataset's layout, except which folders belong to it.
"""

import lzma
import os
import posixpath
import zipfile
import zlib
from collections.abc import Iterator

from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout

# How many folders deeper a copy may lie: five in kagglehub's cache, as in
# datasets/OWNER/NAME/versions/2, and some copies nest everything one deeper.
MAX_DEPTH = 6
# A search through a whole disk ends here.
MAX_FOLDERS = 2000
# The largest real file has 3 MB; a member of a zip that claims more is a bomb.
MAX_MEMBER_BYTES = 64 << 20
_MAC_FOLDER = "__MACOSX"  # In zips that macOS makes.
_READABLE = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
)


class UnreadableZipError(ValueError):
    """A file that is not a complete zip, or an encrypted one."""


def walk(top: epath.Path, *, only_dataset: bool = False) -> Iterator[list[str]]:
    """Yield the names in and below a folder, one list for each depth.

    Folders end with `/`. Hidden files and folders are left out, and so is what lies in
    a folder that was listed before under another name, as through a link.

    Args:
        top: is there. Remote folders are listed by epath.
        only_dataset: whether to enter the folders of the Kaggle layout only.
    """
    folders, seen = [""], set[str]()
    while folders:
        names, below = [], []
        for folder in folders:
            real = os.path.realpath(top / folder)
            entries = _entries(top / folder)
            names += [f"{folder}{name}" for name in entries]
            if real not in seen:
                below += [f"{folder}{n}" for n in entries if n.endswith("/")]
            seen.add(real)
        yield names
        if len(seen) > MAX_FOLDERS:
            logging.warning("Looked into %d folders below %s only.", len(seen), top)
            return
        if only_dataset:
            below = [name for name in below if _is_dataset_folder(name)]
        folders = below


def _is_dataset_folder(name: str) -> bool:
    return kaggle_layout.is_folder(posixpath.basename(name.removesuffix("/")))


def _entries(folder: epath.Path) -> list[str]:
    """Return the sorted names in a folder, `/` after those of folders."""
    try:
        if os.path.isdir(folder):  # Local: epath would ask the system for each file.
            with os.scandir(folder) as entries:
                found = [entry.name + "/" * entry.is_dir() for entry in entries]
        else:
            found = [
                path.name + "/" * _is_remote_folder(path) for path in folder.iterdir()
            ]
    except OSError as error:
        logging.warning("Not searched: %s: %s", folder, error)
        return []
    return sorted(n for n in found if n[0] != "." and n != f"{_MAC_FOLDER}/")


def _is_remote_folder(path: epath.Path) -> bool:
    return not kaggle_layout.is_picture(path.name) and path.is_dir()


class FolderFiles:
    """The files of a folder; names as `walk` yields them."""

    def __init__(self, top: str | os.PathLike):
        self.top = epath.Path(top)
        self.description = f"folder {top}"

    def names(self) -> list[str]:
        """Return the names in it and in its folders of the Kaggle layout."""
        return [name for level in walk(self.top, only_dataset=True) for name in level]

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        path = self.top / name
        # Local: epath would also look up the owner.
        if os.path.isfile(path):
            return os.stat(path).st_size
        return path.stat().length

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.top / name).read_bytes()


class ZipFiles:
    """The files of a zip, read in place; threads may share it.

    Raises:
        UnreadableZipError: not a complete zip, or an encrypted one.
    """

    def __init__(self, path: str | os.PathLike):
        self.top = epath.Path(path)
        self.description = f"zip {path}"
        try:
            self._zip = zipfile.ZipFile(self.top.open("rb"))
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            NotImplementedError,  # Of a later version of the format.
        ) as error:
            raise UnreadableZipError(
                f"{path} is not a complete zip file ({error}). Download it again."
            ) from error
        infos = [info for info in self._zip.infolist() if _is_inside(info)]
        if infos and all(info.flag_bits & 1 for info in infos):
            raise UnreadableZipError(
                f"{path} is encrypted: unpack it with its password and name the folder."
            )
        self._infos = {info.filename: info for info in infos}

    def __reduce__(self):
        return ZipFiles, (str(self.top),)

    def names(self) -> list[str]:
        """Return the names of its files; a name that is there twice comes twice."""
        return [info.filename for info in self._zip.infolist() if _is_inside(info)]

    def size(self, name: str) -> int:
        """Return the bytes of a file.

        Raises:
            ValueError: it is compressed in a way that Python does not read.
        """
        info = self._infos[name]
        if info.compress_type not in _READABLE:
            method = "deflate64" if info.compress_type == 9 else "an unknown method"
            raise ValueError(
                f"{self.top} is compressed by {method} (method {info.compress_type}), "
                "which Python cannot read: unpack it (7-Zip can) and name the folder, "
                "or zip it again with deflate."
            )
        return info.file_size

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            ValueError: it is encrypted, damaged or larger than any real file.
        """
        info = self._infos[name]
        if info.flag_bits & 1:
            raise ValueError("encrypted member of the zip; store it without password")
        if info.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"{info.file_size} bytes when unpacked, more than {MAX_MEMBER_BYTES}"
            )
        try:
            with self._zip.open(info) as member:
                return member.read(info.file_size)
        except _DAMAGED as error:
            raise ValueError(f"damaged member of the zip: {error}") from error


def _is_inside(info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a file inside the archive, unlike `../images/x`."""
    first = info.filename.partition("/")[0]
    return not info.is_dir() and first not in (_MAC_FOLDER, "..", ".", "")

"""Where the files come from: a folder, a zip read in place, or Kaggle."""

import hashlib
import importlib
import os
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout

HANDLE = "romainpessia/artificial-lunar-rocky-landscape-dataset"
# What a browser and Kaggle's command line call the download.
ZIP_NAMES = ("archive.zip", "artificial-lunar-rocky-landscape-dataset.zip")
# The largest real file has 3 MB; a member of a zip that claims more is a bomb.
MAX_MEMBER_BYTES = 64 << 20
# Unpacked piece by piece, so that a member can be no larger than it claims.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What macOS adds to the zips that it makes.
MAC_FOLDER = "__MACOSX"
_RENDERS = kaggle_layout.FOLDERS[0]
_RENDER = re.compile(rf"((?:[^/]+/)?){_RENDERS}/[^/]+\.png", re.I)
STEPS = f"""To get the dataset, in one of three ways:
  1. Download https://www.kaggle.com/datasets/{HANDLE} (5 GB, "Download" button) and
     put archive.zip, as it is, into the manual folder (--manual_dir=FOLDER, by default
     DATA_DIR/downloads/manual). It is read in place.
  2. Extract it: FOLDER/images/render, images/ground and images/clean, and beside
     `images` real_moon_images and bounding_boxes.csv.
  3. pip install kagglehub, and set up Kaggle's credentials: the build downloads it."""


class Source(Protocol):
    """Where the files are.

    Attributes:
        description: what and where it is, for messages.
        sizes: bytes of each file by its name, relative to the dataset's root.
        masks: those of `kaggle_layout.MASKS` that its frames have.
    """

    description: str
    sizes: dict[str, int]
    masks: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file."""


class UnreadableZipError(ValueError):
    """A file that is not a complete zip."""


class FolderSource:
    """An extracted copy of the dataset.

    Attributes:
        description: what and where it is, for messages.
        sizes: dict of file name, relative to the dataset's root, to size in bytes.
        masks: those of `kaggle_layout.MASKS` that its frames have.
    """

    def __init__(self, root: str | os.PathLike):
        self._root = epath.Path(root)
        self.description = f"folder {root}"
        self.sizes = {}
        for folder in ("", *kaggle_layout.FOLDERS):
            for file, size in _list(self._root / folder):
                name = posixpath.join(folder, file)
                if kaggle_layout.is_dataset_file(name):
                    self.sizes[name] = size
        self.masks = kaggle_layout.masks_among(self.sizes)

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file."""
        return (self._root / name).read_bytes()


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


class ZipSource:
    """The zip as Kaggle gives it, read in place: nothing is ever extracted.

    Members are looked up by the names of the layout, so a member called
    `../../etc/passwd` is just not part of the dataset. Threads may share it.

    Attributes:
        description: what and where it is, for messages.
        sizes: dict of file name, relative to the dataset's root, to size in bytes;
            empty when the zip holds no `images/render`.
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
        infos = [
            info
            for info in self._zip.infolist()
            if not info.is_dir() and not info.filename.startswith(f"{MAC_FOLDER}/")
        ]
        matches = [_RENDER.fullmatch(info.filename) for info in infos]
        # A member outside the archive, as in `../images/render`, has no place in it.
        roots = {match[1] for match in matches if match} - {"../", "./"}
        if len(roots) > 1:
            raise ValueError(
                f"{path} holds {len(roots)} datasets, in {sorted(roots)}. Keep one."
            )
        root = "".join(roots)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos if roots else ():
            name = info.filename.removeprefix(root)
            if info.filename.startswith(root) and kaggle_layout.is_dataset_file(name):
                if name in self._infos:
                    raise ValueError(f"{path} holds {info.filename} twice.")
                self._infos[name] = info
        self.sizes = {name: info.file_size for name, info in self._infos.items()}
        self.masks = kaggle_layout.masks_among(self.sizes)

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


def fingerprint(source: Source) -> str:
    """Returns the SHA-256 of a source: every name and size, and every text file.

    It reads no picture, so a folder of 30,000 files takes under a second, and the zip
    of a folder has the folder's fingerprint.
    """
    digest = hashlib.sha256()
    for name in sorted(source.sizes):
        digest.update(f"{name}\0{source.sizes[name]}\n".encode())
        if name.endswith((".csv", ".txt")):
            digest.update(source.read(name))
    return digest.hexdigest()


def find_source(folder: str | os.PathLike) -> Source | None:
    """Returns the FolderSource or ZipSource in a folder, or None.

    An extracted copy comes first, at the top or nested one folder deeper; then the zip
    under one of Kaggle's names; then any other zip that holds the layout. Other zips
    that cannot be read are left alone: the folder may hold other datasets' files.

    Args:
        folder: path-like, need not exist.

    Raises:
        ValueError: several copies of one kind, or an unreadable zip.
    """
    root = epath.Path(folder)
    if not root.is_dir():
        return None
    if _has_renders(root):
        return FolderSource(root)
    children = sorted(path for path in root.iterdir() if path.name != MAC_FOLDER)
    if nested := [FolderSource(path) for path in children if _has_renders(path)]:
        return _only(nested)
    zips = [path for path in children if path.name.lower().endswith(".zip")]
    named = [path for path in zips if path.name in ZIP_NAMES]
    if named:
        found = [ZipSource(path) for path in named]
    else:
        found = [source for path in zips if (source := _other_zip(path))]
    return _only([source for source in found if source.sizes])


def _other_zip(path: epath.Path) -> ZipSource | None:
    try:
        return ZipSource(path)
    except UnreadableZipError as error:
        logging.warning("Leaving a file alone: %s", error)
        return None


def _has_renders(folder: epath.Path) -> bool:
    return (folder / _RENDERS).is_dir()


def _only(found: Sequence[Source]) -> Source | None:
    if len(found) > 1:
        names = ", ".join(source.description for source in found)
        raise ValueError(f"Several copies of the dataset: {names}. Keep one of them.")
    return found[0] if found else None


def download() -> Source | None:
    """Returns the source that kagglehub downloads, or None when it is not installed.

    Raises:
        ValueError: the download failed, or holds no dataset.
    """
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError:
        return None
    logging.info("Downloading %s through kagglehub.", HANDLE)
    try:
        folder = kagglehub.dataset_download(HANDLE)
    except Exception as error:  # Its errors share no base class.
        raise ValueError(
            f"kagglehub could not download {HANDLE}: {error}\n{STEPS}"
        ) from error
    source = find_source(folder)
    if source is None:
        raise ValueError(f"kagglehub left no {_RENDERS} in {folder}.\n{STEPS}")
    source.description = f"Kaggle download, {source.description}"
    return source

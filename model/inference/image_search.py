"""Searches folders, globs and zips for images, and counts by kind what is none."""

import collections
import dataclasses
import glob
import os
import pathlib
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from PIL import Image

from lunar_tfds.kaggle_layout import MASKS, RENDER
from model.inference.images import HEIF_SUFFIXES, pillow_formats
from model.inference.result_names import printable

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .3gp .avi .mkv .webm .ts .m2ts .mts .mpg .mpeg .wmv .flv "
    ".ogv".split()
)
# Formats that Pillow knows by name, but needs more than itself for.
_NAMES_ONLY = frozenset(("BUFR", "GRIB", "HDF5", "MPEG"))
# How files of the usual formats start, for those of another suffix or none.
_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"\0\0\0\x0cjP  ")
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_START = 16  # Bytes that tell.
_MAX_KINDS = 8  # Named in a message.
RESULT, HIDDEN = "results of an earlier run", "hidden files"
LABEL = "label masks (ground and clean beside render, g_X beside X)"
UNREADABLE = "that cannot be opened"


class Found(NamedTuple):
    """An image.

    Attributes:
        name: in the folder or zip searched.
        path: its file, or the zip.
        member: its entry in the zip; None for a file.
    """

    name: str
    path: pathlib.Path
    member: str | None = None


@dataclasses.dataclass
class Search:
    """One search.

    Files with the suffix of a format that Pillow reads are images, and files of another
    or none that start as PNG, JPEG, GIF, WebP, JPEG 2000, AVIF or HEIC do; TIFF only
    without a suffix, since raw photos of cameras start as it does. Left out are hidden
    files, results of an earlier run, and the dataset's label pictures: `g_PCAM5.png`
    beside `PCAM5.png`, and the folders `ground` and `clean` beside `render`.

    Attributes:
        exclude: function of a path, true for a result of an earlier run.
        left_out: how many files were, by kind.
    """

    exclude: Callable[[pathlib.Path], bool] | None = None
    left_out: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )

    def folder(self, folder: pathlib.Path) -> list[Found]:
        """Returns the images in a folder and below it, linked folders too."""
        files = sorted(self._walk(folder))
        found = [Found(p.relative_to(folder).as_posix(), p) for p in files]
        return self._images(found, lambda item: _start_of(item.path))

    def glob(self, pattern: str) -> list[Found]:
        """Returns the files that match a glob, whatever they are."""
        paths = map(pathlib.Path, sorted(glob.glob(pattern, recursive=True)))
        found = [Found(str(path), path) for path in paths if _is_file(path)]
        return self._without_labels(self._without_results(found))

    def archive(self, path: pathlib.Path, archive: zipfile.ZipFile) -> list[Found]:
        """Returns the images in a zip."""
        members = sorted({m for m in archive.namelist() if not m.endswith("/")})

        def start_of(item: Found) -> bytes:
            with archive.open(item.member or "") as entry:
                return entry.read(_START)

        return self._images([Found(m, path, m) for m in members], start_of)

    def says_left_out(self) -> str:
        """Returns what was left out, in words, the most frequent kinds first."""
        kinds = self.left_out.most_common()
        words = [f"{count} {printable(kind)}" for kind, count in kinds[:_MAX_KINDS]]
        if rest := sum(count for _, count in kinds[_MAX_KINDS:]):
            words.append(f"{rest} of other kinds")
        return ", ".join(words)

    def _walk(self, folder: pathlib.Path) -> Iterator[pathlib.Path]:
        """Yields the files below a folder; one that is linked in a circle once."""

        def cannot_open(error: OSError) -> None:
            self.left_out[f"folders {UNREADABLE}"] += 1

        seen: set[tuple[int, int]] = set()
        for top, folders, files in os.walk(
            folder, onerror=cannot_open, followlinks=True
        ):
            if not _is_new(top, seen):
                folders.clear()
                continue
            for name in files:
                path = pathlib.Path(top, name)
                if _is_file(path):
                    yield path
                elif path.is_symlink():
                    self.left_out["links to nothing"] += 1

    def _images(
        self, found: Iterable[Found], start_of: Callable[[Found], bytes]
    ) -> list[Found]:
        images = [item for item in found if self._is_image(item, start_of)]
        return self._without_labels(self._without_results(images))

    def _is_image(self, item: Found, start_of: Callable[[Found], bytes]) -> bool:
        """Returns whether a file is an image; counts it where it is not."""
        parts = pathlib.PurePosixPath(item.name).parts
        if "__MACOSX" in parts or any(p[0] == "." and p.strip(".") for p in parts):
            self.left_out[HIDDEN] += 1
            return False
        suffix = pathlib.PurePosixPath(item.name).suffix.lower()
        if suffix in suffixes():
            return True
        try:
            if _starts_as_image(start_of(item), suffix):
                return True
        except Exception:  # Whatever a zip raises of an entry, too.
            self.left_out[f"files {UNREADABLE}"] += 1
            return False
        self.left_out[suffix or "files without a suffix"] += 1
        return False

    def _without_results(self, found: list[Found]) -> list[Found]:
        if self.exclude is None:
            return found
        kept = [item for item in found if item.member or not self.exclude(item.path)]
        self._count(RESULT, len(found) - len(kept))
        return kept

    def _without_labels(self, found: list[Found]) -> list[Found]:
        """Leaves out what is the label picture of another file, or of a render."""
        stems = {_without_suffix(item.name) for item in found}
        folders = {
            p for item in found for p in pathlib.PurePosixPath(item.name).parents
        }

        def is_label(name: str) -> bool:
            path = pathlib.PurePosixPath(name)
            photo = str(path.parent / path.stem[2:])
            if path.name.startswith("g_") and photo in stems:
                return True
            return any(
                parent.name in MASKS and parent.parent / RENDER in folders
                for parent in path.parents
            )

        kept = [item for item in found if not is_label(item.name)]
        self._count(LABEL, len(found) - len(kept))
        return kept

    def _count(self, kind: str, number: int) -> None:
        if number:
            self.left_out[kind] += number


def suffixes() -> frozenset[str]:
    """Returns the suffixes, in lower case, of the formats that are read, and videos."""
    # MPO, two JPEGs in one file, is opened by the JPEG format.
    formats = frozenset((*pillow_formats(), "MPO")) - _NAMES_ONLY
    known: dict[str, Any] = Image.registered_extensions()
    # HEIC without its library is named, with the remedy, image by image.
    return (
        VIDEO_SUFFIXES
        | HEIF_SUFFIXES
        | {suffix for suffix, name in known.items() if name in formats}
    )


def is_zip(path: pathlib.Path) -> bool:
    """Returns whether a file is a zip, or called so."""
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def _without_suffix(name: str) -> str:
    path = pathlib.PurePosixPath(name)
    return str(path.parent / path.stem)


def _starts_as_image(start: bytes, suffix: str) -> bool:
    if start.startswith(_STARTS) or (not suffix and start.startswith(_TIFF_STARTS)):
        return True
    if start[:4] == b"RIFF":
        return start[8:12] == b"WEBP"
    return start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"heic", b"heix", b"mif1")


def _start_of(path: pathlib.Path) -> bytes:
    # What the system makes up, below /proc, has no size, and to read it may block.
    if path.stat().st_size < _START:
        return b""
    with open(path, "rb") as file:
        return file.read(_START)


def _is_file(path: pathlib.Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Returns whether a folder was not seen, and takes note of it."""
    try:
        status = os.stat(folder)
    except OSError:
        return False
    key = status.st_dev, status.st_ino
    new = key not in seen
    seen.add(key)
    return new

"""Finds people's images: a file, a folder, a zip or a glob becomes a list of them."""

import collections
import contextlib
import dataclasses
import glob
import pathlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import numpy as np

from model.inference.images import check_file_size, decode_image, read_image

# What a folder or a zip is searched for; a file named by itself may be called anything.
SUFFIXES = frozenset(
    ".png .jpg .jpeg .tif .tiff .bmp .gif .webp .ppm .pgm .jp2".split()
)
VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".avi"))
SEARCHED = SUFFIXES | VIDEO_SUFFIXES
# Bytes of a zip's entry that are unpacked in memory; larger ones to the disk.
IN_MEMORY = 1 << 26
# An image found: its name in the folder or zip searched, its file, its entry in a zip.
_Found = tuple[str, pathlib.Path, str | None]


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """One image that was found.

    Attributes:
        name: what its results are called, without a suffix; unique in its list.
        relative: its path in the folder or zip that was searched.
        path: the file, or the zip that holds it.
        member: the name inside the zip; None for a plain file.
        archive: the open zip, which all its images share; None for a plain file.
    """

    name: str
    relative: str
    path: pathlib.Path
    member: str | None = None
    archive: zipfile.ZipFile | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    @property
    def time(self) -> None:
        """None: it is no frame of a video."""

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    def read(self) -> np.ndarray:
        """Returns the image, uint8 [height, width, 3] RGB; errors as `decode_image`."""
        if self.archive is None or self.member is None:
            return read_image(self.path)
        with self.open() as file:
            return decode_image(file.read())

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Yields the file to read from, a zip's entry unpacked to a temporary one.

        Raises:
            ValueError: the entry is damaged or larger than is unpacked.
            OSError: the file cannot be opened.
        """
        if self.archive is None or self.member is None:
            with open(self.path, "rb") as file:
                yield file
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as unpacked:
            try:
                check_file_size(self.archive.getinfo(self.member).file_size)
                with self.archive.open(self.member) as entry:
                    shutil.copyfileobj(entry, unpacked)
            except (
                zipfile.BadZipFile,
                zlib.error,
                EOFError,
                RuntimeError,  # Encrypted, or of a compression that zipfile lacks.
            ) as error:
                raise ValueError(f"the zip's entry is damaged: {error}") from error
            unpacked.seek(0)
            yield cast(BinaryIO, unpacked)


def is_video(file: ImageFile) -> bool:
    """Returns whether a file is called as a video."""
    return pathlib.PurePosixPath(file.relative).suffix.lower() in VIDEO_SUFFIXES


def find_images(
    pattern: str | pathlib.Path,
    *,
    exclude: Callable[[pathlib.Path], bool] | None = None,
) -> list[ImageFile]:
    """Returns the images that a file, folder, zip or glob names, sorted by path.

    Videos are among them, see `is_video`. Folders and zips are searched to any depth
    for files with a suffix of `SEARCHED`. A
    label picture of the dataset (`g_PCAM5.png` beside `PCAM5.png`) is left out, and so
    are hidden files.

    Args:
        pattern: str or path.
        exclude: function of a path; a file of a folder or glob for which it is true is
            left out, such as a result of an earlier run. A file named by itself stays.

    Returns:
        A non-empty list of `ImageFile`.

    Raises:
        ValueError: nothing matched, or the zip is damaged.
    """
    path, archive = pathlib.Path(pattern), None
    if path.is_dir():
        found = _in_folder(path)
    elif path.is_file() and (zipfile.is_zipfile(path) or path.suffix.lower() == ".zip"):
        archive = _open_zip(path)
        found = _in_zip(path, archive)
    elif path.is_file():
        found = [(path.name, path, None)]
    else:
        found = _in_glob(str(pattern))
    if exclude is not None and not path.is_file():
        found = [item for item in found if not exclude(item[1])]
    if not found:
        raise ValueError(
            f"no images matched {pattern}. Pass an image, a folder or zip that holds "
            f"{' '.join(sorted(SEARCHED))} files, or a quoted glob ('photos/*.jpg')"
        )
    return [
        ImageFile(name, relative, path, member, archive)
        for name, (relative, path, member) in zip(
            _result_names(found), found, strict=True
        )
    ]


def _in_folder(folder: pathlib.Path) -> list[_Found]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = [(path.relative_to(folder).as_posix(), path) for path in files]
    return _without_labels([(n, p, None) for n, p in named if _looks_like_image(n)])


def _in_glob(pattern: str) -> list[_Found]:
    files = (
        pathlib.Path(match) for match in sorted(glob.glob(pattern, recursive=True))
    )
    return _without_labels(
        [(str(file), file, None) for file in files if file.is_file()]
    )


def _open_zip(path: pathlib.Path) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole zip file. Download it again")
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is a damaged zip ({error}). Download it again"
        ) from None


def _in_zip(path: pathlib.Path, archive: zipfile.ZipFile) -> list[_Found]:
    members = sorted(set(archive.namelist()))
    return _without_labels([(m, path, m) for m in members if _looks_like_image(m)])


def _looks_like_image(name: str) -> bool:
    parts = pathlib.PurePosixPath(name).parts
    hidden = any(part.strip(".") != "" and part[0] == "." for part in parts)
    hidden = hidden or "__MACOSX" in parts
    return not hidden and pathlib.PurePosixPath(name).suffix.lower() in SEARCHED


def _without_labels(found: list[_Found]) -> list[_Found]:
    """Leaves out `g_NAME` where `NAME` is there too: it is that photo's label mask."""
    names = {name for name, _, _ in found}

    def is_label(name: str) -> bool:
        folder, slash, file = name.rpartition("/")
        return file.startswith("g_") and f"{folder}{slash}{file[2:]}" in names

    return [item for item in found if not is_label(item[0])]


def _result_names(found: list[_Found]) -> list[str]:
    """Returns what results are called: stems, or whole paths where stems are alike."""
    stems = [pathlib.PurePosixPath(name).stem for name, _, _ in found]
    count = collections.Counter(stems)
    names: dict[str, None] = {}
    underscores: collections.Counter[str] = collections.Counter()
    for (path, _, _), stem in zip(found, stems, strict=True):
        word = stem if count[stem] == 1 else _as_word(path)
        # Names that still clash get underscores; each word knows how many it has used.
        while (name := word + "_" * underscores[word]) in names:
            underscores[word] += 1
        names[name] = None
    return list(names)


def _as_word(path: str) -> str:
    """Returns a path as one word: `a/b.png` becomes `a_b_png`."""
    parts = [part for part in pathlib.PurePosixPath(path).parts if part.strip("/.")]
    return "_".join(parts).replace(".", "_")

"""Finds people's images: a file, a folder, a zip or a glob becomes a list of them."""

import collections
import dataclasses
import functools
import pathlib
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from model.inference import bit_depth as depths
from model.inference import deep_images
from model.inference.image_search import Found, Search, is_zip
from model.inference.images import check_file_size, decode_picture, read_bytes
from model.inference.result_names import printable, result_names


@dataclasses.dataclass
class ImageFile:
    """One image that was found.

    Attributes:
        name: what its results are called, without a suffix; unique in its list.
        relative: its path in the folder or zip that was searched.
        path: the file, or the zip that holds it.
        member: the name inside the zip; None for a plain file.
        archive: the open zip, which all its images share; None for a plain file.
        folder: the images of its folder, and their bit depth.
        details: what is known of it once it was read, by column of the summary.
    """

    name: str
    relative: str
    path: pathlib.Path
    member: str | None = None
    archive: zipfile.ZipFile | None = dataclasses.field(
        default=None, repr=False, compare=False
    )
    folder: "Folder | None" = dataclasses.field(default=None, repr=False, compare=False)
    details: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    def read(self) -> np.ndarray:
        """Returns the image, uint8 [height, width, 3] RGB; errors as `decode_image`."""
        picture, folder = decode_picture(self.read_bytes()), self.folder or Folder()
        bits = 8
        if picture.is_deep:
            largest = 0 if folder.bit_depth else folder.largest
            bits = depths.depth_of(picture, folder.bit_depth, largest)
        self.details["bit_depth"] = bits
        return depths.to_8_bits(picture, bits)

    def read_bytes(self) -> bytes:
        """Returns the file as it is; errors as `decode_image`."""
        if self.archive is None or self.member is None:
            return read_bytes(self.path)
        try:
            check_file_size(self.archive.getinfo(self.member).file_size)
            return self.archive.read(self.member)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,  # Encrypted, or of a compression that zipfile lacks.
        ) as error:
            raise ValueError(f"the zip's entry is damaged: {error}") from error

    def read_start(self) -> bytes:
        """Returns the first bytes, enough for `deep_images.may_be_deep`."""
        if self.archive is None or self.member is None:
            with open(self.path, "rb") as file:
                return file.read(deep_images.START)
        with self.archive.open(self.member) as entry:
            return entry.read(deep_images.START)


@dataclasses.dataclass
class Folder:
    """The images of one folder, which share a bit depth.

    Attributes:
        files: the images of a call that lie in the folder.
        bit_depth: --bit_depth, or None.
    """

    files: list[ImageFile] = dataclasses.field(default_factory=list)
    bit_depth: int | None = None

    @functools.cached_property
    def largest(self) -> int:
        """The largest value of all files that store more than 8 bits; 0 without one.

        Such files are read twice, once for this: brightness must compare.
        """
        largest, limit = 0, 1 << depths.DEPTHS[-2]
        for file in self.files:
            if largest >= limit:  # It takes all 16 bits.
                break
            try:
                if deep_images.may_be_deep(file.read_start()):
                    picture = decode_picture(file.read_bytes())
                    largest = max(largest, picture.largest if picture.is_deep else 0)
            except Exception:  # It is told when the file's own turn comes.
                continue
        return largest


def find_images(
    pattern: str | pathlib.Path,
    *,
    exclude: Callable[[pathlib.Path], bool] | None = None,
    bit_depth: int | None = None,
) -> list[ImageFile]:
    """Returns the images and videos of a file, folder, zip or glob, sorted by path.

    Folders, linked ones too, and zips are searched to any depth, see `Search`. What is
    left out is logged, by kind.

    Args:
        pattern: str or path.
        exclude: function of a path; a file of a folder or glob for which it is true is
            left out, such as a result of an earlier run. A file named by itself stays.
        bit_depth: of files that store 16 bits, see `bit_depth`.

    Returns:
        A non-empty list of `ImageFile`.

    Raises:
        ValueError: nothing matched, or the zip is damaged.
    """
    path, archive = pathlib.Path(pattern), None
    search = Search(exclude)
    if path.is_dir():
        found = search.folder(path)
    elif path.is_file() and is_zip(path):
        archive = _open_zip(path)
        found = search.archive(path, archive)
    elif path.is_file():
        found = [Found(path.name, path)]
    else:
        found = search.glob(str(pattern))
    if search.left_out:
        logging.warning(
            "Left out of %s: %s", printable(str(pattern)), search.says_left_out()
        )
    if not found:
        raise ValueError(
            f"no images matched {printable(str(pattern))}. Pass an image, a folder or "
            "zip that holds images such as PNG, JPEG, TIFF, WebP, or a quoted glob "
            "('photos/*.jpg')"
        )
    names = result_names([item.name for item in found])
    folders: dict[Any, Folder] = collections.defaultdict(
        lambda: Folder(bit_depth=bit_depth)
    )
    files = []
    for name, item in zip(names, found, strict=True):
        inside = None if item.member is None else pathlib.PurePosixPath(item.member)
        folder = folders[item.path.parent if inside is None else inside.parent]
        files.append(
            ImageFile(name, item.name, item.path, item.member, archive, folder)
        )
        folder.files.append(files[-1])
    return files


def _open_zip(path: pathlib.Path) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole zip file. Download it again")
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is a damaged zip ({error}). Download it again"
        ) from None

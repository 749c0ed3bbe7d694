"""Where the files come from: a folder, a zip read in place, or Kaggle."""

import hashlib
import importlib
import os
from collections.abc import Sequence
from typing import Protocol

from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import layouts, other_layouts, search
from lunar_tfds.lunar_rocks.zip_source import ZipSource

HANDLE = "romainpessia/artificial-lunar-rocky-landscape-dataset"
STEPS = f"""To get the dataset, in one of three ways:
  1. Download https://www.kaggle.com/datasets/{HANDLE} (5 GB, "Download" button) and
     put archive.zip, as it is, into the manual folder (--manual_dir=FOLDER, by default
     DATA_DIR/downloads/manual). It is read in place.
  2. Extract it: FOLDER/images/render and images/ground or images/clean or both, and
     beside `images` real_moon_images and bounding_boxes.csv.
  3. pip install kagglehub, and set up Kaggle's credentials: the build
     downloads it where no --manual_dir is given."""
NEEDED = (
    "Needed are images/render and images/ground or images/clean, up to "
    f"{search.MAX_DEPTH} folders deeper, or a zip of them: "
    f"https://www.kaggle.com/datasets/{HANDLE} (5 GB)."
)


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


def open_source(path: str | os.PathLike) -> Source:
    """Returns the source in a folder, or the source that a zip is.

    Args:
        path: what a person named as the place of the dataset.

    Raises:
        ValueError: there is none; says in one line what was found instead.
    """
    place = epath.Path(path)
    if place.is_dir():
        source = find_source(place)
        kinds = kaggle_layout.kinds_among(source.sizes) if source else set()
        # Renders alone are a source still, whose problems name what each lacks.
        blurred = kinds == {kaggle_layout.RENDER} and other_layouts.jpeg_labels(place)
        if source and kinds - {kaggle_layout.PHOTO} and not blurred:
            return source
        found = other_layouts.explain(place)
        raise ValueError(f"No dataset in {place}: {found}. {NEEDED}")
    if not place.exists():
        raise ValueError(f"{place} does not exist. {NEEDED}")
    if not place.name.lower().endswith(".zip"):
        raise ValueError(f"{place} is neither a folder nor a zip. {NEEDED}")
    zipped = ZipSource(place)
    if not kaggle_layout.kinds_among(zipped.sizes) - {kaggle_layout.PHOTO}:
        raise ValueError(
            f"No dataset in {place}: it holds no pictures with their labels. {NEEDED}"
        )
    return zipped


def find_source(folder: str | os.PathLike) -> Source | None:
    """Returns the FolderSource or ZipSource in a folder, or None.

    Args:
        folder: path-like, need not exist. See `search.copies` for what is found in it.

    Raises:
        ValueError: several copies that are equally near, or an unreadable zip.
    """
    root = epath.Path(folder)
    return _only(search.copies(root)) if root.is_dir() else None


def _only(found: Sequence[Source]) -> Source | None:
    if len(found) > 1:
        names = ", ".join(source.description for source in found)
        if layouts.are_splits([source.description for source in found]):
            raise ValueError(f"{names}: {layouts.SPLIT_ANEW}")
        raise ValueError(
            f"Several copies of the dataset: {names}. Keep one of them, or name one: "
            "--manual_dir=THAT_ONE."
        )
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
    logging.warning(
        "No --manual_dir was given: downloading 5 GB, %s, through kagglehub.", HANDLE
    )
    try:
        folder = kagglehub.dataset_download(HANDLE)
    except Exception as error:  # Its errors share no base class.
        raise ValueError(
            f"kagglehub could not download {HANDLE}: {error}\n{STEPS}"
        ) from error
    source = find_source(folder)
    if source is None:
        raise ValueError(f"kagglehub left no dataset in {folder}.\n{STEPS}")
    source.description = f"Kaggle download, {source.description}"
    return source

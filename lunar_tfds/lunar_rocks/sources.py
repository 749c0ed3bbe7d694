"""Where the dataset's files come from: a folder, a zip read in place, or Kaggle."""

import hashlib
import importlib
import itertools
import os
import posixpath

from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import layouts, listing
from lunar_tfds.lunar_rocks.layouts import Layout, Root
from lunar_tfds.lunar_rocks.listing import FolderFiles, UnreadableZipError, ZipFiles

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
    f"{listing.MAX_DEPTH} folders deeper, or a zip of them: "
    f"https://www.kaggle.com/datasets/{HANDLE} (5 GB)."
)
# Names that browsers and Kaggle's command line give to the download.
ZIP_NAMES = ("archive.zip", "artificial-lunar-rocky-landscape-dataset.zip")
# The folder of kagglehub that has one folder for each version.
_VERSIONS = "versions"


class DatasetFiles:
    """The files of a copy of the dataset, by their names in the Kaggle layout.

    Threads may share it, and it can be pickled.

    Attributes:
        description: what and where it is, for messages.
        sizes: bytes of each file by name.
        masks: those of `kaggle_layout.MASKS` that its frames have.
    """

    def __init__(self, files: FolderFiles | ZipFiles, root: Root):
        self.description = files.description
        self._files = files
        try:
            self._places = layouts.dataset_files(files.names(), root)
        except ValueError as error:
            raise ValueError(f"{files.top}: {error}") from error
        self.sizes = {name: files.size(at) for name, at in self._places.items()}
        self.masks = kaggle_layout.masks_among(self.sizes)
        self.kinds = kaggle_layout.kinds_among(self.sizes)
        folders = {
            posixpath.dirname(name): posixpath.dirname(place)
            for name, place in self._places.items()
        }
        for folder, place in folders.items():
            if place not in (folder, f"{root.path}{folder}"):
                logging.info("Taken as %s: %s.", folder, files.top / place)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is a damaged member of a zip.
        """
        return self._files.read(self._places[name])


def fingerprint(source: DatasetFiles) -> str:
    """Return the SHA-256 of every name and size, and of the text files.

    It reads no picture, so a folder of 30,000 files takes under a second. A zip of a
    folder has the fingerprint of the folder.
    """
    digest = hashlib.sha256()
    for name in sorted(source.sizes):
        digest.update(f"{name}\0{source.sizes[name]}\n".encode())
        if name.endswith((".csv", ".txt")):
            digest.update(source.read(name))
    return digest.hexdigest()


def open_source(path: str | os.PathLike) -> DatasetFiles:
    """Return the dataset in a folder or a zip that a user named.

    Raises:
        ValueError: there is none; says in one line what was found instead.
    """
    place = epath.Path(path)
    if place.is_dir():
        source = find_source(place)
        names = list(itertools.chain(*listing.walk(place))) if _lacks(source) else []
        # Renders alone are a source: its problems name the files that are missing.
        if source and source.kinds - {kaggle_layout.PHOTO}:
            if not layouts.jpeg_labels(names):
                return source
        raise ValueError(f"No dataset in {place}: {layouts.explain(names)}. {NEEDED}")
    if not place.exists():
        raise ValueError(f"{place} does not exist. {NEEDED}")
    if not place.name.lower().endswith(".zip"):
        raise ValueError(f"{place} is neither a folder nor a zip. {NEEDED}")
    source = _in_zip(place)
    if not (source and source.kinds - {kaggle_layout.PHOTO}):
        raise ValueError(
            f"No dataset in {place}: it holds no pictures with their labels. {NEEDED}"
        )
    return source


def _lacks(source: DatasetFiles | None) -> bool:
    """Return whether there are no pictures with labels."""
    return not source or len(source.kinds) < 2


def find_source(folder: str | os.PathLike) -> DatasetFiles | None:
    """Return the dataset in or below a folder, which need not exist; None without one.

    Raises:
        ValueError: several copies that are equally near, or an unreadable zip.
    """
    root = epath.Path(folder)
    found = _copies(root) if root.is_dir() else []
    if len(found) > 1:
        names = ", ".join(source.description for source in found)
        if layouts.are_splits(source.description for source in found):
            raise ValueError(f"{names}: {layouts.SPLIT_ANEW}")
        raise ValueError(
            f"Several copies of the dataset: {names}. Keep one of them, or name one: "
            "--manual_dir=THAT_ONE."
        )
    return found[0] if found else None


def _copies(folder: epath.Path) -> list[DatasetFiles]:
    """Return the copies that lie nearest to a folder.

    Extracted renders come first, in the folder or one deeper; then zips in the folder,
    under one of Kaggle's names before any other; then the same one level deeper, and so
    on; then photos alone. An unreadable zip is an error only under Kaggle's names: the
    folder may hold files of other datasets.
    """
    top = _top(folder)
    levels = listing.walk(top)
    names = next(levels)
    photos: list[Root] = []
    for depth in range(listing.MAX_DEPTH + 2):
        names += next(levels, [])  # Now folders two below `depth` are known by name.
        roots = [root for root in layouts.find_roots(names) if root.depth == depth]
        photos += [root for root in roots if root.layout is Layout.PHOTOS_ALONE]
        renders = [root for root in roots if root.layout is not Layout.PHOTOS_ALONE]
        if found := _extracted(top, renders):
            return found
        if found := _zipped([top / n for n in names if n.count("/") == depth - 1]):
            return found
    for _, nearest in itertools.groupby(photos, key=lambda root: root.depth):
        if found := _extracted(top, list(nearest)):
            return found
    return []


def _top(folder: epath.Path) -> epath.Path:
    """Return the root of the copy that a folder of pictures is part of, or itself."""
    top = folder
    while top.name.lower() in (*kaggle_layout.KINDS, kaggle_layout.PHOTOS):
        top = top.parent
    if top.name.lower() == kaggle_layout.IMAGES:
        top = top.parent
    if top == folder:
        return folder
    levels = itertools.islice(listing.walk(top, only_dataset=True), 2)
    roots = layouts.find_roots(itertools.chain(*levels))
    return top if any(not root.path for root in roots) else folder


def _extracted(top: epath.Path, roots: list[Root]) -> list[DatasetFiles]:
    """Return the copies at some roots; the newest of kagglehub's versions only."""
    folders = [top / root.path for root in roots]
    are_versions = all(f.name.isdigit() and f.parent.name == _VERSIONS for f in folders)
    if are_versions and len({f.parent for f in folders}) == 1 < len(roots):
        folders.sort(key=lambda folder: int(folder.name))
        logging.info(
            "Of the versions %s in %s the newest is taken, %s.",
            ", ".join(folder.name for folder in folders),
            folders[-1].parent,
            folders[-1].name,
        )
        newest = folders[-1]
        roots = [root for root in roots if top / root.path == newest]
    found = [
        DatasetFiles(FolderFiles(top / root.path), Root("", root.layout))
        for root in roots
    ]
    # Folders of such names may be anything.
    return [source for source in found if source.kinds]


def _zipped(paths: list[epath.Path]) -> list[DatasetFiles]:
    """Return the copies in those of the files that are zips."""
    zips = [path for path in paths if path.name.lower().endswith(".zip")]
    named = [path for path in zips if path.name in ZIP_NAMES]
    found = []
    for path in named or zips:
        try:
            found.append(_in_zip(path))
        except UnreadableZipError as error:
            if named:
                raise
            logging.warning("Not used: %s", error)
    return [source for source in found if source]


def _in_zip(path: epath.Path) -> DatasetFiles | None:
    """Return the copy in a zip, or None.

    Raises:
        UnreadableZipError: not a complete zip.
        ValueError: two copies, or a file that is there twice.
    """
    files = ZipFiles(path)
    roots = layouts.find_roots(files.names())
    renders = [root for root in roots if root.layout is not Layout.PHOTOS_ALONE]
    found = [DatasetFiles(files, root) for root in renders or roots]
    found = [source for source in found if source.kinds]
    if len(found) > 1:
        places = [root.path for root in renders or roots]
        if layouts.are_splits(places):
            raise ValueError(f"{path}, {places}: {layouts.SPLIT_ANEW}")
        raise ValueError(f"{path} holds {len(found)} datasets, in {places}. Keep one.")
    return found[0] if found else None


def download() -> DatasetFiles | None:
    """Return what kagglehub downloads, or None if it is not installed.

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

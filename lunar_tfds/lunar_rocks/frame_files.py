"""Which files a frame consists of, and which split it belongs to."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Collection, Iterable, Mapping

from lunar_tfds import kaggle_layout
from lunar_tfds.kaggle_layout import RENDER

# Splits of renders, and the split of photos of the Moon.
RENDER_SPLITS = TRAIN, VALIDATION, TEST = ("train", "validation", "test")
REAL = "real"
SPLITS = (*RENDER_SPLITS, REAL)


@dataclasses.dataclass(frozen=True)
class Frame:
    """The files of one example, as names in the source.

    Attributes:
        frame_id: '0001' for renders, 'PCAM5' for photos; no photo has a render's.
        split: one of SPLITS.
        image: the render or photo.
        masks: the label image of each kind of mask that the source has; the one
            hand-made mask of a photo stands for each kind.
    """

    frame_id: str
    split: str
    image: str
    masks: dict[str, str]

    @property
    def is_photo(self) -> bool:
        """Whether this is a photo of the Moon rather than a render."""
        return self.split == REAL

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files, each once."""
        return tuple(dict.fromkeys((self.image, *self.masks.values())))


def split_of(frame_id: str) -> str:
    """Return 'train', 'validation' or 'test' for a render: 80, 10, 10 per cent.

    The first 32 bits of SHA-256 of the id, modulo 10: 0 to 7 train, 8 validation, 9
    test. Nothing else counts, so a frame never changes its split.
    """
    digest = hashlib.sha256(frame_id.encode()).hexdigest()
    bucket = int(digest[:8], 16) % 10
    return RENDER_SPLITS[max(bucket - 7, 0)]


def find_frames(
    names: Collection[str],
) -> tuple[list[Frame], dict[str, str], dict[str, str]]:
    """Return the frames, in order of id, and what is wrong with the file list.

    Args:
        names: names of files in the source, relative to the dataset's root.

    Returns:
        frames: list of Frame, renders first, then photos.
        problems: dict of frame id to reason, for frames that lack a partner file.
        lone_photos: dict of photo id to the missing file, its mask or the photo.
    """
    files, problems = _by_kind(names)
    mask_kinds = kaggle_layout.masks_among(names)
    for frame_id, missing in _missing(files, mask_kinds).items():
        problems[frame_id] = "missing partner: " + ", ".join(
            f"no {kaggle_layout.frame_file(kind, frame_id)}" for kind in missing
        )
    frames = []
    for frame_id in sorted(files[RENDER].keys() - problems.keys()):
        masks = {kind: files[kind][frame_id] for kind in mask_kinds}
        image = files[RENDER][frame_id]
        frames.append(Frame(frame_id, split_of(frame_id), image, masks))
    photos = files[kaggle_layout.PHOTO]
    masks_of_photos = files[kaggle_layout.PHOTO_MASK]
    lone_photos = {
        frame_id: kaggle_layout.photo_mask_file(_stem(photos[frame_id]))
        for frame_id in photos.keys() - masks_of_photos.keys()
    } | {
        frame_id: kaggle_layout.photo_file(_stem(mask)[len("g_") :])
        for frame_id, mask in masks_of_photos.items()
        if frame_id not in photos
    }
    for frame_id in sorted(photos.keys() & masks_of_photos.keys()):
        if frame_id not in problems:
            masks = dict.fromkeys(mask_kinds, masks_of_photos[frame_id])
            frames.append(Frame(frame_id, REAL, photos[frame_id], masks))
    return frames, problems, lone_photos


def _stem(name: str) -> str:
    return pathlib.PurePosixPath(name).stem


def missing_files(names: Collection[str]) -> dict[str, list[str]]:
    """Return the kinds of file that each incomplete frame lacks, by frame id."""
    files, _ = _by_kind(names)
    return _missing(files, kaggle_layout.masks_among(names))


def _missing(
    files: Mapping[str, Mapping[str, str]], mask_kinds: tuple[str, ...]
) -> dict[str, list[str]]:
    kinds = (RENDER, *mask_kinds)
    missing = {}
    for frame_id in sorted(set().union(*(files[kind] for kind in kinds))):
        if lacking := [kind for kind in kinds if frame_id not in files[kind]]:
            missing[frame_id] = lacking
    return missing


def _by_kind(
    names: Iterable[str],
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return names by kind and frame id, and a problem for each duplicate id."""
    kinds = (*kaggle_layout.KINDS, kaggle_layout.PHOTO, kaggle_layout.PHOTO_MASK)
    files: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
    problems = {}
    for name in sorted(names):
        if parsed := kaggle_layout.parse(name):
            kind, frame_id = parsed
            first = files[kind].setdefault(frame_id, name)
            if first != name:
                problems[frame_id] = f"two files: {first} and {name}"
    return files, problems

"""Which files make up a frame, and which split it belongs to."""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable

from lunar_tfds import kaggle_layout
from lunar_tfds.kaggle_layout import RENDER

# Of renders, and of photos of the Moon.
RENDER_SPLITS = TRAIN, VALIDATION, TEST = ("train", "validation", "test")
REAL = "real"
SPLITS = (*RENDER_SPLITS, REAL)


@dataclasses.dataclass(frozen=True)
class Frame:
    """The files of one example, as names in the source.

    Attributes:
        frame_id: '0001' for renders, 'PCAM5' for photos.
        split: one of SPLITS.
        image: the render or photo.
        masks: the label image of each kind of mask that the source has; of a photo its
            one hand-made mask stands for each.
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
    """Returns 'train', 'validation' or 'test' for a render: 80, 10, 10 per cent.

    The first 32 bits of SHA-256 of the id, modulo 10: 0 to 7 train, 8 validation, 9
    test. It depends on nothing but the id, so a frame never changes its split.
    """
    digest = hashlib.sha256(frame_id.encode()).hexdigest()
    bucket = int(digest[:8], 16) % 10
    return RENDER_SPLITS[max(bucket - 7, 0)]


def find_frames(
    names: Collection[str],
) -> tuple[list[Frame], dict[str, str], list[str]]:
    """Returns the frames, in order of id, and what is wrong with the file list.

    Args:
        names: names of files in the source, relative to the dataset's root.

    Returns:
        frames: list of Frame, renders first, then photos.
        problems: dict of frame id to reason, for frames that lack a partner file.
        photos_without_mask: list of ids of photos that have no `g_` file.
    """
    files, problems = _by_kind(names)
    mask_kinds = kaggle_layout.masks_among(names)
    kinds = (RENDER, *mask_kinds)
    frames = []
    for frame_id in sorted(set().union(*(files[kind] for kind in kinds))):
        missing = [kind for kind in kinds if frame_id not in files[kind]]
        if missing:
            problems[frame_id] = "missing partner: " + ", ".join(
                f"no {kaggle_layout.frame_file(kind, frame_id)}" for kind in missing
            )
        if frame_id not in problems:
            masks = {kind: files[kind][frame_id] for kind in mask_kinds}
            image = files[RENDER][frame_id]
            frames.append(Frame(frame_id, split_of(frame_id), image, masks))
    photos = files[kaggle_layout.PHOTO]
    masks_of_photos = files[kaggle_layout.PHOTO_MASK]
    for frame_id in sorted(masks_of_photos.keys() - photos.keys()):
        missing_file = kaggle_layout.photo_file(frame_id)
        problems[frame_id] = f"missing partner: no {missing_file}"
    for frame_id in sorted(photos.keys() & masks_of_photos.keys()):
        if frame_id not in problems:
            masks = dict.fromkeys(mask_kinds, masks_of_photos[frame_id])
            frames.append(Frame(frame_id, REAL, photos[frame_id], masks))
    return frames, problems, sorted(photos.keys() - masks_of_photos.keys())


def _by_kind(
    names: Iterable[str],
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Returns names by kind and frame id, and a problem for each id that is twice."""
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

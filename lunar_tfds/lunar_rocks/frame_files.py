"""The Kaggle layout: which files make up a frame, and which split it belongs to."""

import dataclasses
import hashlib
import posixpath
import re

# Renders and their masks, px.
FRAME_SIZE = FRAME_WIDTH, FRAME_HEIGHT = 720, 480
SPLITS = ("train", "validation", "test", "real")
KINDS = ("render", "ground", "clean")
FOLDERS = tuple(f"images/{kind}" for kind in KINDS) + ("real_moon_images",)
_FRAME_FILE = re.compile(r"images/(render|ground|clean)/\1(\d{1,9})\.png", re.I)
# Names with a dot in front are hidden files, such as macOS's "._PCAM5.png".
_PHOTO_FILE = re.compile(r"real_moon_images/(g_)?([^/.][^/]*)\.png", re.I)
_TEXT_FILE = re.compile(r"bounding_boxes\.csv|[^.].*_IDs\.txt")


@dataclasses.dataclass(frozen=True)
class Frame:
    """The files of one example, as names in the source.

    Attributes:
        frame_id: '0001' for renders, 'PCAM5' for photos.
        split: one of SPLITS.
        image: the render or photo.
        ground: the raw label image; of a photo its one hand-made mask.
        clean: the cleaned label image; of a photo the same file.
    """

    frame_id: str
    split: str
    image: str
    ground: str
    clean: str

    @property
    def is_photo(self):
        """Whether this is a photo of the Moon rather than a render."""
        return self.split == "real"


def split_of(frame_id):
    """Returns 'train', 'validation' or 'test' for a render: 80, 10, 10 per cent.

    The first 32 bits of SHA-256 of the id, modulo 10: 0 to 7 train, 8 validation, 9
    test. It depends on nothing but the id, so a frame never changes its split.
    """
    digest = hashlib.sha256(frame_id.encode()).hexdigest()
    bucket = int(digest[:8], 16) % 10
    return ("train", "validation", "test")[max(bucket - 7, 0)]


def find_frames(names):
    """Returns the frames, in order of id, and what is wrong with the file list.

    Args:
        names: names of files in the source, relative to the dataset's root.

    Returns:
        frames: list of Frame, renders first, then photos.
        problems: dict of frame id to reason, for frames that lack a partner file.
        photos_without_mask: list of ids of photos that have no `g_` file.
    """
    kinds = {kind: {} for kind in (*KINDS, "photo", "mask")}
    problems = {}
    for name in sorted(names):
        kind, frame_id = _classify(name)
        if kind and frame_id in kinds[kind]:
            problems[frame_id] = f"two files: {kinds[kind][frame_id]} and {name}"
        elif kind:
            kinds[kind][frame_id] = name
    frames = []
    for frame_id in sorted(set().union(*(kinds[kind] for kind in KINDS))):
        files = [kinds[kind].get(frame_id) for kind in KINDS]
        missing = [
            f"no images/{kind}/{kind}{frame_id}.png"
            for kind, file in zip(KINDS, files, strict=True)
            if file is None
        ]
        if missing:
            problems[frame_id] = "missing partner: " + ", ".join(missing)
        if frame_id not in problems:
            frames.append(Frame(frame_id, split_of(frame_id), *files))
    for frame_id in sorted(kinds["mask"].keys() - kinds["photo"].keys()):
        problems[frame_id] = f"missing partner: no real_moon_images/{frame_id}.png"
    for frame_id in sorted(kinds["photo"].keys() & kinds["mask"].keys()):
        mask = kinds["mask"][frame_id]
        if frame_id not in problems:
            photo = kinds["photo"][frame_id]
            frames.append(Frame(frame_id, "real", photo, mask, mask))
    return frames, problems, sorted(kinds["photo"].keys() - kinds["mask"].keys())


def _classify(name):
    if match := _FRAME_FILE.fullmatch(name):
        return match[1].lower(), str(int(match[2])).zfill(4)
    if match := _PHOTO_FILE.fullmatch(name):
        return ("mask" if match[1] else "photo"), match[2]
    return None, None


def is_dataset_file(name):
    """Returns whether a file of this name takes part in the dataset."""
    folder, base = posixpath.split(name)
    if folder in FOLDERS:
        return _classify(name)[0] is not None
    return not folder and bool(_TEXT_FILE.fullmatch(base))

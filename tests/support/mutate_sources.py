"""Damages dataset folders in a thousand ways and builds each.

    python -m tests.support.mutate_sources --mutations=1000

Every build must give the examples that an independent reader finds in the damaged
folder, or stop with a ValueError that names the damaged file or its frame. Anything
else ends the script with the seed that repeats it.
"""

import collections
import dataclasses
import functools
import io
import pathlib
import random
import shutil
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from lunar_tfds import command_line, kaggle_layout
from lunar_tfds.settings import at_least, check, setting
from tests.support import building, tiny_frames

NUM_FRAMES = 3


@functools.cache
def _original():
    """Returns a folder of small frames in the Kaggle layout, made once a process."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lunar_rocks_mutations_"))
    return tiny_frames.write_kaggle_folder(folder, num_frames=NUM_FRAMES, num_photos=1)


def truncate(file, rng):
    """Cuts the file short."""
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data))])


def flip_bytes(file, rng):
    """Changes one to four bytes."""
    data = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= rng.randint(1, 255)
    file.write_bytes(data)


def zero_block(file, rng):
    """Blanks a block, as a failing disk does."""
    data = bytearray(file.read_bytes())
    start = rng.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)


def append(file, rng):
    """Adds bytes after the end."""
    file.write_bytes(file.read_bytes() + rng.randbytes(rng.randint(1, 100)))


def drop(file, rng):
    """Deletes the file."""
    del rng
    file.unlink()


def rename(file, rng):
    """Gives the file another frame's number, or another name altogether."""
    stem = file.stem.rstrip("0123456789")
    names = [f"{stem}0009.png", f"{stem}0002.png", f"copy of {file.name}", "x.bin"]
    file.rename(file.with_name(rng.choice(names)))


def resize(file, rng):
    """Saves the picture at another size."""
    size = rng.choice([(719, 480), (480, 720), (1, 1), (1440, 960)])
    Image.open(file).resize(size, Image.Resampling.NEAREST).save(file)


def recolour(file, rng):
    """Shuffles the channels or inverts the picture."""
    pixels = np.array(Image.open(file))
    orders = [(2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0)]
    pixels = 255 - pixels if rng.random() < 0.3 else pixels[..., rng.choice(orders)]
    Image.fromarray(np.ascontiguousarray(pixels)).save(file)


def other_mode(file, rng):
    """Saves the picture as another kind of PNG, or as another format."""
    image = Image.open(file)
    kind = rng.choice(["RGBA", "P", "L", "1", "JPEG", "BMP"])
    if kind in ("JPEG", "BMP"):
        image.save(file, kind)
    else:
        image.convert(kind).save(file)


def swap(file, rng):
    """Exchanges the file with another one of the folder."""
    others = [path for path in _files(file) if path != file]
    other = rng.choice(others)
    aside = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(aside)


def text(file, rng):
    """Damages the box file or adds a list of defects that is none."""
    root = _root(file)
    boxes = root / kaggle_layout.BOXES_FILE
    if rng.random() < 0.5:
        flip_bytes(boxes, rng)
    else:
        (root / kaggle_layout.defects_file("shadow")).write_bytes(
            rng.randbytes(rng.randint(0, 30))
        )


MUTATIONS = (
    truncate,
    flip_bytes,
    zero_block,
    append,
    drop,
    rename,
    resize,
    recolour,
    other_mode,
    swap,
    text,
)


def _root(file):
    return next(
        path for path in file.parents if (path / kaggle_layout.BOXES_FILE).exists()
    )


def _files(file):
    return sorted(_root(file).rglob("*.png"))


def _mutate(folder, rng):
    mutation = rng.choice(MUTATIONS)
    file = rng.choice(sorted(folder.rglob("*.png")))
    mutation(file, rng)
    return mutation.__name__, file


def _expected(folder):
    """Returns frame id to (image, ground ids, clean ids), read with Pillow alone."""
    expected = {}
    photos = folder / kaggle_layout.PHOTOS
    renders = folder / kaggle_layout.frame_file("render", "????")
    ids = [file.stem[6:] for file in renders.parent.glob(renders.name)]
    triples = [
        (i, [folder / kaggle_layout.frame_file(k, i) for k in kaggle_layout.KINDS])
        for i in ids
    ]
    triples += [
        (file.stem, [file] + [photos / f"g_{file.name}"] * 2)
        for file in photos.glob("*.png")
        if not file.name.startswith("g_")
    ]
    for frame_id, files in triples:
        if all(file.exists() for file in files):
            image, ground, clean = (_pixels(file) for file in files)
            expected[frame_id] = image, _ids(ground), _ids(clean)
    return expected


def _pixels(file):
    image = Image.open(io.BytesIO(file.read_bytes()))
    return np.asarray(image.convert("RGB"))


def _ids(rgb):
    red, green, blue = (rgb[..., channel] >= 100 for channel in range(3))
    return np.where(blue, 3, np.where(green, 2, np.where(red, 1, 0)))


def try_mutation(seed, workdir):
    """Returns 'right examples', 'clear error', or what went wrong."""
    rng = random.Random(seed)
    folder = building.copy(_original(), pathlib.Path(workdir) / "k")
    mutation, file = _mutate(folder, rng)
    try:
        builder = building.build(folder, pathlib.Path(workdir) / "d")
    except ValueError as error:
        return _judge_error(str(error), mutation, pathlib.Path(workdir))
    examples = building.read(builder)
    expected = _expected(folder)
    if examples.keys() != expected.keys():
        return f"{mutation} {file}: frames {sorted(examples)}, not {sorted(expected)}"
    for frame_id, values in expected.items():
        _, example = examples[frame_id]
        found = example["image"], example["ground_mask"], example["clean_mask"]
        for left, right in zip(found, values, strict=True):
            if left.shape[:2] != right.shape[:2] or (left.squeeze() != right).any():
                return f"{mutation} {file}: wrong pixels in {frame_id}"
    return "right examples"


def _judge_error(message, mutation, workdir):
    if list((workdir / "d" / "lunar_rocks").iterdir()):
        return f"{mutation}: left a folder behind"
    named = (".png", ".csv", "_IDs.txt", "do not fit the pictures")
    if not any(name in message for name in named):
        return f"{mutation}: the error names no file: {message}"
    return "clear error"


@dataclasses.dataclass(frozen=True)
class Mutations:
    """How many to try."""

    mutations: int = setting(1000, "How many.", at_least(1))
    first_seed: int = setting(0, "Seed of the first.", at_least(0))

    def __post_init__(self):
        check(self)


def main(config):
    """Tries mutations and prints how each kind ended."""
    outcomes = collections.Counter()
    began = time.monotonic()
    for seed in range(config.first_seed, config.first_seed + config.mutations):
        workdir = tempfile.mkdtemp(prefix="lunar_rocks_mutation_")
        try:
            outcome = try_mutation(seed, workdir)
        finally:
            shutil.rmtree(workdir)
        outcomes[outcome] += 1
        if outcome not in ("right examples", "clear error"):
            raise ValueError(f"seed {seed}: {outcome}")
    seconds = time.monotonic() - began
    print(f"{config.mutations} mutations in {seconds:.0f} s: {dict(outcomes)}")


if __name__ == "__main__":
    sys.exit(command_line.run(Mutations, main))

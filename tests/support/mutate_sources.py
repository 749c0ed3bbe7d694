"""Damages dataset folders in a thousand ways and builds each.

    python -m tests.support.mutate_sources --mutations=1000 --swapped_sets=10

Every build must give the examples that an independent reader finds in the damaged
folder, list the frames that it leaves out, or stop with a ValueError that names the
damaged file or its frame. Anything else ends the script with the seed that repeats it.

Then sets of drawn scenes, and --real_frames, are painted in every other order of the
colours: the evidence must find each, and say nothing of the sets as they are.
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
from lunar_tfds.kaggle_layout import MASKS
from lunar_tfds.lunar_rocks import palette_check
from lunar_tfds.settings import at_least, check, setting
from tests.support import building, mutations, swapped_sets, tiny_frames

NUM_FRAMES = 3


@functools.cache
def _original():
    """Returns a folder of small frames in the Kaggle layout, made once a process."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lunar_rocks_mutations_"))
    return tiny_frames.write_kaggle_folder(folder, num_frames=NUM_FRAMES, num_photos=1)


def _expected(folder):
    """Returns (frame id to image and mask files, kinds of mask), by the names alone."""
    photos = folder / kaggle_layout.PHOTOS
    names = {
        kind: {
            file.stem.removeprefix(kind): file
            for file in (folder / kaggle_layout.IMAGES / kind).glob(
                f"{kind}[0-9][0-9][0-9][0-9].png"
            )
        }
        for kind in kaggle_layout.KINDS
        if (folder / kaggle_layout.IMAGES / kind).exists()
    }
    masks = [kind for kind in MASKS if kind in names]
    frames = set.intersection(*map(set, names.values()))
    expected = {i: [names[kind][i] for kind in names] for i in frames}
    for file in photos.glob("*.png"):
        mask = photos / f"g_{file.name}"
        if not file.name.startswith("g_") and mask.exists():
            expected[file.stem] = [file] + [mask] * len(masks)
    return expected, masks


def _pixels(file):
    image = Image.open(io.BytesIO(file.read_bytes()))
    return np.asarray(image.convert("RGB"))


def _ids(rgb):
    # Sky counts from half of its intensity on, rocks from the author's threshold.
    red, green, blue = (rgb[..., k] >= least for k, least in enumerate((113, 100, 100)))
    return np.where(blue, 3, np.where(green, 2, np.where(red, 1, 0)))


def try_mutation(seed, workdir):
    """Returns 'right examples', 'clear error', or what went wrong."""
    rng = random.Random(seed)
    folder = building.copy(_original(), pathlib.Path(workdir) / "k")
    mutation, file = mutations.mutate(folder, rng)
    leave_out = rng.random() < 0.5
    try:
        builder = building.build(
            folder, pathlib.Path(workdir) / "d", leave_out=leave_out
        )
    except ValueError as error:
        return _judge_error(str(error), mutation, pathlib.Path(workdir))
    examples = building.read(builder)
    left_out = builder.info.metadata["left_out_frames"]
    expected, masks = _expected(folder)
    if examples.keys() != expected.keys() - left_out.keys():
        return f"{mutation} {file}: frames {sorted(examples)}, not {sorted(expected)}"
    if left_out and not leave_out:
        return f"{mutation} {file}: {sorted(left_out)} left out unasked"
    for frame_id, (_, example) in examples.items():
        image, *labels = map(_pixels, expected[frame_id])
        found = [example["image"], *(example[f"{kind}_mask"] for kind in masks)]
        for left, right in zip(found, [image, *map(_ids, labels)], strict=True):
            if left.shape[:2] != right.shape[:2] or (left.squeeze() != right).any():
                return f"{mutation} {file}: wrong pixels in {frame_id}"
        if any(f"{kind}_mask" in example for kind in MASKS if kind not in masks):
            return f"{mutation} {file}: a mask that the source has not"
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
    """How many to try, and of what."""

    mutations: int = setting(1000, "How many.", at_least(0))
    first_seed: int = setting(0, "Seed of the first.", at_least(0))
    swapped_sets: int = setting(0, "Drawn sets to repaint, seeds 0, 1 ...", at_least(0))
    scenes: int = setting(24, "Scenes of each.", at_least(palette_check.MIN_FRAMES))
    drawn_dir: str | None = setting(
        None, "Folder that keeps the drawn sets.", is_path=True
    )
    real_frames: str | None = setting(
        None, "Folder of real frames; none by default.", is_path=True
    )

    def __post_init__(self):
        check(self)


def main(config):
    """Tries mutations, then swapped sets, and prints how each ended."""
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
    folder = config.drawn_dir or tempfile.mkdtemp(prefix="lunar_rocks_swapped_")
    wrong = []
    for seed in range(config.swapped_sets):
        scenes = swapped_sets.drawn(folder, seed, config.scenes)
        found = swapped_sets.failures(scenes)
        wrong += [f"seed {seed}: {text}" for text in found]
        print(f"drawn set {seed}: {len(found)} failures", flush=True)
    if config.real_frames:
        found = swapped_sets.failures(swapped_sets.read(config.real_frames))
        wrong += [f"real frames: {text}" for text in found]
        print(f"real frames: {len(found)} failures")
    if wrong:
        raise ValueError("\n  ".join(["Wrongly judged:", *wrong]))


if __name__ == "__main__":
    sys.exit(command_line.run(Mutations, main))

"""Times a build against one thread and against the least work a build can do.

Run `python -m lunar_tfds.lunar_rocks.benchmark --source=FOLDER --num_frames=600`. The
frames of the source are copied under new numbers until there are enough of them.
"""

import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("source", None, "Folder in the Kaggle layout.", required=True)
flags.DEFINE_integer("num_frames", 600, "Frames to build.", lower_bound=1)
flags.DEFINE_integer("rounds", 2, "The best of so many runs counts.", lower_bound=1)
flags.DEFINE_bool("only_build", False, "One build, for its peak memory.")
KINDS = ("render", "ground", "clean")


def multiply(source, folder, num_frames):
    """Links the frames of a source under new numbers.

    Returns:
        list of (render, ground, clean) paths.
    """
    ids = sorted(path.stem[6:] for path in (source / "images/render").glob("*.png"))
    frames = []
    for number in range(num_frames):
        old, files = ids[number % len(ids)], []
        for kind in KINDS:
            file = folder / f"images/{kind}/{kind}{number + 1:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / f"images/{kind}/{kind}{old}.png", file)
            files.append(file)
        frames.append(files)
    return frames


def floor(frames, folder, to_ids):
    """Decodes every mask once and copies every render, on all cores.

    Args:
        frames: list of (render, ground, clean) paths.
        folder: where the copies go.
        to_ids: turn the pixels into class ids, too.
    """
    import io

    import numpy as np
    from PIL import Image

    from lunar_tfds import palette
    from lunar_tfds.lunar_rocks import parallel

    def work(files):
        render, *masks = files
        shutil.copyfile(render, folder / render.name)
        for mask in masks:
            rgb = np.asarray(Image.open(io.BytesIO(mask.read_bytes())))
            if to_ids:
                palette.class_ids(rgb)

    folder.mkdir()
    for _ in parallel.ordered_map(work, frames):
        pass


def build(source, data_dir, num_threads=None):
    """Builds the dataset with all cores, or with this many threads."""
    import tensorflow_datasets as tfds

    import lunar_tfds
    from lunar_tfds.lunar_rocks import parallel

    cores = parallel.num_cores
    if num_threads:
        parallel.num_cores = lambda: num_threads
    try:
        lunar_tfds.LunarRocks(data_dir=data_dir).download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=source)
        )
    finally:
        parallel.num_cores = cores


def seconds(function, *args):
    """Returns (wall seconds, CPU seconds) of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def main(argv):
    """Prints the table."""
    del argv
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    # Beside the source, so that frames are linked and not copied.
    source = pathlib.Path(FLAGS.source)
    with tempfile.TemporaryDirectory(dir=source.parent) as temporary:
        root = pathlib.Path(temporary)
        frames = multiply(source, root / "kaggle", FLAGS.num_frames)
        if not FLAGS.only_build:
            compare(root, frames)
        else:
            wall, _ = seconds(build, root / "kaggle", root / "data")
            print(f"{len(frames)} frames in {wall:.1f} s, {len(frames) / wall:.0f}/s")
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak / 2 ** (30 if sys.platform == "darwin" else 20)
    print(f"peak memory {peak:.2f} GiB")


def compare(root, frames):
    """Measures all rivals in turn, several rounds, and prints the best of each."""
    rivals = {
        "floor: decode masks, copy renders": lambda to: floor(frames, to, False),
        "floor + class ids": lambda to: floor(frames, to, True),
        "build, all cores": lambda to: build(root / "kaggle", to),
        "build, one thread": lambda to: build(root / "kaggle", to, 1),
    }
    best = {}
    build(root / "kaggle", root / "warm-up")  # Imports TensorFlow, fills the cache.
    shutil.rmtree(root / "warm-up")
    for _ in range(FLAGS.rounds):
        for name, rival in rivals.items():
            taken = seconds(rival, root / "out")
            best[name] = min(best.get(name, taken), taken)
            shutil.rmtree(root / "out")
    base, _ = next(iter(best.values()))
    print(f"{len(frames)} frames, {os.cpu_count()} cores, best of {FLAGS.rounds}")
    print(f"{'':36}{'frames/s':>10}{'CPU ms/frame':>14}{'x floor':>10}")
    for name, (wall, cpu) in best.items():
        rate, cost = len(frames) / wall, 1e3 * cpu / len(frames)
        print(f"{name:36}{rate:10.0f}{cost:14.1f}{wall / base:10.2f}")


if __name__ == "__main__":
    app.run(main)

"""Times a build against one thread and against the least work a build can do.

Run `python -m lunar_tfds.lunar_rocks.benchmark --source=FOLDER --num_frames=600`. The
frames of the source, and their boxes, are copied under new numbers until there are
enough of them.
"""

import csv
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

from absl import app, flags

from lunar_tfds.lunar_rocks import annotations

FLAGS = flags.FLAGS
flags.DEFINE_string("source", None, "Folder in the Kaggle layout.", required=True)
flags.DEFINE_integer("num_frames", 600, "Frames to build.", lower_bound=1)
flags.DEFINE_integer("rounds", 2, "The best of so many runs counts.", lower_bound=1)
flags.DEFINE_bool("only_build", False, "One build, for its peak memory.")
KINDS = ("render", "ground", "clean")


def multiply(source, folder, num_frames):
    """Links the frames of a source, and copies their boxes, under new numbers."""
    ids = sorted(path.stem[6:] for path in (source / "images/render").glob("*.png"))
    for number in range(num_frames):
        old = ids[number % len(ids)]
        for kind in KINDS:
            file = folder / f"images/{kind}/{kind}{number + 1:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / f"images/{kind}/{kind}{old}.png", file)
    _multiply_boxes(source, folder, [int(frame_id) for frame_id in ids], num_frames)


def _multiply_boxes(source, folder, ids, num_frames):
    with open(source / annotations.BOXES_FILE) as file:
        header, *rows = csv.reader(file)
    with open(folder / annotations.BOXES_FILE, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(header)
        for number in range(num_frames):
            old = ids[number % len(ids)]
            boxes = [box for frame, *box in rows if int(frame) == old]
            table.writerows([number + 1, *box] for box in boxes)


def floor(source, folder):
    """Decodes every mask once and copies every render, on all cores.

    It reads and decodes with the builder's own functions, writes the bytes of the
    renders into one TFRecord file, and does nothing else: no check, no class ids, no
    mask is stored.

    Args:
        source: folder in the Kaggle layout.
        folder: where the copies go.
    """
    import tensorflow as tf

    from lunar_tfds.lunar_rocks import frame_files, frame_reader, parallel, sources

    files = sources.FolderSource(source)
    frames, _, _ = frame_files.find_frames(files.sizes)

    def work(frame):
        for mask in (frame.ground, frame.clean):
            frame_reader.decode(files.read(mask))
        return files.read(frame.image)

    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "renders.tfrecord")) as writer:
        for render in parallel.ordered_map(work, frames):
            writer.write(render)


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
        num_frames = FLAGS.num_frames
        multiply(source, root / "kaggle", num_frames)
        if not FLAGS.only_build:
            compare(root, num_frames)
        else:
            wall, _ = seconds(build, root / "kaggle", root / "data")
            print(f"{num_frames} frames in {wall:.1f} s, {num_frames / wall:.0f}/s")
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak / 2 ** (30 if sys.platform == "darwin" else 20)
    print(f"peak memory {peak:.2f} GiB")


def compare(root, num_frames):
    """Measures all rivals in turn, several rounds, and prints the best of each."""
    rivals = {
        "floor: decode masks, copy renders": lambda to: floor(root / "kaggle", to),
        "build, all cores": lambda to: build(root / "kaggle", to),
        "build, one thread": lambda to: build(root / "kaggle", to, 1),
    }
    best = {}
    build(root / "kaggle", root / "warm-up")  # Imports TensorFlow, fills the cache.
    shutil.rmtree(root / "warm-up")
    for _ in range(FLAGS.rounds):
        for name, rival in rivals.items():
            taken = seconds(rival, root / "out")
            fastest = best.get(name, taken)
            best[name] = tuple(map(min, taken, fastest))
            shutil.rmtree(root / "out")
    least_wall, least_cpu = next(iter(best.values()))
    print(f"{num_frames} frames, {os.cpu_count()} cores, best of {FLAGS.rounds}")
    print(f"{'':36}{'frames/s':>10}{'x floor':>9}{'CPU ms/frame':>14}{'x floor':>9}")
    for name, (wall, cpu) in best.items():
        rate, cost = num_frames / wall, 1e3 * cpu / num_frames
        ratios = wall / least_wall, cpu / least_cpu
        print(f"{name:36}{rate:10.0f}{ratios[0]:9.2f}{cost:14.1f}{ratios[1]:9.2f}")


if __name__ == "__main__":
    app.run(main)

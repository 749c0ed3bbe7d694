"""Writes scenes as files in the Kaggle dataset's layout."""

import concurrent.futures
import csv
import io
import itertools
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import threading

import numpy as np
from PIL import Image, PngImagePlugin
from tqdm import tqdm

from lunar_tfds.synthetic import labels, scene

FOLDERS = ("render", "ground", "clean")
BOXES_FILE = "bounding_boxes.csv"
CSV_HEADER = ("Frame", "TopLeftCornerX", "TopLeftCornerY", "Length", "Height")
# A scene's files carry its origin; raise the number when the same seed draws anew.
ORIGIN_KEY = "lunar_tfds.synthetic"
RENDERER_VERSION = 2
PNG_LEVEL = 3  # On these grainy pictures smaller than the default and 4 times faster.
PARTIAL = ".partial"  # Files under way, inside the output folder.


def write_scenes(output_dir, num_scenes, seed=0, processes=None, *, progress=True):
    """Draws scenes 1 to `num_scenes` of a seed and returns how many were new.

    Scenes whose three files are already whole are kept. A file appears under its name
    only when it is complete.

    Args:
        output_dir: folder for `images/` and `bounding_boxes.csv`; made if missing.
        num_scenes: at least 1.
        seed: at least 0. The same seed draws the same bytes, whatever `num_scenes`
            and `processes`.
        processes: at least 1; None for one a core.
        progress: whether to show a progress bar.

    Raises:
        ValueError: a number is out of range, `output_dir` is a file, or it holds
            frames that are not scenes of this seed.
    """
    processes = processes or os.cpu_count()
    for name, value, least in (
        ("num_scenes", num_scenes, 1),
        ("seed", seed, 0),
        ("processes", processes, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}: got {value}.")
    root = pathlib.Path(output_dir)
    if root.exists() and not root.is_dir():
        raise ValueError(f"output_dir must be a folder: {root} is a file.")
    for folder in FOLDERS:
        (root / "images" / folder).mkdir(parents=True, exist_ok=True)
    (root / PARTIAL).mkdir(exist_ok=True)
    wanted = range(1, num_scenes + 1)
    # Of a run that is killed no boxes are better than those of some scenes alone: the
    # builder warns of a missing file.
    (root / BOXES_FILE).unlink(missing_ok=True)
    others = sorted(_present(root) - set(wanted))
    jobs = [(root, seed, k, True) for k in wanted]
    jobs += [(root, seed, k, False) for k in others]
    rows, drawn = [], 0
    bar = tqdm(total=len(jobs), unit="scene", desc="scenes", disable=not progress)
    with bar:
        for index, boxes, new in _run(jobs, min(processes, len(jobs))):
            rows += [(index, *box) for box in boxes]
            drawn += new
            bar.update()
    _write_boxes(root, rows)
    shutil.rmtree(root / PARTIAL, ignore_errors=True)
    return drawn


def _run(jobs, processes):
    """Yields the results of the jobs in their order."""
    if processes == 1:
        yield from itertools.starmap(_finish_scene, jobs)
        return
    # Spawned, not forked: the caller may have started TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, context, initializer=_follow_parent
    ) as pool:
        try:
            yield from pool.map(_finish_scene, *zip(*jobs, strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _follow_parent():
    """Makes a worker end with its parent, even a killed one, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _present(root):
    """Returns the set of frame numbers with a ground file."""
    names = (p.name for p in (root / "images" / "ground").iterdir())
    found = (re.fullmatch(r"ground(\d{4,})\.png", name) for name in names)
    return {int(match[1]) for match in found if match}


def _finish_scene(root, seed, index, draw):
    """Returns (index, boxes, new) of a scene that lies whole in its files."""
    origin = f"scene {index} of seed {seed}, renderer {RENDERER_VERSION}"
    paths = {f: root / "images" / f / f"{f}{index:04d}.png" for f in FOLDERS}
    if not draw:
        ground = _read(paths["ground"], None)
        return index, [] if ground is None else labels.find_boxes(ground), False
    images = {f: _read(path, origin) for f, path in paths.items()}
    if all(image is not None for image in images.values()):
        return index, labels.find_boxes(images["ground"]), False
    *arrays, boxes = scene.render_scene(seed, index)
    for folder, array in zip(FOLDERS, arrays, strict=True):
        _write(root, paths[folder], _png(array, origin))
    return index, boxes, True


def _read(path, origin):
    """Returns uint8 [H, W, 3], or None where the file is missing or damaged.

    Args:
        path: of a PNG file.
        origin: what its text must say, or None for anything.

    Raises:
        ValueError: the file is whole but of another origin.
    """
    try:
        with Image.open(path) as image:
            array = np.array(image.convert("RGB"))
            found = image.info.get(ORIGIN_KEY)
    except (OSError, SyntaxError):  # Pillow's errors for broken PNG files.
        return None
    if origin is not None and found != origin:
        raise ValueError(
            f"output_dir must be new or hold scenes of the same seed: {path} is "
            f"{found or 'no scene of this renderer'}, wanted {origin}. "
            "Choose another --output_dir, or delete that folder."
        )
    return array


def _png(array, origin):
    """Returns the bytes of a PNG file."""
    text = PngImagePlugin.PngInfo()
    text.add_text(ORIGIN_KEY, origin)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", pnginfo=text, compress_level=PNG_LEVEL)
    return buffer.getvalue()


def _write(root, path, content):
    """Puts a file in place whole, or not at all."""
    partial = root / PARTIAL / f"{path.name}.{os.getpid()}"
    partial.parent.mkdir(exist_ok=True)
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _write_boxes(root, rows):
    """Writes `bounding_boxes.csv`, sorted by frame."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_HEADER)
    table.writerows(sorted(rows))
    _write(root, root / BOXES_FILE, text.getvalue().encode())

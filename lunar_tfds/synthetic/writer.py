"""Writes scenes as files in the Kaggle dataset's layout."""

import concurrent.futures
import csv
import io
import itertools
import multiprocessing
import os
import pathlib
import signal
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image
from tqdm import tqdm

from lunar_tfds import atomic_files, cores, kaggle_layout, pictures
from lunar_tfds.synthetic import labels, scene

# A scene's files carry its origin; raise the number when the same seed draws anew.
ORIGIN_KEY = "lunar_tfds.synthetic"
RENDERER_VERSION = 2
PNG_LEVEL = 3  # On these grainy pictures smaller than the default and 4 times faster.


def write_scenes(
    output_dir: str | os.PathLike,
    num_scenes: int,
    seed: int = 0,
    processes: int | None = None,
    *,
    progress: bool = True,
) -> int:
    """Draws scenes 1 to `num_scenes` of a seed and returns how many were new.

    Scenes whose three files are already whole are kept, those beyond `num_scenes` too.
    A file appears under its name only when it is complete. A folder that holds any
    other frames or boxes is left as it is.

    Args:
        output_dir: folder for `images/` and `bounding_boxes.csv`; made if missing.
        num_scenes: at least 1.
        seed: at least 0. The same seed draws the same bytes, whatever `num_scenes`
            and `processes`.
        processes: at least 1; None for one a core.
        progress: whether to show a progress bar.

    Raises:
        ValueError: a number is out of range, `output_dir` is a file, or it holds
            frames or boxes that are not of this seed.
    """
    processes = cores.num_cores() if processes is None else processes
    for name, value, least in (
        ("num_scenes", num_scenes, 1),
        ("seed", seed, 0),
        ("processes", processes, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}: got {value}.")
    root = pathlib.Path(output_dir)
    wanted = range(1, num_scenes + 1)
    jobs = [(root, seed, k, True) for k in wanted]
    others = sorted(_look_over(root, seed) - set(wanted))
    jobs += [(root, seed, k, False) for k in others]
    _remove_leftovers(root)
    # Of a run that is killed no boxes are better than those of some scenes alone: the
    # builder warns of a missing file.
    (root / kaggle_layout.BOXES_FILE).unlink(missing_ok=True)
    rows, drawn = [], 0
    bar = tqdm(total=len(jobs), unit="scene", desc="scenes", disable=not progress)
    with bar:
        for index, boxes, new in _run(jobs, min(processes, len(jobs))):
            rows += [(index, *box) for box in boxes]
            drawn += new
            bar.update()
    _write_boxes(root, rows)
    return drawn


def _look_over(root: pathlib.Path, seed: int) -> set[int]:
    """Returns the numbers of the scenes that a folder holds, and writes nothing.

    Raises:
        ValueError: it is a file, or holds what this renderer did not draw.
    """
    if root.exists() and not root.is_dir():
        raise ValueError(f"output_dir must be a folder: {root} is a file.")
    numbers = set()
    for folder in kaggle_layout.FOLDERS:
        for path in sorted((root / folder).glob("*")):
            parsed = kaggle_layout.parse(f"{folder}/{path.name}")
            if parsed and parsed[0] in kaggle_layout.KINDS:
                number = int(parsed[1])
                _check_origin(path, _origin(seed, number))
                numbers.add(number)
    boxes = root / kaggle_layout.BOXES_FILE
    if boxes.exists() and not numbers:
        raise _foreign(boxes, "boxes of other frames", f"a scene of seed {seed}")
    return numbers


def _remove_leftovers(root: pathlib.Path) -> None:
    """Removes what a killed run was about to write."""
    for kind in kaggle_layout.KINDS:
        folder = (root / kaggle_layout.frame_file(kind, "")).parent
        atomic_files.remove_temporary_files(folder, f"{kind}*.png")
    atomic_files.remove_temporary_files(root, kaggle_layout.BOXES_FILE)


def _origin(seed: int, number: int) -> str:
    """Returns what the files of a scene say of themselves."""
    return f"scene {number} of seed {seed}, renderer {RENDERER_VERSION}"


def _check_origin(path: pathlib.Path, origin: str) -> None:
    """Raises ValueError unless a file is of this origin, be it whole or cut short."""
    try:
        with Image.open(path) as image:  # The origin stands before the pixels.
            found = image.info.get(ORIGIN_KEY)
    except (OSError, SyntaxError):  # Pillow's errors for broken PNG files.
        found = None
    if found != origin:
        raise _foreign(path, found or "no scene of this renderer", origin)


def _foreign(path: pathlib.Path, found: str, wanted: str) -> ValueError:
    return ValueError(
        f"output_dir must be new or hold scenes of the same seed: {path} is {found}, "
        f"wanted {wanted}. Choose another --output_dir, or delete that folder."
    )


def _run(jobs: list, processes: int) -> Iterator[tuple]:
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


def _finish_scene(
    root: pathlib.Path, seed: int, number: int, draw: bool
) -> tuple[int, list, bool]:
    """Returns (number, boxes, whether it is new) of a scene that lies in its files."""
    origin = _origin(seed, number)
    frame_id = kaggle_layout.frame_id(number)
    paths = {
        kind: root / kaggle_layout.frame_file(kind, frame_id)
        for kind in kaggle_layout.KINDS
    }
    images = {kind: _read(path) for kind, path in paths.items()}
    ground = images[kaggle_layout.GROUND]
    if not draw or all(image is not None for image in images.values()):
        return number, [] if ground is None else labels.find_boxes(ground), False
    *arrays, boxes = scene.render_scene(seed, number)
    for path, array in zip(paths.values(), arrays, strict=True):
        text = {ORIGIN_KEY: origin}
        data = pictures.to_png(array, compress_level=PNG_LEVEL, text=text)
        atomic_files.write_bytes(path, data)
    return number, boxes, True


def _read(path: pathlib.Path) -> np.ndarray | None:
    """Returns uint8 [H, W, 3], or None where the file is missing or damaged."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError):  # Pillow's errors for broken PNG files.
        return None


def _write_boxes(root: pathlib.Path, rows: list) -> None:
    """Writes `bounding_boxes.csv`, sorted by frame."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(kaggle_layout.BOXES_HEADER)
    table.writerows(sorted(rows))
    atomic_files.write_text(root / kaggle_layout.BOXES_FILE, text.getvalue())

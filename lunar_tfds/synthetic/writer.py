"""Writes scenes as files in the Kaggle dataset's layout."""

import concurrent.futures
import csv
import functools
import io
import multiprocessing
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from lunar_tfds import atomic_files, image_arrays, kaggle_layout, machine, terminal
from lunar_tfds.synthetic import labels, scene
from lunar_tfds.synthetic.variety import STANDARD, STYLES

# Its (x, y, length, height), as in the file.
Box = tuple[float, float, int, int]
# A scene's files carry its origin; raise the number when the same seed draws anew.
ORIGIN_KEY = "lunar_tfds.synthetic"
RENDERER_VERSION = 4


def write_scenes(
    output_dir: str | os.PathLike,
    num_scenes: int,
    seed: int = 0,
    processes: int | None = None,
    *,
    style: str = STANDARD,
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
        style: a name in `variety.STYLES`.
        progress: whether to show a progress bar.

    Raises:
        ValueError: a number is out of range, `output_dir` is a file, or it holds
            frames or boxes that are not of this seed and style.
    """
    processes = machine.num_cores() if processes is None else processes
    for name, value, least in (
        ("num_scenes", num_scenes, 1),
        ("seed", seed, 0),
        ("processes", processes, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}: got {value}.")
    root = pathlib.Path(output_dir)
    numbers = _look_over(root, seed, style)
    there = [functools.partial(_read_scene, root, k) for k in numbers]
    found = list(_run(there, min(processes, len(there)))) if there else []
    boxes = {number: of_scene for number, of_scene, _ in found}
    _check_boxes(root, boxes, seed)
    _remove_leftovers(root)
    # Of a run that is killed no boxes are better than those of some scenes alone: the
    # builder warns of a missing file.
    (root / kaggle_layout.BOXES_FILE).unlink(missing_ok=True)
    whole = {number for number, _, is_whole in found if is_whole}
    missing = [k for k in range(1, num_scenes + 1) if k not in whole]
    draw = [functools.partial(_draw_scene, root, seed, style, k) for k in missing]
    bar = tqdm(total=num_scenes, unit="scene", desc="scenes", disable=not progress)
    with bar:
        bar.update(num_scenes - len(missing))
        for number, of_scene in _run(draw, min(processes, len(draw))) if draw else ():
            boxes[number] = of_scene
            bar.update()
    _write_boxes(root, [(k, *box) for k in boxes for box in boxes[k] or ()])
    return len(missing)


def _look_over(root: pathlib.Path, seed: int, style: str) -> list[int]:
    """Returns the numbers of the scenes in a folder, in order, and writes nothing.

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
                _check_origin(path, _origin(seed, style, number))
                numbers.add(number)
    return sorted(numbers)


def _check_boxes(
    root: pathlib.Path, boxes: dict[int, list[Box] | None], seed: int
) -> None:
    """Raises ValueError where a file of boxes holds others than those of the scenes.

    Args:
        root: folder of the file.
        boxes: of each scene that is there; None where its mask is damaged.
        seed: of the scenes.
    """
    path = root / kaggle_layout.BOXES_FILE
    if not path.exists():
        return
    foreign = _foreign(path, "boxes of other frames", f"those of scenes of seed {seed}")
    if not boxes:
        raise foreign
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
            listed = [(int(k), tuple(map(float, box))) for k, *box in rows]
    except (ValueError, csv.Error):
        raise foreign from None
    if tuple(header) != kaggle_layout.BOXES_HEADER:
        raise foreign
    for number, box in listed:
        if number not in boxes:
            raise foreign
        of_scene = boxes[number]
        if of_scene is not None and box not in of_scene:
            raise foreign


def _remove_leftovers(root: pathlib.Path) -> None:
    """Removes what a killed run was about to write."""
    for kind in kaggle_layout.KINDS:
        folder = (root / kaggle_layout.frame_file(kind, "")).parent
        atomic_files.remove_temporary_files(folder, f"{kind}*.png")
    atomic_files.remove_temporary_files(root, kaggle_layout.BOXES_FILE)


def _origin(seed: int, style: str, number: int) -> str:
    """Returns what the files of a scene say of themselves."""
    drawn = f"scene {number} of seed {seed}, renderer {RENDERER_VERSION}"
    return drawn if style == STANDARD else f"{drawn}, style {style}"


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
        f"output_dir must be new or hold scenes of the same seed and style: {path} is "
        f"{found}, wanted {wanted}. Choose another --output_dir, or delete that folder."
    )


def _run(jobs: Sequence[Callable[[], Any]], processes: int) -> Iterator[Any]:
    """Yields the results of the jobs in their order."""
    if processes == 1:
        yield from map(_call, jobs)
        return
    # Spawned, not forked: the caller may have started TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, context, initializer=_follow_parent
    ) as pool:
        try:
            # The first job starts the workers.
            with terminal.interrupts_kept_from_children():
                results = pool.map(_call, jobs)
            yield from results
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _call(job: Callable[[], Any]) -> Any:
    return job()


def _follow_parent():
    """Makes a worker end with its parent, even a killed one, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _paths(root: pathlib.Path, number: int) -> dict[str, pathlib.Path]:
    """Returns the files of a scene by kind."""
    frame_id = kaggle_layout.frame_id(number)
    return {
        kind: root / kaggle_layout.frame_file(kind, frame_id)
        for kind in kaggle_layout.KINDS
    }


def _read_scene(root: pathlib.Path, number: int) -> tuple[int, list[Box] | None, bool]:
    """Returns (number, boxes, whether all is whole) of a scene that lies in its files.

    The boxes are None where the mask that they follow from is missing or damaged.
    """
    images = {kind: _read(path) for kind, path in _paths(root, number).items()}
    ground = images[kaggle_layout.GROUND]
    boxes = None if ground is None else labels.find_boxes(ground)
    return number, boxes, all(image is not None for image in images.values())


def _draw_scene(
    root: pathlib.Path, seed: int, style: str, number: int
) -> tuple[int, list[Box]]:
    """Draws a scene into its files and returns (number, boxes)."""
    *arrays, boxes = scene.render_scene(seed, number, STYLES[style])
    text = {ORIGIN_KEY: _origin(seed, style, number)}
    for path, array in zip(_paths(root, number).values(), arrays, strict=True):
        data = image_arrays.to_png(
            array, compress_level=image_arrays.GRAINY_LEVEL, text=text
        )
        atomic_files.write_bytes(path, data)
    return number, boxes


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

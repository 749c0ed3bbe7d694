"""Checkpoints: `.keras` files that load anywhere and know what they are.

A workdir holds `checkpoints/{encoder}_unet-{epoch:03d}-{score:.4f}.keras` and
`checkpoints/index.json`, which names them, best first.
"""

import json
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from absl import logging

from lunar_tfds.atomic_files import atomic_path, write_json
from model.network import starter
from model.network.finiteness import first_not_finite

# Where train.py writes unless told otherwise, and where the other commands look.
DEFAULT_WORKDIR = "runs/vgg16_unet"
CHECKPOINT_FOLDER = "checkpoints"
INDEX_FILE = "index.json"
CHECKPOINT_NAME = "{encoder}_unet-{epoch:03d}-{score:.4f}.keras"
_NAME_PATTERN = re.compile(r"\w+_unet-(\d{3,})--?\d+\.\d{4}\.keras")
# The entry of the `.keras` zip that holds the details; Keras ignores it.
DETAILS_ENTRY = "details.json"
# What people pass in place of a checkpoint, by name or suffix: what it is, and whether
# it lies in the workdir (1) or a folder deeper (2), or elsewhere (0).
_OTHER_FILES = {
    "state.npz": ("the state of a run", 1),
    "config.json": ("the settings of a run", 1),
    "history.csv": ("the scores of a run", 1),
    "curves.png": ("the curves of a run", 1),
    INDEX_FILE: ("the list of a run's checkpoints", 2),
    ".h5": ("a file of weights alone", 0),
    ".onnx": ("a file that export.py wrote", 0),
    ".tflite": ("a file that export.py wrote", 0),
    ".pb": ("a part of a SavedModel", 0),
    ".zip": ("a zip", 0),
}
_NEEDED_DETAILS = ("image_size", "mask", "class_names")

PathLike = str | os.PathLike[str]


def save_model(model: keras.Model, path: PathLike, details: dict[str, Any]) -> None:
    """Writes an inference-only copy of `model` with `details` inside, atomically.

    The copy has no optimizer and no compile settings, and its BatchNormalization is
    not synchronized, so `keras.models.load_model(path)` needs no custom objects, any
    number of devices, and any Keras backend.

    Args:
        model: `keras.Model` whose layers can be rebuilt from their configuration.
        path: file ending in `.keras`.
        details: dict that JSON can hold; nan and infinity become null. At least
            `image_size`, `mask` and `class_names`.

    Raises:
        ValueError: a needed detail is missing.
        FloatingPointError: a weight is not finite.
        OSError: the file could not be written; what was there before is unharmed.
    """
    missing = [name for name in _NEEDED_DETAILS if name not in details]
    if missing:
        raise ValueError(f"details must hold {', '.join(missing)}: got {list(details)}")
    if name := first_not_finite(model.variables):
        raise FloatingPointError(f"{path} was not written: {name} is not finite")
    text = json.dumps(_without_nan(details), indent=2, allow_nan=False)
    copy = inference_copy(model)
    with atomic_path(path) as temporary:
        copy.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(DETAILS_ENTRY, text)


def inference_copy(model: keras.Model, dtype: str | None = None) -> keras.Model:
    """Returns `model` rebuilt uncompiled, with its weights, for any device count.

    Args:
        model: `keras.Model` whose layers can be rebuilt from their configuration.
        dtype: Keras dtype policy of all the copy's layers; None keeps each one's own.
    """
    config = model.get_config()
    for layer in config.get("layers", ()):
        if layer["class_name"] == "BatchNormalization":
            layer["config"]["synchronized"] = False
        if dtype is not None:
            layer["config"]["dtype"] = dtype
    copy = model.__class__.from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def read_details(
    path: PathLike, remedy: str = "Copy it again, or use another checkpoint of the run"
) -> dict[str, Any]:
    """Returns the details dict stored in the checkpoint file `path`.

    Args:
        path: the file.
        remedy: what to do where it is damaged.

    Raises:
        ValueError: the file is missing, truncated, or not a checkpoint of train.py.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}: the file does not exist")
    if other := _OTHER_FILES.get(path.name, _OTHER_FILES.get(path.suffix.lower())):
        what, depth = other
        workdir = f": {path.absolute().parents[depth - 1]}" if depth else ""
        raise ValueError(
            f"{path} is {what} and no checkpoint. Pass a .keras file that train.py "
            f"wrote, or its workdir{workdir}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
            details = json.loads(archive.read(DETAILS_ENTRY))
    except KeyError:
        raise ValueError(
            f"{path} is not a checkpoint of this project: it has no {DETAILS_ENTRY} "
            f"(it holds {', '.join(names)}). Pass a file that train.py wrote"
        ) from None
    except (zipfile.BadZipFile, json.JSONDecodeError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} is truncated or damaged ({path.stat().st_size} bytes: {error}). "
            f"{remedy}"
        ) from error
    if damaged:
        raise ValueError(
            f"{path} is damaged: its part {damaged} fails its checksum. {remedy}"
        )
    missing = [name for name in _NEEDED_DETAILS if name not in details]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)} in its {DETAILS_ENTRY}")
    return details


def run_of(path: PathLike) -> str | None:
    """Returns the name of the run that wrote a checkpoint file.

    None where the file tells no such name, cannot be read, or is not there.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(DETAILS_ENTRY)).get("run")
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, OSError):
        return None


def find_checkpoint(
    path_or_workdir: PathLike,
) -> tuple[pathlib.Path, dict[str, Any]]:
    """Returns the path of a whole checkpoint file, and its details.

    Args:
        path_or_workdir: see `load_checkpoint`.

    Raises:
        ValueError: nothing there, or a truncated or damaged file.
    """
    if path_or_workdir in starter.FILES:
        path = starter.starter_file(str(path_or_workdir))
    else:
        path = pathlib.Path(path_or_workdir)
    if path.is_dir():
        path = best_checkpoint(path)
    if path in starter.FILES.values():
        return path, read_details(path, starter.REMEDY)
    return path, read_details(path)


def load_checkpoint(
    path_or_workdir: PathLike,
) -> tuple[keras.Model, dict[str, Any], pathlib.Path]:
    """Returns `(model, details, path)` of a checkpoint file or of a workdir's best.

    Says which file it is.

    Args:
        path_or_workdir: a `.keras` file that train.py wrote, its folder or
            `--workdir`, or 'starter', the model that comes with the project.

    Raises:
        ValueError: nothing there, a truncated file, another model, weights that are
            not finite, or an output that does not match the stored class names.
    """
    path, details = find_checkpoint(path_or_workdir)
    logging.info("Weights: %s", path)
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds for a file it cannot rebuild.
        raise ValueError(f"{path} cannot be loaded by Keras: {error}") from error
    num_classes, class_names = model.output_shape[-1], details["class_names"]
    if num_classes != len(class_names):
        raise ValueError(
            f"{path} gives {num_classes} classes but names {len(class_names)}: "
            f"{', '.join(class_names)}. It was not written by train.py"
        )
    if name := first_not_finite(model.variables):
        raise ValueError(
            f"{path} holds a broken model: its {name} is not finite, so that every "
            "mask would be wrong. Use an earlier checkpoint of the run, or train again "
            "with a lower --learning_rate"
        )
    return model, details, path


def best_checkpoint(workdir: PathLike) -> pathlib.Path:
    """Returns the path of the best checkpoint that the index of `workdir` names.

    Args:
        workdir: of a run, or the folder of checkpoints in it.

    Raises:
        ValueError: no index, or none of its files is there.
    """
    folder = pathlib.Path(workdir) / CHECKPOINT_FOLDER
    if not folder.is_dir():
        folder = pathlib.Path(workdir)
    entries = read_index(folder)
    if not entries:
        if files := sorted(path.name for path in folder.glob("*.keras")):
            raise ValueError(
                f"no checkpoint chosen in {folder}: it has no {INDEX_FILE} that tells "
                f"the best. Pass one of its files: {', '.join(files)}"
            )
        if (folder / "saved_model.pb").is_file():
            raise ValueError(
                f"{folder} is a SavedModel, which export.py wrote, and no checkpoint. "
                "Pass a .keras file that train.py wrote, or its workdir"
            )
        raise ValueError(
            f"no checkpoint in {workdir}: its {INDEX_FILE} is missing or empty. "
            "Pass the --workdir of a training run that has scored at least one epoch"
        )
    for entry in entries:
        if (folder / entry["file"]).is_file():
            return folder / entry["file"]
    raise ValueError(
        f"none of the checkpoints that {folder / INDEX_FILE} names exists: "
        f"{', '.join(entry['file'] for entry in entries)}"
    )


def read_index(folder: PathLike) -> list[dict[str, Any]]:
    """Returns the index of a checkpoint folder, best first; empty where none is.

    Returns:
        list of dicts with `file`, `epoch` (from 1), `monitor` and `score`.

    Raises:
        ValueError: the index is not one that this module wrote.
    """
    path = pathlib.Path(folder) / INDEX_FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["checkpoints"]
        return sorted(entries, key=_best_first)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not an index of checkpoints: {error!r}") from error


def write_index(folder: PathLike, entries: Iterable[dict[str, Any]]) -> None:
    """Writes the index of a checkpoint folder, best first; entries as `read_index`."""
    path = pathlib.Path(folder) / INDEX_FILE
    write_json(path, {"checkpoints": sorted(entries, key=_best_first)})


def checkpoint_files(folder: PathLike) -> Iterator[tuple[pathlib.Path, int]]:
    """Yields each checkpoint file of a folder with its epoch, from 1."""
    for path in sorted(pathlib.Path(folder).iterdir()):
        if match := _NAME_PATTERN.fullmatch(path.name):
            yield path, int(match.group(1))


def _best_first(entry):
    return -entry["score"], entry["epoch"]


def _without_nan(value):
    """Returns `value` with every nan or infinity in it replaced by None, for JSON."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

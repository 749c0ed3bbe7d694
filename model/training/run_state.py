"""The whole state of a run in one file, so that a restart continues to the last bit."""

import dataclasses
import json
import os
import pathlib
import time
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from lunar_tfds.atomic_files import atomic_path
from pipeline.order import ORDER_VERSION

STATE_FILE = "state.npz"
# What reading a damaged file raises.
_DAMAGED = (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, EOFError)
Folder = str | os.PathLike[str]


@dataclasses.dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: epochs finished.
        step: steps done in the epoch under way.
        finished_of: the total of epochs that the run was to have when its last epoch,
            or an early stop, ended it; 0 before that.
        loss_sum: sum of the step losses of the epoch under way.
        confusion: int64 [C, C], training counts of the epoch under way.
        seconds: time spent in the training steps of the epoch under way.
        waited: part of `seconds` in which the step waited for its input.
        timed_steps: steps that `seconds` covers; a restart's first call, which
            compiles, is left out.
        history: one dict of scores for each finished epoch, with `epoch` from 1.
        callbacks: for each stateful callback's class name, its attributes.
        order: the version of the order in which examples come, see `pipeline.order`.
    """

    confusion: np.ndarray
    epoch: int = 0
    step: int = 0
    finished_of: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    timed_steps: int = 0
    history: list = dataclasses.field(default_factory=list)
    callbacks: dict = dataclasses.field(default_factory=dict)
    order: int = ORDER_VERSION

    def next_epoch(self, row: dict[str, float]) -> None:
        """Closes the epoch under way with its scores `row`."""
        self.history.append(row)
        self.epoch, self.step, self.timed_steps = self.epoch + 1, 0, 0
        self.loss_sum = self.seconds = self.waited = 0.0
        self.confusion = np.zeros_like(self.confusion)


def save_state(workdir: Folder, variables: Sequence[Any], progress: Progress) -> None:
    """Writes `WORKDIR/state.npz` atomically; the last file that an epoch writes.

    Args:
        workdir: folder of the run.
        variables: list of variables (model, optimizer, averages) in a fixed order.
        progress: `Progress`.

    Raises:
        OSError: it could not be written; the state saved before is unharmed.
    """
    arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(variables)}
    fields = {f.name: getattr(progress, f.name) for f in dataclasses.fields(progress)}
    arrays["confusion"] = fields.pop("confusion")
    # Python's JSON keeps nan and every digit of a float.
    arrays["progress"] = np.array(json.dumps(fields))
    with atomic_path(pathlib.Path(workdir) / STATE_FILE) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)


def load_state(workdir: Folder, variables: Sequence[Any]) -> Progress | None:
    """Puts the saved state into `variables`; returns its `Progress`, or None if none.

    Raises:
        ValueError: the file is damaged or of another version of this project, its
            variables are not these, or one of them is not finite.
    """
    path = pathlib.Path(workdir) / STATE_FILE
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = [n for n in archive.files if n.startswith("variable_")]
            saved = [archive[f"variable_{i}"] for i in range(len(names))]
            contents = _contents(archive)
    except FileNotFoundError:
        return None
    except _DAMAGED as error:
        raise ValueError(
            f"{path} is damaged: {error}. Remove it to train again from the start, or "
            "use another --workdir"
        ) from error
    progress = _progress(contents, path)
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in saved] != shapes:
        raise ValueError(
            f"{path} holds {len(saved)} variables that do not match the "
            f"{len(shapes)} of this model and optimizer. Use another --workdir"
        )
    if not all(np.isfinite(array).all() for array in saved):
        raise ValueError(
            f"{path} holds weights that are not finite, of a run that broke down. "
            "Remove it to train again from the start, with a lower --learning_rate, or "
            "use another --workdir"
        )
    for variable, array in zip(variables, saved, strict=True):
        variable.assign(array)
    return progress


def read_progress(workdir: Folder) -> Progress | None:
    """Returns the saved progress without the variables, or None where none is.

    Raises:
        ValueError: the file is of another version of this project.
    """
    path = pathlib.Path(workdir) / STATE_FILE
    try:
        with np.load(path, allow_pickle=False) as archive:
            contents = _contents(archive)
    except (FileNotFoundError, *_DAMAGED):
        return None  # load_state says what is wrong with it.
    return _progress(contents, path)


def _contents(archive: Any) -> dict[str, Any]:
    """Returns what an open state file holds of `Progress`, by field."""
    return json.loads(str(archive["progress"])) | {"confusion": archive["confusion"]}


def _progress(contents: dict[str, Any], path: pathlib.Path) -> Progress:
    """Returns the `Progress` of `_contents`; ValueError if its fields are others."""
    own = {field.name for field in dataclasses.fields(Progress)}
    unknown, missing = sorted(contents.keys() - own), sorted(own - contents.keys())
    if unknown or missing:
        raise ValueError(
            f"{path} was written by another version of this project: "
            f"{', '.join(unknown) or 'nothing'} in it is unknown here, and "
            f"{', '.join(missing) or 'nothing'} is missing. Continue the run with that "
            "version, or use another --workdir"
        )
    if contents["order"] != ORDER_VERSION:
        raise ValueError(
            f"{path} was written by another version of this project: examples come in "
            f"another order there ({contents['order']}, here {ORDER_VERSION}). "
            "Continue the run with that version, or use another --workdir"
        )
    return Progress(**contents)


class Saver:
    """Saves the state of a `Trainer`'s run; of several workers only the chief does.

    Args:
        workdir: folder of the run.
        trainer: has `variables` and `progress`.
        minutes: time between saves inside an epoch; 0 saves after every call.
        chief: whether this process writes.
    """

    def __init__(
        self, workdir: Folder, trainer: Any, minutes: float, chief: bool = True
    ):
        self._workdir, self._trainer = workdir, trainer
        self._seconds, self._chief = 60 * minutes, chief
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Returns whether it is time to save inside an epoch."""
        return self._chief and time.monotonic() - self._saved >= self._seconds

    def save(self) -> None:
        """Saves now."""
        if self._chief:
            save_state(self._workdir, self._trainer.variables, self._trainer.progress)
        self._saved = time.monotonic()

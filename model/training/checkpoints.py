"""Which of a run's checkpoints are written, and which are kept: the best."""

import math
import pathlib
import uuid
from typing import Any

import keras

from model.network.checkpoints import (
    CHECKPOINT_FOLDER,
    CHECKPOINT_NAME,
    PathLike,
    checkpoint_files,
    read_index,
    run_of,
    save_model,
    write_index,
)


class BestCheckpoint(keras.callbacks.ModelCheckpoint):
    """Saves the model when the monitored validation score improves; keeps the best.

    A drop-in for `keras.callbacks.ModelCheckpoint(save_best_only=True, mode="max")`
    that also remembers the best score across restarts, writes whole files only, and
    keeps the best `keep` of them. A file that falls out of the best, or that a kill
    kept out of the index, is removed when the next epoch begins or training ends: by
    then the new file is whole and, in train.py, the run's state that names it is saved
    too. Files that another run has written are neither counted nor removed. Works in
    plain `fit`.

    Args:
        workdir: the files go to its folder `checkpoints`.
        details: dict stored in each file, see `save_model`; `epoch`, `monitor`,
            `score` and `scores` are added. `run` tells the files of this run from
            those of others; without it each start is a run of its own.
        monitor: name of a validation score in the logs; higher is better.
        keep: how many files to keep, at least 1.
        verbose: 1 prints a line for every file.

    Raises:
        ValueError: `keep` below 1, or (at the first epoch's end) a monitor that the
            logs do not hold.
    """

    def __init__(
        self,
        workdir: PathLike,
        details: dict[str, Any],
        *,
        monitor: str,
        keep: int,
        verbose: int = 0,
    ):
        if keep < 1:
            raise ValueError(f"keep must be at least 1: got {keep}")
        self.folder = pathlib.Path(workdir) / CHECKPOINT_FOLDER
        super().__init__(
            str(self.folder / CHECKPOINT_NAME),
            monitor=monitor,
            mode="max",
            save_best_only=True,
            verbose=verbose,
        )
        self.details = {"run": new_run()} | details
        self.keep = keep

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Removes what fell out of the best in an earlier epoch."""
        super().on_epoch_begin(epoch, logs)
        keep_best(self.folder, self.keep, self.details["run"])

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the model if `logs[monitor]` is better than in any earlier epoch."""
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"monitor {self.monitor!r} is not among the scores: {sorted(logs)}"
            )
        # A run that was killed after saving this epoch repeats it: start as before it.
        own = None, self.details["run"]  # None: as earlier versions wrote them.
        entries = [
            entry
            for entry in read_index(self.folder)
            if entry["epoch"] < epoch + 1 and run_of(self.folder / entry["file"]) in own
        ]
        score = float(logs[self.monitor])
        self.best = entries[0]["score"] if entries else None
        if math.isnan(score) or (self.best is not None and score <= self.best):
            return
        self.best = score
        file = CHECKPOINT_NAME.format(
            encoder=self.details.get("encoder", "vgg16"), epoch=epoch + 1, score=score
        )
        save_model(self.model, self.folder / file, self._details(epoch, score, logs))
        entry = {"file": file, "epoch": epoch + 1, "monitor": self.monitor}
        write_index(self.folder, [*entries, entry | {"score": score}])
        for path, of in checkpoint_files(self.folder):
            if of == epoch + 1 and path.name != file:
                _remove(path, self.details["run"])
        if self.verbose:
            print(
                f"\nEpoch {epoch + 1}: {self.monitor} {score:.4f} is the best: {file}"
            )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Removes what fell out of the best in the last epoch."""
        super().on_train_end(logs)
        keep_best(self.folder, self.keep, self.details["run"])

    def _details(self, epoch, score, logs):
        scores = {name: float(value) for name, value in logs.items()}
        return self.details | {
            "epoch": epoch + 1,
            "monitor": self.monitor,
            "score": score,
            "scores": scores,
        }


def new_run() -> str:
    """Returns a name that no other run has."""
    return uuid.uuid4().hex


def keep_best(folder: PathLike, keep: int, run: str) -> None:
    """Removes all but the best `keep` checkpoints that the index of `folder` names.

    Files that the index does not name go too: a kill between the writing of a file and
    of the index, or of the index and a removal, leaves some, and the run repeats the
    epoch of the first kind. What the run has not written itself stays, and where no
    index is, nothing is touched.

    Args:
        folder: of the checkpoints.
        keep: how many.
        run: the name that the details of the run's own files bear.
    """
    entries = read_index(folder)
    if len(entries) > keep:
        write_index(folder, entries[:keep])
    kept = {entry["file"] for entry in entries[:keep]}
    if kept:
        for path, _ in checkpoint_files(folder):
            if path.name not in kept:
                _remove(path, run)


def _remove(path: pathlib.Path, run: str) -> None:
    """Removes a checkpoint that this run has written."""
    if run_of(path) == run:
        path.unlink(missing_ok=True)

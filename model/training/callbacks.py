"""What people look at while a run goes on, as ordinary Keras callbacks."""

import csv
import io
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import keras

from lunar_tfds.atomic_files import write_text

HISTORY_FILE = "history.csv"
# The bar is redrawn at most this often, s.
_REDRAW_SECONDS = 0.2
_BAR_WIDTH = 20


class ProgressBar(keras.callbacks.Callback):
    """Prints images/s, time left and current scores.

    On a terminal a bar moves in place; elsewhere (a log file) each epoch gives one
    line, and every `log_seconds` one more.

    Args:
        global_batch_size: examples of a step.
        monitor: name of the validation score to show.
        file: text file to print to; None is the standard output.
        log_seconds: seconds between lines where there is no terminal.
    """

    def __init__(
        self,
        global_batch_size: int,
        monitor: str,
        file: TextIO | None = None,
        log_seconds: float = 60,
    ):
        super().__init__()
        self._batch_size = global_batch_size
        self._monitor = monitor
        self._file = file or sys.stdout
        self._moves = getattr(self._file, "isatty", lambda: False)()
        self._interval = _REDRAW_SECONDS if self._moves else log_seconds
        self._epoch_seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        """Starts the clock of an epoch."""
        self._epoch = epoch
        self._started = self._drawn = time.monotonic()
        self._first: tuple[float, int] | None = None

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        """Redraws the bar if it is time to."""
        now = time.monotonic()
        if self._first is None:  # The first call compiles, and may resume mid-epoch.
            self._first = (now, batch)
        elif now - self._drawn >= self._interval:
            self._drawn = now
            self._draw(batch, now, self._first, logs or {})

    def on_test_begin(self, logs: Mapping | None = None) -> None:
        """Says that validation is under way."""
        if self._moves and hasattr(self, "_epoch"):
            self._print(f"Epoch {self._epoch + 1}: validating ...", end="\r")

    def on_epoch_end(self, epoch: int, logs: Mapping | None = None) -> None:
        """Prints the line of an epoch."""
        logs = logs or {}
        self._epoch_seconds.append(time.monotonic() - self._started)
        mean_seconds = sum(self._epoch_seconds) / len(self._epoch_seconds)
        left = mean_seconds * (self.params["epochs"] - epoch - 1)
        shown = ["loss", "mean_iou", "val_loss", "val_mean_iou", self._monitor]
        parts = [f"Epoch {epoch + 1}/{self.params['epochs']}"]
        parts.append(duration(self._epoch_seconds[-1]))
        if "images_per_second" in logs:
            parts.append(f"{logs['images_per_second']:.1f} images/s")
            parts.append(f"input wait {logs['input_wait']:.1%}")
        parts += [f"{n} {logs[n]:.4f}" for n in dict.fromkeys(shown) if n in logs]
        self._print("  ".join([*parts, f"left {duration(left)}"]))

    def _draw(
        self, batch: int, now: float, first: tuple[float, int], logs: Mapping
    ) -> None:
        first_time, first_batch = first
        steps, done = self.params["steps"], batch + 1
        seconds = (now - first_time) / max(1, batch - first_batch)
        filled = _BAR_WIDTH * done // steps
        bar = "=" * filled + "." * (_BAR_WIDTH - filled)
        scores = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        rate = self._batch_size / seconds if seconds else math.inf
        self._print(
            f"Epoch {self._epoch + 1}/{self.params['epochs']} [{bar}] {done}/{steps}  "
            f"{rate:.1f} images/s  left {duration(seconds * (steps - done))}  {scores}",
            end="\r" if self._moves else "\n",
        )

    def _print(self, line: str, end: str = "\n") -> None:
        print(f"\x1b[K{line}" if self._moves else line, end=end, file=self._file)
        self._file.flush()


class HistoryFile(keras.callbacks.Callback):
    """Keeps `WORKDIR/history.csv`: a row for each epoch, a column for each score.

    A score that does not exist (nan) is an empty cell.

    Args:
        workdir: folder of the run.
        rows: dicts of the epochs before this start, with `epoch` from 1.
    """

    def __init__(
        self, workdir: str | os.PathLike[str], rows: Iterable[dict[str, Any]] = ()
    ):
        super().__init__()
        self._path = pathlib.Path(workdir) / HISTORY_FILE
        self.rows = list(rows)

    def on_epoch_end(self, epoch: int, logs: Mapping | None = None) -> None:
        """Adds the epoch's row and writes the file anew, atomically."""
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        columns = dict.fromkeys(name for row in self.rows for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({n: "" if v != v else v for n, v in row.items()})
        write_text(self._path, text.getvalue())


def duration(seconds: float) -> str:
    """Returns seconds as text: 4:05 or 3:20:07."""
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    )

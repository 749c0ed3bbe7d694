"""Removes what a killed build of this dataset left behind, and nothing else."""

import json
import os
import socket
import time

import psutil
from absl import logging
from etils import epath

# TFDS builds in `incomplete.XXXXXX_VERSION` beside the final folder and renames it at
# the end. Kill -9 leaves it for ever: 5 GB each time.
PREFIX = "incomplete."
# Written into that folder while it is being built, so that a build does not remove the
# folder of another one that is still running.
_OWNER = "owner.json"
# Nothing is known of the processes of another host (every container is a new one). A
# folder in which no file has changed for so long is no build under way, s.
ABANDONED_AFTER = 24 * 3600
# Start times follow the clock, which may be set while a build runs, s.
CLOCK_STEP = 5


def mark(folder: str | os.PathLike) -> None:
    """Writes down that this process builds in this folder."""
    process = psutil.Process(os.getpid())
    owner = {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": process.create_time(),
    }
    (epath.Path(folder) / _OWNER).write_text(json.dumps(owner))


def unmark(folder: str | os.PathLike) -> None:
    """Removes the mark from a finished build."""
    (epath.Path(folder) / _OWNER).unlink()


def remove(folder: str | os.PathLike) -> None:
    """Removes the unfinished builds of a dataset, of any version and configuration.

    Those whose process is still there, and those that may not be removed, stay.

    Args:
        folder: of the dataset in the data_dir.
    """
    root = epath.Path(folder)
    if not root.is_dir():
        return
    for path in [*root.glob(f"{PREFIX}*"), *root.glob(f"*/{PREFIX}*")]:
        if _is_alive(path):
            logging.warning("Another build is running in %s.", path)
            continue
        logging.warning("Removing %s, left by an interrupted build.", path)
        try:
            path.rmtree()
        except OSError as error:
            logging.warning("%s stays: %s", path, error)


def _is_alive(path: epath.Path) -> bool:
    try:
        owner = json.loads((path / _OWNER).read_text())
        if owner["host"] != socket.gethostname():
            last_change = max(file.stat().mtime for file in path.iterdir())
            return time.time() - last_change < ABANDONED_AFTER
        started = psutil.Process(owner["pid"]).create_time()
        return abs(started - owner["started"]) < CLOCK_STEP
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False

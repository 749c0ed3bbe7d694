"""Removes what a killed build of this dataset left behind, and nothing else."""

import json
import os
import socket

import psutil
from absl import logging
from etils import epath

# TFDS builds in `incomplete.XXXXXX_VERSION` beside the final folder and renames it at
# the end. Kill -9 leaves it for ever: 5 GB each time.
PREFIX = "incomplete."
# Written into that folder while it is being built, so that a build does not remove the
# folder of another one that is still running.
_OWNER = "owner.json"


def mark(folder):
    """Writes down that this process builds in this folder."""
    process = psutil.Process(os.getpid())
    owner = {
        "host": socket.gethostname(),
        "pid": process.pid,
        "started": process.create_time(),
    }
    (epath.Path(folder) / _OWNER).write_text(json.dumps(owner))


def unmark(folder):
    """Removes the mark from a finished build."""
    (epath.Path(folder) / _OWNER).unlink()


def remove(folder, version):
    """Removes the unfinished builds of one version whose process is gone.

    Args:
        folder: where the version's folder is, or will be.
        version: only `incomplete.*_VERSION` is looked at.
    """
    folder = epath.Path(folder)
    if not folder.is_dir():
        return
    for path in folder.glob(f"{PREFIX}*_{version}"):
        if _is_alive(path):
            logging.warning("Another build is running in %s.", path)
        else:
            logging.warning("Removing %s, left by an interrupted build.", path)
            path.rmtree()


def _is_alive(path):
    try:
        owner = json.loads((path / _OWNER).read_text())
        if owner["host"] != socket.gethostname():
            return True  # Nothing is known about it from here.
        return psutil.Process(owner["pid"]).create_time() == owner["started"]
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False

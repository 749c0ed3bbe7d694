"""Locks a run, a dataset or an exported file for one process.

Two writers would replace and delete each other's files without noticing. The operating
system's lock ends with its process, so a killed process blocks nobody.
"""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import filelock
from absl import logging

from lunar_tfds.atomic_files import write_json

# Without locks, concurrent writers go undetected.
_UNLOCKED = (
    "%s cannot be locked (%s): make sure that no second process writes it at the "
    "same time."
)


@contextlib.contextmanager
def owned(
    path: str | os.PathLike, flag: str, *, inside: bool = False
) -> Iterator[bool]:
    """Make this process the only one that writes `path`, for a `with` block.

    Where locks do not exist or fail (object stores, some network file systems) warn
    and go on without one.

    Args:
        path: a file or folder; it need not exist.
        flag: the flag that names it, for messages.
        inside: put the lock into the folder `path`, which is made if it is missing, and
            removed if it stays empty. By default the lock lies beside `path`.

    Yields:
        Whether the path is locked.

    Raises:
        ValueError: another process holds the lock, on this host or on one that shares
            the file system; the message names it.
        OSError: the folder of the lock cannot be made.
    """
    if "://" in os.fspath(path):
        logging.warning(_UNLOCKED, path, "it lies in an object store")
        yield False
        return
    path = pathlib.Path(path)
    file = path / ".lock" if inside else path.with_name(f".{path.name}.lock")
    is_new = _make_folder(file.parent, flag)
    # filelock would fall back to a soft lock, which outlives a kill.
    lock = filelock.FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise ValueError(_in_use(path, file, flag)) from None
    except (OSError, NotImplementedError) as error:
        logging.warning(_UNLOCKED, path, error)
        yield False
        return
    try:
        with contextlib.suppress(OSError):
            write_json(_note(file), _this_process())
        yield True
    finally:
        # Unlink while locked: a process that opens the file now sees that it is gone.
        for leftover in (_note(file), file):
            with contextlib.suppress(OSError):  # Windows keeps open files.
                leftover.unlink(missing_ok=True)
        lock.release()
        if is_new and inside:
            with contextlib.suppress(OSError):
                file.parent.rmdir()


def _make_folder(folder: pathlib.Path, flag: str) -> bool:
    """Make a folder and return whether it was missing."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            errno.ENOTDIR,
            f"{flag} needs a folder, and a file lies at {folder} or above it: name "
            "another",
        ) from error
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not make the folder {folder}: {error.strerror or error}. Make the "
            f"one above it writable, or choose another {flag}",
        ) from error
    return is_new


def _note(file: pathlib.Path) -> pathlib.Path:
    """Return the path of the file that names the owner of a lock.

    It is not the locked file: on NFS a process loses its lock when it closes any
    descriptor of that file.
    """
    return file.with_name(f"{file.name}.json")


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
    }


def _in_use(path: pathlib.Path, file: pathlib.Path, flag: str) -> str:
    """Return the message for the second process."""
    owner, remedy = "another process", "end it"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(_note(file).read_text(encoding="utf-8"))
        owner = f"process {note['pid']} on {note['host']}, started {note['started']}"
        remedy = f"end it (kill {note['pid']})"
    return (
        f"{path} is being written by {owner}. Two at once would destroy each other's "
        f"files: wait for it, {remedy}, or choose another {flag}"
    )

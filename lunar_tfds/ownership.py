"""One process at a time writes a run, a dataset or an exported file.

Two at once would replace and delete each other's files, each believing that all is
well. The lock is the operating system's, so that it ends with its process, however that
ends: what a killed one leaves behind is taken over without a question.
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

# Two at once are not noticed where nothing can be locked.
_UNLOCKED = (
    "%s cannot be locked (%s): see to it yourself that no second process writes it "
    "at the same time."
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
        flag: the flag that names it, for the message.
        inside: whether `path` is a folder that may hold the lock; it is made if it is
            missing, and removed if it stays empty. Else the lock lies beside `path`.

    Yields:
        Whether the path is locked.

    Raises:
        ValueError: another process, on this host or one that shares the file system,
            owns it; names that one.
        OSError: the folder of the lock cannot be made.
    """
    if "://" in os.fspath(path):
        logging.warning(_UNLOCKED, path, "it lies in an object store")
        yield False
        return
    path = pathlib.Path(path)
    file = path / ".lock" if inside else path.with_name(f".{path.name}.lock")
    is_new = _make_folder(file.parent, flag)
    # A soft lock, which filelock would fall back to, outlives a kill.
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
        # While it is still locked: who has opened it by now finds it gone and gives up.
        for leftover in (_note(file), file):
            with contextlib.suppress(OSError):  # Windows keeps what is open.
                leftover.unlink(missing_ok=True)
        lock.release()
        if is_new and inside:
            with contextlib.suppress(OSError):
                file.parent.rmdir()


def _make_folder(folder: pathlib.Path, flag: str) -> bool:
    """Makes a folder; returns whether it was missing."""
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
    """Returns the file that tells whose a lock is.

    Not the locked file itself: on NFS a process loses its lock when it closes any
    descriptor of the file.
    """
    return file.with_name(f"{file.name}.json")


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
    }


def _in_use(path: pathlib.Path, file: pathlib.Path, flag: str) -> str:
    """Returns what to tell the second process."""
    owner, remedy = "another process", "end it"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(_note(file).read_text(encoding="utf-8"))
        owner = f"process {note['pid']} on {note['host']}, started {note['started']}"
        remedy = f"end it (kill {note['pid']})"
    return (
        f"{path} is being written by {owner}. Two at once would destroy each other's "
        f"files: wait for it, {remedy}, or choose another {flag}"
    )

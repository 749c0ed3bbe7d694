"""Writes files that are whole or absent, even if the process is killed."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

_TEMPORARY = ".tmp-"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path that replaces `path` at the end of the block.

    The temporary file is synced and renamed over `path`, then the folder is synced. A
    kill at any moment leaves the old file or the new one. An exception removes the
    temporary file and leaves `path` unchanged.

    Args:
        path: the file to write. A missing folder is made.

    Yields:
        `pathlib.Path` in the same folder, with the suffix of `path`, which Keras reads.

    Raises:
        OSError: the folder cannot be written or the disk is full; the message names
            `path` and says what to do.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync_file(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write {path}: {error.strerror or error}. Nothing saved earlier "
            "was changed. Free some space or make the folder writable, then start the "
            "same command again",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` atomically; errors as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` (str, UTF-8) to `path` atomically; errors as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically; errors as `atomic_path`."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def remove_temporary_files(folder: str | os.PathLike, name: str = "*") -> None:
    """Remove the temporary files that killed writers left in a folder.

    Args:
        folder: need not exist; folders below it are not searched.
        name: pattern of the names that the files would have had.
    """
    for leftover in pathlib.Path(folder).glob(f"{_TEMPORARY}*-{name}"):
        leftover.unlink(missing_ok=True)


def _sync_file(path: pathlib.Path) -> None:
    """Write a file's buffers to the disk."""
    with open(path, "rb+") as file:  # Windows syncs only files open for writing.
        os.fsync(file.fileno())


def _sync_folder(path: pathlib.Path) -> None:
    """Write the names in a folder to the disk, where the system supports it."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that are either whole or absent, whenever the process is killed."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

_TEMPORARY = ".tmp-"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the folder of `path` that becomes `path` at the end.

    The order is: write the temporary file, sync it, rename it over `path`, sync the
    folder. A kill at any moment leaves the old file or the new one. An exception
    removes the temporary file and leaves `path` as it was.

    Args:
        path: the file to write. Its folder is made if it is missing.

    Yields:
        `pathlib.Path` with the suffix of `path` (Keras looks at the suffix).

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
    """Writes `data` to `path` atomically; errors as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` (str, UTF-8) to `path` atomically; errors as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON to `path` atomically; errors as `atomic_path`."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def remove_temporary_files(folder: str | os.PathLike, name: str = "*") -> None:
    """Removes what killed writers left in `folder` (not below it).

    Args:
        folder: need not exist.
        name: of the files that they meant to write, a pattern.
    """
    for leftover in pathlib.Path(folder).glob(f"{_TEMPORARY}*-{name}"):
        leftover.unlink(missing_ok=True)


def _sync_file(path: pathlib.Path) -> None:
    """Forces a file from the system's buffers to the disk."""
    with open(path, "rb+") as file:  # Windows syncs only what is open for writing.
        os.fsync(file.fileno())


def _sync_folder(path: pathlib.Path) -> None:
    """Forces the names in a folder to the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

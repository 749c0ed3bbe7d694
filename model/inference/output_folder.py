"""Folders and files of results: found unwritable before the work, written whole."""

import pathlib
import tempfile

from lunar_tfds.atomic_files import atomic_path


def make_output_folder(path):
    """Returns the folder `path`, made if it is missing, after writing there once.

    Raises:
        ValueError: it is a file, or nothing can be written in it.
    """
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        raise ValueError(
            f"cannot write to the folder {folder}: {error.strerror or error}. "
            "Choose another with --output_dir (export.py: --output) or make it writable"
        ) from error
    return folder


def write_bytes(path, data):
    """Writes `data` to `path`, whole or not at all; errors as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)

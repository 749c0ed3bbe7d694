"""Folders of results, found unwritable before the work."""

import pathlib
import tempfile


def make_output_folder(path: str | pathlib.Path) -> pathlib.Path:
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

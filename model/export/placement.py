"""Where an artifact goes: what may lie there, and how it takes that place.

An artifact and its card stand side by side: `m.onnx` and `m.onnx.md`.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from lunar_tfds.command_line import tensorflow_message
from model.export.formats import FORMATS

# What TensorFlow writes into the folder of a SavedModel.
_SAVED_MODEL_ENTRIES = {
    "saved_model.pb",
    "fingerprint.pb",
    "variables",
    "assets",
    "assets.extra",
}


def card_path(output: pathlib.Path) -> pathlib.Path:
    """Returns the path of an artifact's card."""
    return output.with_name(f"{output.name}.md")


def card_heading(output: pathlib.Path) -> str:
    """Returns the line by which a card is known to be that of an artifact."""
    return f"## The exported file `{output.name}`"


def check_output(
    output: pathlib.Path, kind: str, checkpoint: pathlib.Path, overwrite: bool = False
) -> None:
    """Checks that an artifact and its card may be written, before any work is done.

    What export.py made, which its card tells, is replaced without a question.

    Args:
        output: the file, or for a SavedModel the folder, to write.
        kind: a key of `FORMATS`.
        checkpoint: the file that is exported.
        overwrite: replace files and SavedModels of others, too. Folders with other
            things in them never are.

    Raises:
        ValueError: says what is in the way and what to pass.
    """
    _check_suffix(output, kind)
    card = card_path(output)
    for path in (output, card):
        if path.exists() and path.samefile(checkpoint):
            raise ValueError(f"{path} is the checkpoint itself. Pass another --output")
    _check_kind(output, is_folder=not FORMATS[kind].suffix)
    _check_kind(card, is_folder=False)
    is_own = card.is_file() and card_heading(output) in _lines(card)
    for path in (output, card):
        is_empty = path.is_dir() and not any(path.iterdir())
        if path.exists() and not (is_own or is_empty or overwrite):
            raise ValueError(
                f"{path} was not made by export.py and would be lost. Pass another "
                "--output, or --overwrite to replace it"
            )


def _check_suffix(output, kind):
    right, suffix = FORMATS[kind].suffix, output.suffix.lower()
    others = [name for name, other in FORMATS.items() if other.suffix == suffix != ""]
    is_known = bool(others) or suffix == ".keras"
    if suffix == right or not is_known and not (suffix and right):
        return
    stem = output.with_suffix("") if is_known else output
    raise ValueError(
        f"--output={output.name} does not fit --format={kind}. Pass "
        f"--output={stem.name}{right}"
        + "".join(f", or --format={name}" for name in others)
    )


def _check_kind(path, is_folder):
    """Raises ValueError where a file would replace a folder, or the reverse."""
    if not path.exists():
        return
    if not is_folder and path.is_dir():
        raise ValueError(
            f"{path} is a folder: it would be replaced. Pass a file as --output"
        )
    if not is_folder and not path.is_file():
        raise ValueError(f"{path} is no plain file. Pass another --output")
    if is_folder and not path.is_dir():
        raise ValueError(
            f"{path} is a file, and a SavedModel is a folder. Pass another --output"
        )
    if is_folder and {p.name for p in path.iterdir()} - _SAVED_MODEL_ENTRIES:
        raise ValueError(
            f"{path} is a folder with other things in it: it would be replaced. "
            "Pass a folder of its own"
        )


def _lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


@contextlib.contextmanager
def work_folder(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty folder beside `output`, on its disk, and removes it at the end.

    One that a kill left behind is removed first; what was being replaced is restored,
    see `put`.
    """
    folder = output.with_name(f".export-{output.name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        restore(output)
        if _replaced(output).exists():  # A kill came after the new one was in place.
            os.rename(_replaced(output), folder / "left")
        yield folder
    finally:
        restore(output)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def clear_errors(output: pathlib.Path) -> Iterator[None]:
    """Names `output` in what is raised while it is written: OSError in every case.

    For a full disk TensorFlow has errors of many kinds, and Python one without a path.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        is_own = isinstance(error, tf.errors.OpError)
        reason = tensorflow_message(error) if is_own else error.strerror or error
        raise OSError(
            getattr(error, "errno", None),
            f"could not write {output}: {reason}. What lay there before is unharmed. "
            f"Free some space there and in {tempfile.gettempdir()} (or set TMPDIR), "
            "then start the same command again",
        ) from error


def put(made: pathlib.Path, output: pathlib.Path) -> None:
    """Moves what was made in a `work_folder` to `output`, in place of what is there.

    A file replaces a file in one step. No system call that is everywhere replaces a
    folder, so the old one first gets another name beside. A kill before the new one
    is in place leaves the old one whole under that name, and `restore` gives it its
    own back, at the latest when the same export is started again. It is moved out of
    the way before it is deleted: what bears that name is always whole.

    Args:
        made: file or folder in the work folder.
        output: the file or folder to become.
    """
    if not output.is_dir():
        os.replace(made, output)
        return
    os.rename(output, _replaced(output))
    os.rename(made, output)
    os.rename(_replaced(output), made.parent / "replaced")


def restore(output: pathlib.Path) -> None:
    """Gives the folder that a killed or failed `put` was replacing its name back."""
    if _replaced(output).is_dir() and not output.exists():
        os.rename(_replaced(output), output)
        logging.warning(
            "%s is the former one again: its export was interrupted.", output
        )


def _replaced(output):
    return output.with_name(f".replaced-{output.name}")

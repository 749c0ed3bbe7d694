"""One way to be a command: flags from settings, errors in one line, an exit status.

The only module below `commands` that knows absl's flags. A module that can be run ends
with

    if __name__ == "__main__":
        sys.exit(command_line.run(Sheet, main))

where `Sheet` is a settings class (see `settings`) and `main` takes one and returns an
exit status, or None for 0. Importing it defines no flag. A class with a POSITIONAL, the
name of a setting, takes that one without its flag: `check FOLDER`.
"""

import dataclasses
import errno
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags, logging

from lunar_tfds import settings, terminal
from lunar_tfds.terminal import EXIT_INTERRUPTED

EXIT_DONE, EXIT_ERROR = 0, 1
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# The extra of pyproject.toml that holds a module, where it is not always installed.
EXTRA_OF = {
    "matplotlib": "train",
    "jinja2": "train",
    "pycocotools": "train",
    "contourpy": "train",
    "av": "video",
    "gradio": "app",
    "tifffile": "train",
    "imagecodecs": "train",
    "pillow_heif": "heif",
    "apache_beam": "build",
    "mlcroissant": "build",
    "kagglehub": "kaggle",
    "tf2onnx": "export",
    "onnx": "export",
    "onnxruntime": "export",
    "ai_edge_litert": "export",
    "ai_edge_quantizer": "export",
    "torch": "bench",
    "albumentations": "bench",
    "cv2": "bench",
}


class UsageError(ValueError):
    """The command line itself is wrong."""


class _Help(Exception):
    """The user asked for --help."""


def run(
    settings_class: type,
    main: Callable[[Any], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Returns the exit status of a command.

    What a user can mend, and Ctrl-C, is one line on the standard error and status 1
    (130), but for a listing of files; --traceback shows where an error arose. A closed
    standard output ends nothing.

    Args:
        settings_class: dataclass of the command's settings.
        main: the command: takes the settings, returns a status or None for 0.
        argv: program name and arguments; those of the process by default.
    """
    argv = list(sys.argv if argv is None else argv)
    terminal.keep_running_after_stdout_closes()
    flags.FLAGS.mark_as_parsed()  # Else absl's log complains of flags not parsed.
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    show_traceback = False
    try:
        with terminal.interrupts_raised():
            values = _values_of(settings_class, argv)
            show_traceback = values["traceback"]
            return main(settings.from_dict(settings_class, values)) or EXIT_DONE
    except _Help:
        print(help_text(settings_class, main))
        return EXIT_DONE
    except KeyboardInterrupt:
        if show_traceback:
            raise
        logging.error(terminal.MESSAGE)
        return EXIT_INTERRUPTED
    except Exception as error:
        line = one_line(error)
        if line is None or show_traceback:
            raise
        hint = "--help lists" if isinstance(error, UsageError) else "--traceback shows"
        where = "the flags" if isinstance(error, UsageError) else "where"
        logging.error("%s (%s %s)", line, hint, where)
        return EXIT_ERROR


def parse(settings_class: type, argv: Sequence[str]) -> Any:
    """Returns the settings that a command line gives.

    Args:
        settings_class: dataclass of the command's settings.
        argv: program name and arguments.

    Raises:
        UsageError: an unknown flag or argument, or a value that is none.
        ValueError: values that break a rule, see `settings.check`.
    """
    return settings.from_dict(settings_class, _values_of(settings_class, argv))


def _values_of(settings_class: type, argv: Sequence[str]) -> dict[str, Any]:
    """Returns the values that a command line gives, by flag, --traceback too."""
    values = _flags_of(settings_class)
    flags.DEFINE_bool("help", False, "Show this.", values, short_name="h")
    values.set_gnu_getopt(True)  # Flags may come after the positional setting.
    try:
        _, *rest = values(list(argv))
    except flags.Error as error:
        raise UsageError(str(error)) from None
    if values.help:
        raise _Help
    positional = getattr(settings_class, "POSITIONAL", None)
    if positional and rest and not values[positional].value:
        if settings.value_type(settings_class, positional) is tuple:
            values[positional].value, rest = rest, []
        elif len(rest) == 1:
            values[positional].value = rest.pop()
    if rest:
        raise UsageError(
            f"unknown arguments: {' '.join(rest)}. Flags are --name=value; quote "
            "a value with spaces, and a pattern that the shell would expand"
        )
    return values.flag_values_dict()


def define_flags(settings_class: type, values: flags.FlagValues) -> None:
    """Defines one flag for each setting of a class, nested ones too.

    Args:
        settings_class: the dataclass.
        values: where; never absl's global ones.
    """
    prefix = settings.flag_prefix(settings_class)
    for field in dataclasses.fields(settings_class):
        if settings.is_settings(field):
            define_flags(type(field.default), values)
            continue
        name, text = f"{prefix}{field.name}", field.metadata["help"]
        default: Any = field.default
        choices = field.metadata["choices"]
        kind = settings.value_type(settings_class, field.name)
        if kind is str and choices:
            flags.DEFINE_enum(name, default, list(choices), text, values)
        elif kind is bool:
            flags.DEFINE_bool(name, default, text, values)
        elif kind is int:
            flags.DEFINE_integer(name, default, text, flag_values=values)
        elif kind is float:
            flags.DEFINE_float(name, default, text, flag_values=values)
        elif kind is tuple:
            flags.DEFINE_list(name, list(default), text, values)
        else:
            flags.DEFINE_string(name, default, text, values)


def _flags_of(settings_class: type) -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(settings_class, values)
    flags.DEFINE_bool("traceback", False, "Show where an error arose.", values)
    return values


def help_text(settings_class: type, main: Callable) -> str:
    """Returns what --help prints: what the command does, then its flags."""
    values = _flags_of(settings_class)
    doc = sys.modules[main.__module__].__doc__ or main.__doc__ or ""
    lines = [doc.strip(), ""]
    for name in values:
        flag = values[name]
        default = (flag.default_as_str or "none").strip("'")
        lines.append(f"  --{name}={default}\n      {flag.help}")
    return "\n".join(lines)


def one_line(error: Exception) -> str | None:
    """Returns an error that a user can mend as one line, or None for any other.

    A listing, of files that a build cannot use, keeps a line for each: its lines begin
    with two spaces.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(error, tensorflow.errors.OpError):
        return _of_tensorflow(error, tensorflow.errors)
    if isinstance(error, ModuleNotFoundError):
        return _of_missing_module(error)
    if not isinstance(error, (ValueError, OSError, FloatingPointError)):
        return None
    text = str(error)
    if isinstance(error, OSError) and error.errno in _DISK_FULL and not error.filename:
        text = f"{text}. {_free_space()}"
    return text if "\n  " in text else " ".join(text.split("\n"))


def _of_missing_module(error: ModuleNotFoundError) -> str | None:
    name = (error.name or "").partition(".")[0]
    if name not in EXTRA_OF:
        return None
    return f"{name} is not installed: pip install -e '.[{EXTRA_OF[name]}]'"


def tensorflow_message(error: Any) -> str:
    """Returns what a `tf.errors.OpError` says, in one line.

    TensorFlow puts the graph's nodes before it, and a C++ trace on further lines.
    """
    text = (error.message or str(error)).strip().splitlines()[0]
    return text.rpartition("}} ")[2]


def _free_space() -> str:
    return (
        "Free some space where the command writes, and in "
        f"{tempfile.gettempdir()} (or set TMPDIR)"
    )


def _of_tensorflow(error: Any, errors: Any) -> str:
    text = tensorflow_message(error)
    if isinstance(error, errors.DataLossError) and (files := _damaged_files()):
        return (
            f"{type(error).__name__}: {', '.join(files)} cannot be read to the end "
            f"({text}). Copy it anew from where it is whole, or build the dataset anew "
            "with --overwrite"
        )
    if "no space left" in text.lower():
        return f"{type(error).__name__}: {text}. {_free_space()}"
    remedies = {
        errors.ResourceExhaustedError: "The device or the disk is full: use smaller "
        "batches or images, --precision=bfloat16, or free some space",
        errors.NotFoundError: "A file or object is missing: check the paths, and for "
        "a dataset build it anew with --overwrite",
        errors.PermissionDeniedError: "Check who may read and write that path",
        errors.DataLossError: "A file of the dataset is damaged: build it anew with "
        "--overwrite",
    }
    for kind, remedy in remedies.items():
        if isinstance(error, kind):
            return f"{type(error).__name__}: {text}. {remedy}"
    return (
        f"{type(error).__name__}: {text}. What was saved before is kept: start the "
        "same command again"
    )


def _damaged_files() -> list[str]:
    """Returns the damaged files of the datasets that this process has opened."""
    opening = sys.modules.get("lunar_tfds.opening")
    return opening.damaged_files() if opening else []

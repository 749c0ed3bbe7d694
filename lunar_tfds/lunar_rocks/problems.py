"""What is wrong with the files of frames, and how a build tells it."""

import contextlib
from collections.abc import Iterator, Mapping

# How many problems an error spells out.
MAX_LISTED = 20
LEAVE_OUT_VARIABLE = "LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES"


class UnusableFileError(ValueError):
    """A file that no example can be made from: its frame can be left out."""


class OffPaletteError(ValueError):
    """A label image whose colours are not the palette's: it stops every build."""


@contextlib.contextmanager
def of_file(name: str) -> Iterator[None]:
    """Turns an error that arises inside into an UnusableFileError of this file."""
    try:
        yield
    except OffPaletteError:
        raise
    except (ValueError, OSError, SyntaxError) as error:  # Pillow raises all of these.
        raise UnusableFileError(f"{name}: {error}") from error


def message(problems: Mapping[str, str], source_description: str) -> str:
    """Returns the message of an error about frames that cannot be used.

    Args:
        problems: reason by frame id.
        source_description: what and where the source is.
    """
    return (
        f"{len(problems)} frames of the {source_description} cannot be used:"
        f"{listing(problems)}\nRestore these files, or leave the frames out with the "
        f"builder argument leave_out_bad_frames=True (in the shell: "
        f"{LEAVE_OUT_VARIABLE}=1)."
    )


def listing(problems: Mapping[str, str]) -> str:
    """Returns the first of the problems, a line each."""
    lines = [f"\n  {key}: {reason}" for key, reason in sorted(problems.items())]
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED:] = [f"\n  ... and {len(lines) - MAX_LISTED} more"]
    return "".join(lines)

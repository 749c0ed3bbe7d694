"""What is wrong with the files of frames, and how a build tells it."""

import contextlib
import os
from collections.abc import Iterator, Mapping

# How many problems an error spells out.
MAX_LISTED = 20
LEAVE_OUT_VARIABLE = "LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES"


@contextlib.contextmanager
def of_file(name: str, reasons: list[str]) -> Iterator[None]:
    """Adds an error that arises inside, and the file's name, to the reasons."""
    try:
        yield
    except (ValueError, OSError, SyntaxError) as error:  # Pillow raises all of these.
        reasons.append(f"{name}: {error}")


def of_frame(reasons: list[str]) -> str | None:
    """Returns why a frame cannot be used, in one line, or None without a reason."""
    return "; ".join(reasons) or None


def leave_out_by_environment() -> bool:
    """Returns whether the environment asks for leaving bad frames out.

    Raises:
        ValueError: the variable is neither 0 nor 1.
    """
    value = os.environ.get(LEAVE_OUT_VARIABLE, "0")
    if value not in ("", "0", "1"):
        raise ValueError(f"{LEAVE_OUT_VARIABLE} is 0 or 1: got {value!r}.")
    return value == "1"


def message(
    problems: Mapping[str, str], source_description: str, hint: str = ""
) -> str:
    """Returns the message of an error about frames that cannot be used.

    Args:
        problems: reason by frame id.
        source_description: what and where the source is.
        hint: what they have in common.
    """
    return (
        f"{len(problems)} frames of the {source_description} cannot be used:"
        f"{listing(problems)}\n{hint}{' ' if hint else ''}Restore these files, or "
        f"leave the frames out with the builder argument leave_out_bad_frames=True (in "
        f"the shell: {LEAVE_OUT_VARIABLE}=1)."
    )


def listing(problems: Mapping[str, str], most: int = MAX_LISTED) -> str:
    """Returns the first of the problems, a line each."""
    lines = [f"\n  {key}: {reason}" for key, reason in sorted(problems.items())]
    if len(lines) > most:
        lines[most:] = [f"\n  ... and {len(lines) - most} more"]
    return "".join(lines)

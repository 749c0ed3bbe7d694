"""Packages that only some commands need, which pyproject.toml lists as extras."""

import importlib.util

from lunar_tfds.command_line import EXTRA_OF


def need(package: str, what: str) -> None:
    """Checks that a package is there, without importing it.

    Args:
        package: its name, a key of `command_line.EXTRA_OF`.
        what: needs it, for the message.

    Raises:
        ValueError: it is not installed; says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{what} needs {package}, which is not installed. Install it with: "
            f"pip install -e '.[{EXTRA_OF[package]}]'"
        )

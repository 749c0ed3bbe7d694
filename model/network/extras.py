"""Packages that only some commands need, which pyproject.toml lists as extras."""

import importlib.util


def need(package: str, extra: str, what: str) -> None:
    """Checks that a package is there, without importing it.

    Args:
        package: its name.
        extra: of pyproject.toml, which brings it.
        what: needs it, for the message.

    Raises:
        ValueError: it is not installed; says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{what} needs {package}, which is not installed. Install it with: "
            f"pip install -e '.[{extra}]'"
        )

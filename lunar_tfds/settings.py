"""Settings as values: frozen dataclasses whose fields carry help, default and rule.

    @dataclasses.dataclass(frozen=True)
    class Sheet:
        columns: int = setting(4, "Tiles a row.", at_least(1))

        def __post_init__(self):
            check(self)

`command_line` makes a command's flags from such a class, so that a default, a help and
a rule stand once. Messages call a setting as its flag is called: --columns=0.
"""

import dataclasses
import math
import numbers
import os
import types
import typing
from collections.abc import Callable
from typing import Any

# A rule takes a value and returns what it must be, or None where it is that.
Rule = Callable[[Any], str | None]


def setting(
    default: Any,
    help: str,
    rule: Rule | None = None,
    *,
    choices: tuple = (),
    is_path: bool = False,
    missing: str = "",
) -> Any:
    """Returns a dataclass field.

    Args:
        default: the value where none is given; None where that has a meaning.
        help: one sentence for `--help`, with the unit.
        rule: what the value must be, see `at_least` and its like; not asked of None.
        choices: the only values allowed, but for a default of None.
        is_path: whether it names a file or folder of the user's; `~` is expanded.
        missing: what to pass, for a setting that must be given: its default is None.
    """
    metadata = {
        "help": help,
        "rule": rule,
        "choices": choices,
        "is_path": is_path,
        "missing": missing,
    }
    return dataclasses.field(default=default, metadata=metadata)


def same_as(settings_class: type, name: str) -> Any:
    """Returns a field like the one called `name` of another settings class."""
    (field,) = (f for f in dataclasses.fields(settings_class) if f.name == name)
    return dataclasses.field(default=field.default, metadata=field.metadata)


def at_least(low: float) -> Rule:
    """Returns the rule that a number is `low` or more."""
    says = f"must be {low} or more" if low == 0 else f"must be at least {low}"
    return lambda value: None if value >= low else says


def more_than(low: float) -> Rule:
    """Returns the rule that a number is more than `low`."""
    return lambda value: None if value > low else f"must be more than {low}"


def between(low: float, high: float) -> Rule:
    """Returns the rule that a number lies in [low, high]."""
    return lambda value: None if low <= value <= high else f"must be {low} to {high}"


def check(settings: Any) -> None:
    """Checks every field of a settings object; call it first in `__post_init__`.

    A value becomes what its field says: numpy's numbers int and float, paths str, lists
    tuples, so that settings compare and can be written as JSON. Paths have their `~`
    expanded.

    Raises:
        ValueError: a value is of the wrong type, not finite, or breaks its rule; the
            message names the flag, the value and what it must be.
    """
    prefix = flag_prefix(type(settings))
    for field in dataclasses.fields(settings):
        value, says = getattr(settings, field.name), None
        if is_settings(field):
            continue
        rule, choices = field.metadata["rule"], field.metadata["choices"]
        if value in (None, "") and field.default is None:
            if field.metadata["missing"]:
                raise ValueError(
                    f"--{prefix}{field.name} is missing: {field.metadata['missing']}"
                )
            continue
        kind = value_type(type(settings), field.name)
        if not _has_type(value, kind):
            raise ValueError(f"--{prefix}{field.name}={value}: must be {kind.__name__}")
        value = os.fspath(value) if kind is str else kind(value)
        if field.metadata["is_path"]:
            value = os.path.expanduser(value)
        object.__setattr__(settings, field.name, value)
        if isinstance(value, float) and not math.isfinite(value):
            says = "must be a finite number"
        elif choices and value not in choices:
            says = f"value should be one of <{'|'.join(map(str, choices))}>"
        elif rule:
            says = rule(value)
        if says:
            raise ValueError(f"--{prefix}{field.name}={value}: {says}")


def flag_prefix(settings_class: type) -> str:
    """Returns what the flags of a class begin with, its FLAG_PREFIX or nothing."""
    return getattr(settings_class, "FLAG_PREFIX", "")


def is_settings(field: dataclasses.Field) -> bool:
    """Returns whether a field holds settings of their own."""
    return dataclasses.is_dataclass(field.default)


def value_type(settings_class: type, name: str) -> type:
    """Returns bool, int, float, str or tuple: the type of a field but for None."""
    hint = typing.get_type_hints(settings_class)[name]
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    return typing.get_origin(hint) or hint


def as_dict(settings: Any) -> dict[str, Any]:
    """Returns every value by the name of its flag; nested settings with the others."""
    values: dict[str, Any] = {}
    prefix = flag_prefix(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if is_settings(field):
            values |= as_dict(value)
        else:
            values[f"{prefix}{field.name}"] = value
    return values


def from_dict(settings_class: type, values: dict[str, Any]) -> Any:
    """Returns settings of what `as_dict` returned, defaults where a value is missing.

    Args:
        settings_class: the dataclass.
        values: by flag; lists and numbers may be as JSON has them.

    Raises:
        ValueError: see `check`.
    """
    prefix = flag_prefix(settings_class)
    arguments = {}
    for field in dataclasses.fields(settings_class):
        name = f"{prefix}{field.name}"
        if is_settings(field):
            arguments[field.name] = from_dict(type(field.default), values)
        elif name in values:
            arguments[field.name] = values[name]
    return settings_class(**arguments)


def _has_type(value: Any, kind: type) -> bool:
    """Returns whether a value is of a field's type, or turns into it without a loss."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    others: dict[type, Any] = {
        int: numbers.Integral,
        float: numbers.Real,
        str: (str, os.PathLike),
        tuple: (tuple, list),
    }
    return isinstance(value, others[kind])


def data_dir() -> Any:
    """Returns the field of --data_dir, the same in every command."""
    return setting(None, "TFDS data_dir; TFDS's own by default.", is_path=True)


def split(default: str, help: str = "Split to read: train, test+real[:5] ...") -> Any:
    """Returns the field of --split, a TFDS split expression."""
    return setting(default, help)

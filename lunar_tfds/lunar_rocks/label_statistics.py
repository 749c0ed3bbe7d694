"""Sums over the labels of frames: small, of whole numbers, and added in any order."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class Statistics:
    """Sums over frames. A missing key is a sum of 0.

    Attributes:
        pixel_counts: split to name of a mask to pixels of each class.
        rules: name of a rule to [cases where it holds, all cases, frames that break
            it, frames with a case].
        renders: frames that the evidence below is of.
        votes: kind of mask to [class][colour], see `evidence.votes`.
        agreement: [colour in ground][colour in clean], see `evidence.agreement`.
        pairs: frames whose `ground` and `clean` were both compared with primaries.
        primaries: kind of mask to the thousandths of its coloured pixels that are pure
            primaries, added over the pairs.
        masks: kind of mask to the masks whose colours were looked at.
        deviating: kind of mask to those of them that deviate from the palette.
        wrong_colors: kind of mask to the most frequent wrong colour of each deviating
            mask, '(9, 8, 7)', to its pixels.
    """

    pixel_counts: dict[str, dict[str, list[int]]] = dataclasses.field(
        default_factory=dict
    )
    rules: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    renders: int = 0
    votes: dict[str, list[list[int]]] = dataclasses.field(default_factory=dict)
    agreement: list[list[int]] = dataclasses.field(default_factory=list)
    pairs: int = 0
    primaries: dict[str, int] = dataclasses.field(default_factory=dict)
    masks: dict[str, int] = dataclasses.field(default_factory=dict)
    deviating: dict[str, int] = dataclasses.field(default_factory=dict)
    wrong_colors: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def add(self, other: "Statistics") -> None:
        """Adds the sums of other frames."""
        for field in dataclasses.fields(self):
            mine, more = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, _sum(mine, more))


def _sum(mine: Any, more: Any) -> Any:
    """Returns the sum of two numbers, lists or dicts; dicts keep growing in place."""
    if isinstance(mine, dict):
        for key, value in more.items():
            mine[key] = _sum(mine[key], value) if key in mine else _copy(value)
        return mine
    if isinstance(mine, list):
        if not (mine and more):
            return _copy(mine or more)
        return [_sum(a, b) for a, b in zip(mine, more, strict=True)]
    return mine + more


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value

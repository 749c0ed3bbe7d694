"""What is said where many frames lack the same file."""

import dataclasses

import pytest

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import frame_files, problems
from lunar_tfds.lunar_rocks.problems import LEAVE_OUT_VARIABLE


@dataclasses.dataclass
class Listed:
    """A source of which only the names count."""

    sizes: dict
    description: str = "folder x"

    @property
    def masks(self):
        return kaggle_layout.masks_among(self.sizes)


def listed(**numbers):
    """Returns a source with files of so many first numbers of each kind."""
    return Listed(
        {
            kaggle_layout.frame_file(kind, kaggle_layout.frame_id(number)): 1
            for kind, numbers_of_kind in numbers.items()
            for number in numbers_of_kind
        }
    )


def hint(source, more=()):
    _, bad, _ = frame_files.find_frames(source.sizes)
    return problems.missing_files_hint(source, bad | dict(more))


ALL = range(1, 1001)


@pytest.mark.parametrize(("kept", "told"), [(699, True), (700, False), (0, True)])
def test_removed_renders(kept, told):
    source = listed(render=range(1, kept + 1), ground=ALL, clean=ALL)
    says = hint(source)
    assert bool(says) == told
    if told:
        assert says.startswith(f"{1000 - kept} frames lack their render alone")
        assert f"{LEAVE_OUT_VARIABLE}=1 builds without them." in says


def test_nothing_is_guessed_where_anything_else_is_wrong():
    source = listed(render=range(1, 500), ground=ALL, clean=ALL)
    assert not hint(source, {"0001": "truncated"})
    assert not hint(listed(render=range(1, 500), ground=ALL, clean=range(2, 1001)))


def test_a_few_masks_of_a_kind_may_go():
    source = listed(render=ALL, ground=ALL, clean=[1, 2])
    says = hint(source)
    assert "998 frames lack their clean alone" in says
    assert "or remove images/clean to build with ground alone" in says
    few = hint(listed(render=ALL, ground=ALL, clean=range(1, 601)))
    assert "400 frames" in few and "remove images" not in few


def test_no_frame_says_what_one_is():
    says = problems.no_frame(listed())
    assert says.startswith(
        "No complete frame in the folder x: a frame is images/render"
    )
    assert "ground0001.png or images/clean/clean0001.png, or with both" in says

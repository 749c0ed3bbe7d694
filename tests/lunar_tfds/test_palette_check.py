"""Swapped colours are found by the evidence of a set, and right ones are left alone."""

import dataclasses

import numpy as np
import pytest

from lunar_tfds.kaggle_layout import CLEAN, GROUND, MASKS
from lunar_tfds.lunar_rocks import palette_check
from tests.support import swapped_sets, tiny_frames
from tests.support.swapped_sets import ORDERS, ROCKS_SWAPPED

NUM_FRAMES = palette_check.MIN_FRAMES


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    tiny_frames.write_kaggle_folder(folder, num_frames=NUM_FRAMES, num_photos=0)
    return swapped_sets.read(folder, step=5)


def compared(scenes, change=lambda masks: masks, **known):
    return palette_check.compare(swapped_sets.look(scenes, change, **known))


def test_recolouring_keeps_brightness():
    rgb = np.array([[(0, 0, 0), (226, 0, 0), (0, 90, 0), (0, 0, 255)]], np.uint8)
    found = swapped_sets.recolour(rgb, (2, 3, 1, 0))
    assert found.tolist() == [[[0, 226, 0], [0, 0, 226], [90, 0, 0], [0, 0, 0]]]


@pytest.mark.parametrize("kinds", swapped_sets.PLACES, ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_every_meaning_of_the_colours_is_found(scenes, order, kinds):
    found = compared(scenes, swapped_sets.repaint(order, kinds))
    assert found.stops
    assert found.better == swapped_sets.meaning_of(order, kinds)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("order", [ROCKS_SWAPPED, (0, 3, 2, 1), (1, 2, 3, 0)], ids=str)
def test_one_mask_is_enough(scenes, order, kind):
    assert not compared(scenes, swapped_sets.only(kind)).better
    found = compared(scenes, swapped_sets.repaint(order, [kind], [kind]))
    assert found.stops
    assert found.better == swapped_sets.meaning_of(order, [kind], [kind])


def test_folders_exchanged_are_found(scenes):
    found = compared(scenes, swapped_sets.exchange)
    assert found.stops and found.better.exchanged
    assert "each other's folder" in palette_check.explain(found)


@pytest.mark.parametrize("kinds", [MASKS, (GROUND,), (CLEAN,)], ids=str)
@pytest.mark.parametrize("swapped", [False, True])
def test_rocks_without_boxes_are_not_told_apart(scenes, kinds, swapped):
    """Nothing else tells small rock from large: it is named, and stops nothing."""

    def change(masks):
        order = ROCKS_SWAPPED if swapped else palette_check.PALETTE
        return {kind: swapped_sets.recolour(masks[kind], order) for kind in kinds}

    found = compared(scenes, change, boxes=False)
    assert not found.better
    assert found.undecided == (swapped_sets.meaning_of(ROCKS_SWAPPED, kinds, kinds),)
    places = " and ".join(sorted(kinds, reverse=True))
    assert (
        f"green as large_rock, blue as small_rock in {places}"
        in palette_check.explain(found)
    )


def test_masks_that_disagree_need_no_boxes(scenes):
    change = swapped_sets.repaint(ROCKS_SWAPPED, [CLEAN])
    found = compared(scenes, change, boxes=False)
    # Either of them may be the wrong one: the better of two equal meanings is named.
    assert found.stops and found.better.moved == 2


def test_few_frames_are_told_and_stop_nothing(scenes):
    change = swapped_sets.repaint((0, 3, 2, 1), MASKS)
    found = compared(scenes[: NUM_FRAMES - 1], change)
    assert found.better == swapped_sets.meaning_of((0, 3, 2, 1), MASKS)
    assert not found.stops
    says = palette_check.explain(found)
    assert "red as large_rock, blue as sky in ground and clean" in says
    assert "19 frames are too few to be sure" in says and "goes on" in says


def test_right_colours_are_told_nothing_of(scenes):
    found = compared(scenes)
    assert found == palette_check.Comparison(NUM_FRAMES, None, 0, ())
    assert not palette_check.explain(found)


def bright(scenes):
    """Returns scenes whose skies are not dark."""
    return [
        dataclasses.replace(
            scene, pixels=dataclasses.replace(scene.pixels, top=scene.pixels.top | 64)
        )
        for scene in scenes
    ]


def without_sky(scenes):
    def change(masks):
        return {k: np.where(rgb[..., :1], 0, rgb) for k, rgb in masks.items()}

    return [
        dataclasses.replace(
            scene,
            pixels=dataclasses.replace(scene.pixels, masks=change(scene.pixels.masks)),
        )
        for scene in scenes
    ]


@pytest.mark.parametrize("spoil", [bright, without_sky])
def test_evidence_that_fails_speaks_for_no_other_meaning(scenes, spoil):
    assert not compared(spoil(scenes)).better
    assert not compared(spoil(scenes), boxes=False).better


def test_overlaps_that_clean_calls_small_stop_nothing(scenes):
    """What clean calls green and blue at once in the 9,766 frames nobody has seen."""

    def change(masks):
        ground, clean = masks[GROUND].copy(), masks[CLEAN].copy()
        inside = (ground[..., 2] > 0) & (np.indices(ground.shape[:2])[1] % 3 == 0)
        ground[inside, 1], clean[inside] = 200, (0, 255, 0)
        return {GROUND: ground, CLEAN: clean}

    assert not compared(scenes, change).better


def test_no_frame_is_no_evidence():
    found = palette_check.compare(swapped_sets.look([]))
    assert not found.better and not found.undecided and not found.stops

"""No swapped channel, class or folder gets through a build."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import palette_check
from tests.support import building, tiny_frames


@pytest.mark.parametrize(
    "rgb, expected",
    [
        ((0, 0, 0), palette.GROUND),
        ((226, 0, 0), palette.SKY),
        ((225, 0, 0), palette.SKY),
        ((255, 0, 0), palette.SKY),
        ((0, 99, 0), palette.GROUND),
        ((0, 100, 0), palette.SMALL_ROCK),
        ((0, 0, 99), palette.GROUND),
        ((0, 0, 100), palette.LARGE_ROCK),
        ((0, 255, 100), palette.LARGE_ROCK),
        ((0, 255, 99), palette.SMALL_ROCK),
        ((112, 0, 0), palette.GROUND),
    ],
)
def test_class_of_a_colour(rgb, expected):
    assert palette.class_ids(np.array([[rgb]], np.uint8)).tolist() == [[expected]]


def test_a_lower_threshold_moves_rocks_but_not_sky():
    rgb = np.array([[(0, 10, 0), (0, 0, 10), (10, 0, 0), (226, 0, 0)]], np.uint8)
    assert palette.class_ids(rgb, 10).tolist() == [[2, 3, 0, 1]]
    assert palette.class_ids(rgb, 255).tolist() == [[0, 0, 0, 1]]


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_colours_and_ids_are_inverse(ids):
    ids %= palette.NUM_CLASSES
    rgb = palette.colorize(ids)
    np.testing.assert_array_equal(palette.class_ids(rgb), ids)
    assert not palette.off_palette(rgb, "clean").any()


@given(hnp.arrays(np.uint8, (4, 4, 3)))
def test_off_palette_pixel_by_pixel(rgb):
    ground, clean = (palette.off_palette(rgb, kind) for kind in ("ground", "clean"))
    for row, column in np.ndindex(4, 4):
        red, green, blue = rgb[row, column].tolist()
        legal = red == 0 or green == blue == 0
        assert ground[row, column] == (not legal)
        primary = (red, green, blue) in palette.CLASS_COLORS
        assert clean[row, column] == (not primary)


@pytest.mark.parametrize("rgb", list(itertools.product((0, 1, 240, 255), repeat=3)))
def test_clean_knows_only_primaries(rgb):
    off = palette.off_palette(np.array([[rgb]], np.uint8), "clean")
    assert off.item() == (rgb not in palette.CLASS_COLORS)


@pytest.mark.parametrize(
    "rgb, legal",
    [
        ((226, 0, 0), True),
        ((224, 0, 0), True),
        ((255, 0, 0), True),
        ((3, 0, 0), True),
        ((0, 40, 0), True),
        ((0, 90, 255), True),
        ((226, 1, 0), False),
        ((9, 9, 9), False),
    ],
)
def test_a_hue_is_legal_in_ground_whatever_its_intensity(rgb, legal):
    off = palette.off_palette(np.array([[rgb]], np.uint8), "ground")
    assert off.item() == (not legal)


NUM_FRAMES = palette_check.MIN_FRAMES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns as many frames as it takes to judge a set, and two photos."""
    return tiny_frames.write_kaggle_folder(
        tmp_path_factory.mktemp("palette"), num_frames=NUM_FRAMES
    )


def files_of(folder, kind):
    return sorted((folder / "images" / kind).iterdir())


def change(file, how):
    pixels = how(np.array(Image.open(file)))
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, compress_level=1)


def recolour(folder, target, kinds, how):
    copy = building.copy(folder, target)
    for kind in kinds:
        for file in files_of(copy, kind):
            change(file, how)
    return copy


def test_the_unchanged_folder_builds(folder, tmp_path):
    builder = building.build(folder, tmp_path)
    assert builder.info.metadata["labels_undecided"] == []


def test_channels_in_bgr_order_stop_the_build(folder, tmp_path):
    copy = recolour(folder, tmp_path / "k", ["ground", "clean"], lambda p: p[..., ::-1])
    with pytest.raises(ValueError, match="do not fit the pictures") as error:
        building.build(copy, tmp_path / "d")
    assert "red as large_rock, blue as sky in ground and clean" in str(error.value)
    assert f"over {NUM_FRAMES} frames" in str(error.value)
    assert not list((tmp_path / "d" / "lunar_rocks").iterdir())


@pytest.mark.parametrize("kind", ["ground", "clean"])
def test_one_mask_swapped_stops_the_build(folder, tmp_path, kind):
    copy = recolour(folder, tmp_path / "k", [kind], lambda p: p[..., (0, 2, 1)])
    with pytest.raises(ValueError, match=f"blue as small_rock in {kind} "):
        building.build(copy, tmp_path / "d")


def test_rocks_swapped_without_boxes_build_and_are_named(folder, tmp_path, caplog):
    copy = recolour(
        folder, tmp_path / "k", ["ground", "clean"], lambda p: p[..., (0, 2, 1)]
    )
    (copy / "bounding_boxes.csv").unlink()
    builder = building.build(copy, tmp_path / "d")
    named = "green as large_rock, blue as small_rock in ground and clean"
    assert list(builder.info.metadata["labels_undecided"]) == [named]
    assert named in caplog.text


def test_fewer_frames_than_prove_anything_build(folder, tmp_path, caplog):
    copy = recolour(folder, tmp_path / "k", ["ground", "clean"], lambda p: p[..., ::-1])
    for kind in ("render", "ground", "clean"):
        files_of(copy, kind)[0].unlink()
    building.build(copy, tmp_path / "d")
    assert "19 frames are too few to be sure" in caplog.text


@pytest.mark.parametrize("leave_out", [False, True])
def test_masks_in_each_others_folder(folder, tmp_path, leave_out):
    copy = building.copy(folder, tmp_path / "k")
    for ground, clean in zip(
        files_of(copy, "ground"), files_of(copy, "clean"), strict=True
    ):
        aside = ground.read_bytes()
        ground.write_bytes(clean.read_bytes())
        clean.write_bytes(aside)
    with pytest.raises(ValueError, match="in each other's folder") as error:
        building.build(copy, tmp_path / "d", leave_out=leave_out)
    assert "of 20 clean masks have other colours" in str(error.value)


def gray(pixels):
    return np.repeat(pixels.max(axis=-1, keepdims=True), 3, axis=-1)


def test_a_deviating_mask_is_a_problem_of_its_frame(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    change(copy / "images/ground/ground0001.png", gray)
    file = copy / "images/clean/clean0003.png"
    pixels = np.array(Image.open(file))
    pixels[400:420, :] = (9, 8, 7)
    Image.fromarray(pixels).save(file)
    with pytest.raises(ValueError) as error:
        building.build(copy, tmp_path / "d")
    message = str(error.value)
    assert message.startswith("2 frames of the folder")
    assert "0001: images/ground/ground0001.png: " in message
    assert "clean0003.png: 14400 of 345600 pixels (4.2%)" in message
    assert "RGB (9, 8, 7) (14400 pixels)" in message
    assert "masks have other colours" not in message  # The set is all right.
    builder = building.build(copy, tmp_path / "e", leave_out=True)
    left_out = builder.info.metadata["left_out_frames"]
    assert list(left_out) == ["0001", "0003"]
    assert builder.info.metadata["class_pixel_counts"]
    assert len(building.read(builder)) == NUM_FRAMES


@pytest.mark.parametrize("leave_out", [False, True])
def test_many_deviating_masks_stop_the_set(folder, tmp_path, leave_out):
    copy = building.copy(folder, tmp_path / "k")
    for file in files_of(copy, "ground")[:6]:
        change(file, lambda pixels: pixels + np.uint8(5))
    with pytest.raises(ValueError) as error:
        building.build(copy, tmp_path / "d", leave_out=leave_out)
    assert "6 of 20 ground masks have other colours than the palette" in str(
        error.value
    )
    assert "most often RGB (5, 5, 5)" in str(error.value)
    assert not list((tmp_path / "d" / "lunar_rocks").iterdir())


@pytest.mark.parametrize("red", [224, 255, 140])
def test_any_pure_red_is_sky_in_ground(folder, tmp_path, red):
    def fade(pixels):
        pixels[..., 0][pixels[..., 0] > 0] = red
        return pixels

    copy = recolour(folder, tmp_path / "k", ["ground"], fade)
    counts = building.build(copy, tmp_path / "d").info.metadata["class_pixel_counts"]
    for masks in counts.values():
        assert masks["ground_mask"][1] == masks["clean_mask"][1]


def test_one_per_cent_of_blended_edges_is_tolerated(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "images/ground/ground0003.png"
    pixels = np.array(Image.open(file))
    pixels[400:405, :] = (174, 90, 0)
    Image.fromarray(pixels).save(file)
    building.build(copy, tmp_path / "d")


def test_bright_skies_stop_nothing(folder, tmp_path):
    copy = recolour(folder, tmp_path / "k", ["render"], lambda pixels: pixels | 64)
    builder = building.build(copy, tmp_path / "d")
    assert len(building.read(builder)) == NUM_FRAMES + 2


def test_photo_masks_are_checked_too(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=1)
    change(folder / "real_moon_images/g_PCAM1.png", lambda pixels: pixels // 2)
    with pytest.raises(ValueError, match="g_PCAM1.png.* a clean mask never has"):
        building.build(folder, tmp_path / "d")
    builder = building.build(folder, tmp_path / "e", leave_out=True)
    assert list(builder.info.metadata["left_out_frames"]) == ["PCAM1"]

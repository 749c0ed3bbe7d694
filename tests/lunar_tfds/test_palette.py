"""No swapped channel, class or folder gets through a build."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import (
    annotations,
    decode,
    folder_source,
    frame_files,
    judge,
)
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
        legal = red == 0 or (red in (225, 226) and green == blue == 0)
        assert ground[row, column] == (not legal)
        primary = (red, green, blue) in palette.CLASS_COLORS
        assert clean[row, column] == (not primary)


@pytest.mark.parametrize("rgb", list(itertools.product((0, 1, 240, 255), repeat=3)))
def test_clean_knows_only_primaries(rgb):
    off = palette.off_palette(np.array([[rgb]], np.uint8), "clean")
    assert off.item() == (rgb not in palette.CLASS_COLORS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns 8 frames; every other has dim rocks only, which no palette rule sees."""
    folder = tiny_frames.write_kaggle_folder(
        tmp_path_factory.mktemp("palette"), num_frames=8, num_photos=0
    )
    rng = np.random.default_rng(1)
    for frame in range(1, 9):
        file = folder / f"images/ground/ground{frame:04d}.png"
        pixels = np.array(Image.open(file))
        # Small rocks inside large ones, as in real frames: green and blue at once.
        inside = (pixels[..., 2] > 0) & (rng.random(pixels.shape[:2]) < 0.2)
        pixels[inside, 1] = 180
        Image.fromarray(pixels).save(file, compress_level=1)
    return folder


def recolour(folder, target, kinds, change):
    copy = building.copy(folder, target)
    for kind in kinds:
        for file in sorted((copy / "images" / kind).iterdir()):
            pixels = change(np.array(Image.open(file)))
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, compress_level=1)
    return copy


def test_the_unchanged_folder_builds(folder, tmp_path):
    building.build(folder, tmp_path)


ORDERS = [order for order in itertools.permutations(range(3)) if order != (0, 1, 2)]


@pytest.mark.parametrize("kinds", [["ground"], ["clean"], ["ground", "clean"]], ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_swapped_channels_stop_the_build(folder, tmp_path, order, kinds):
    copy = recolour(folder, tmp_path / "k", kinds, lambda rgb: rgb[..., order])
    with pytest.raises(ValueError, match="never has|do not fit the pictures"):
        building.build(copy, tmp_path / "d")
    assert not list((tmp_path / "d" / "lunar_rocks").iterdir())


@pytest.mark.parametrize("boxes", [True, False], ids=["boxes", "no boxes"])
def test_small_and_large_rock_swapped_with_legal_colours(folder, tmp_path, boxes):
    """Green for blue is legal everywhere; overlaps or boxes betray it."""
    copy = recolour(
        folder, tmp_path / "k", ["ground", "clean"], lambda rgb: rgb[..., (0, 2, 1)]
    )
    if not boxes:
        (copy / "bounding_boxes.csv").unlink()
    with pytest.raises(ValueError, match="do not fit the pictures") as error:
        building.build(copy, tmp_path / "d")
    assert "small rock inside a large one" in str(error.value)
    assert ("the box around it" in str(error.value)) == boxes


CLASSES = [order for order in itertools.permutations(range(4)) if order != (0, 1, 2, 3)]


@pytest.mark.parametrize("order", CLASSES, ids=str)
def test_swapped_classes_stop_the_set(folder, order):
    """All 23 permutations of the classes, with the colours right for each kind."""
    total = judge.Statistics()
    source = folder_source.FolderSource(folder)
    boxes = annotations.read_boxes(source.read("bounding_boxes.csv"))
    swap = np.array(order, np.uint8)
    for frame in frame_files.find_frames(source.sizes)[0]:
        render = decode.to_rgb(source.read(frame.image))
        rgb = {k: decode.to_rgb(source.read(f)) for k, f in frame.masks.items()}
        ids = {kind: swap[palette.class_ids(image)] for kind, image in rgb.items()}
        overlap = (rgb["ground"][..., 1] > 0) & (rgb["ground"][..., 2] > 0)
        masks = {kind: palette.colorize(image) for kind, image in ids.items()}
        if {order[2], order[3]} == {2, 3}:  # Both rock colours stay rock colours.
            masks["ground"][overlap] = (0, 180, 180)
            ids["ground"] = palette.class_ids(masks["ground"])
        pixels = decode.Pixels(b"", render[: decode.TOP_ROWS], masks)
        found = boxes.get(frame.frame_id, [])
        total.add(judge.judge(frame, pixels, ids, palette.ROCK_THRESHOLD, found))
    with pytest.raises(ValueError, match="do not fit the pictures"):
        total.check()


def test_masks_in_each_others_folder(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    for frame in range(1, 9):
        ground = copy / f"images/ground/ground{frame:04d}.png"
        clean = copy / f"images/clean/clean{frame:04d}.png"
        aside = ground.read_bytes()
        ground.write_bytes(clean.read_bytes())
        clean.write_bytes(aside)
    with pytest.raises(ValueError, match=r"ground\d+.png: .* a ground mask never has"):
        building.build(copy, tmp_path / "d")


def test_off_palette_names_file_colour_and_count(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "images/clean/clean0003.png"
    pixels = np.array(Image.open(file))
    pixels[400:420, :] = (9, 8, 7)
    Image.fromarray(pixels).save(file)
    with pytest.raises(ValueError) as error:
        building.build(copy, tmp_path / "d", leave_out=True)
    assert "clean0003.png: 14400 of 345600 pixels (4.2%)" in str(error.value)
    assert "RGB (9, 8, 7) (14400 pixels)" in str(error.value)


def test_one_per_cent_of_blended_edges_is_tolerated(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "images/ground/ground0003.png"
    pixels = np.array(Image.open(file))
    pixels[400:405, :] = (174, 0, 0)
    Image.fromarray(pixels).save(file)
    building.build(copy, tmp_path / "d")


def test_one_frame_with_a_bright_sky_is_counted_and_logged(folder, tmp_path, caplog):
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "images/render/render0003.png"
    Image.fromarray(np.array(Image.open(file)) | 64).save(file)
    builder = building.build(copy, tmp_path / "d")
    rule = builder.info.metadata["label_rules"]["sky_is_dark"]
    assert rule["frames_breaking_it"] == 1 and rule["holds"] < rule["of"]
    assert "1 of 6 frames break the rule: sky in the upper 16 rows" in caplog.text


def test_bright_skies_everywhere_stop(folder, tmp_path):
    copy = recolour(folder, tmp_path / "k", ["render"], lambda pixels: pixels | 64)
    with pytest.raises(ValueError, match="sky in the upper 16 rows .*: 0.0% of"):
        building.build(copy, tmp_path / "d")


def test_photo_masks_are_checked_too(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=1)
    file = folder / "real_moon_images/g_PCAM1.png"
    Image.fromarray(np.array(Image.open(file)) // 2).save(file)
    with pytest.raises(ValueError, match="g_PCAM1.png.* a clean mask never has"):
        building.build(folder, tmp_path / "d")

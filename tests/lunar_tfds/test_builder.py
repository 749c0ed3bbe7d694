"""What a build holds: features, splits, metadata, boxes, defects, configs."""

import csv
import logging
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import lunar_tfds
from lunar_tfds import palette
from tests.support import building, tiny_frames


@pytest.fixture(scope="module")
def built(tiny_data_dir):
    return tfds.builder("lunar_rocks", data_dir=tiny_data_dir)


@pytest.fixture(scope="module")
def examples(built):
    return building.read(built)


def test_splits_and_shapes(built, examples):
    sizes = {name: split.num_examples for name, split in built.info.splits.items()}
    assert sizes == {"train": 18, "validation": 3, "test": 3, "real": 2}
    for split, example in examples.values():
        if split != "real":
            assert example["image"].shape == (480, 720, 3)
        assert example["ground_mask"].shape == (480, 720, 1)
        assert example["clean_mask"].dtype == np.uint8
    # Photo and mask of the second photo differ in size and stay as they are.
    assert examples["PCAM2"][1]["image"].shape == (600, 900, 3)
    assert examples["PCAM2"][1]["ground_mask"].shape == (480, 720, 1)
    assert built.info.supervised_keys == ("image", "ground_mask")
    for key in ("ground_mask", "clean_mask"):
        assert tuple(built.info.features[key].names) == palette.CLASS_NAMES


def test_pixels_are_those_of_the_files(tiny_folder, examples):
    images = tiny_folder / "images"
    for frame_id, (split, example) in examples.items():
        if split == "real":
            photos = tiny_folder / "real_moon_images"
            files = [photos / f"{frame_id}.png"] + [photos / f"g_{frame_id}.png"] * 2
        else:
            kinds = ("render", "ground", "clean")
            files = [images / kind / f"{kind}{frame_id}.png" for kind in kinds]
        render, ground, clean = (np.asarray(Image.open(file)) for file in files)
        np.testing.assert_array_equal(example["image"], render)
        np.testing.assert_array_equal(example["ground_mask"][..., 0], by_hand(ground))
        np.testing.assert_array_equal(example["clean_mask"][..., 0], by_hand(clean))


def by_hand(rgb):
    """Returns class ids as the dataset's description words them, pixel by pixel."""
    red, green, blue = (rgb[..., channel] >= 100 for channel in range(3))
    return np.where(blue, 3, np.where(green, 2, np.where(red, 1, 0)))


def test_the_two_masks_differ_where_small_rocks_are_dim(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=1, num_photos=0)
    ground_file = folder / "images/ground/ground0001.png"
    ground = np.array(Image.open(ground_file))
    ground[400:420, 10:30] = (0, 99, 0)
    ground[400:420, 40:60] = (0, 100, 0)
    Image.fromarray(ground).save(ground_file)
    (_, example) = building.read(building.build(folder, tmp_path / "d"))["0001"]
    mask = example["ground_mask"][..., 0]
    assert (mask[400:420, 10:30] == palette.GROUND).all()
    assert (mask[400:420, 40:60] == palette.SMALL_ROCK).all()
    assert not (example["clean_mask"][400:420, 40:60] == palette.SMALL_ROCK).any()


def test_boxes_enclose_their_rocks_to_the_pixel(tiny_folder, examples):
    with open(tiny_folder / "bounding_boxes.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["Frame"] == "7"]
    boxes = examples["0007"][1]["objects"]["bbox"] * (480, 720, 480, 720)
    assert len(boxes) == len(rows) > 0
    for (top, left, bottom, right), row in zip(boxes, rows, strict=True):
        np.testing.assert_allclose(left, float(row["TopLeftCornerX"]) - 0.5, atol=1e-3)
        np.testing.assert_allclose(right - left, float(row["Length"]), atol=1e-3)
        rock = examples["0007"][1]["ground_mask"][..., 0] == palette.LARGE_ROCK
        t, le, b, r = (round(float(edge)) for edge in (top, left, bottom, right))
        # A drawn disk touches all four edges of its box, unless another covers it.
        assert rock[t, le:r].any() and rock[b - 1, le:r].any()
        assert rock[t:b, le].any() and rock[t:b, r - 1].any()


def test_metadata(built, examples):
    metadata = dict(built.info.metadata.items())
    assert metadata["ground_threshold"] == 100
    assert "author" in metadata["ground_threshold_reason"]
    assert metadata["left_out_frames"] == {}
    assert metadata["defect_lists_present"] == []
    assert len(metadata["source_fingerprint"]) == 64
    for split, masks in metadata["class_pixel_counts"].items():
        for mask, counts in masks.items():
            read = [e[mask] for s, e in examples.values() if s == split]
            assert (
                counts
                == sum(np.bincount(m.ravel(), minlength=4) for m in read).tolist()
            )
    assert metadata["labels_undecided"] == []


def test_defect_lists(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=4, num_photos=0)
    (folder / "mismatch_IDs.txt").write_text("1\n0003\n9000\n\n")
    (folder / "shadow_IDs.txt").write_text("render0003.png\r\n")
    builder = building.build(folder, tmp_path / "d")
    named = {
        frame_id: sorted(name for name, value in example["defects"].items() if value)
        for frame_id, (_, example) in building.read(builder).items()
    }
    assert named == {
        "0001": ["mismatch"],
        "0002": [],
        "0003": ["mismatch", "shadow"],
        "0004": [],
    }
    assert builder.info.metadata["defect_lists_present"] == ["mismatch", "shadow"]


def test_without_boxes_and_with_half_of_two_photos(tmp_path, caplog):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=2, num_photos=3)
    (folder / "real_moon_images/PCAM3.png").unlink()
    (folder / "bounding_boxes.csv").unlink()
    (folder / "real_moon_images/g_PCAM1.png").unlink()
    with caplog.at_level(logging.INFO, logger="absl"):
        examples = building.read(building.build(folder, tmp_path / "d"))
    assert sorted(examples) == ["0001", "0002", "PCAM2"]
    assert examples["0001"][1]["objects"]["bbox"].shape == (0, 4)
    assert "No bounding_boxes.csv" in caplog.text
    assert "There is no real_moon_images/g_PCAM1.png: PCAM1 is left" in caplog.text
    assert "There is no real_moon_images/PCAM3.png: PCAM3 is left" in caplog.text
    assert "Split validation has no frames" in caplog.text
    assert f"Building lunar_rocks from the folder {folder}" in caplog.text


def test_a_photo_with_a_number_has_nothing_of_the_render_of_that_number(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=2, num_photos=1)
    photos = folder / "real_moon_images"
    (photos / "PCAM1.png").rename(photos / "0001.png")
    (photos / "g_PCAM1.png").rename(photos / "g_0001.png")
    (folder / "shadow_IDs.txt").write_text("1\n")
    examples = building.read(building.build(folder, tmp_path / "d"))
    assert sorted(examples) == ["0001", "0002", "photo_0001"]
    split, photo = examples["photo_0001"]
    assert split == "real" and photo["objects"]["bbox"].shape == (0, 4)
    assert not photo["defects"]["shadow"]
    render = examples["0001"][1]
    assert len(render["objects"]["bbox"]) == 2 and render["defects"]["shadow"]
    # Nor do the problems of the one leave out the other.
    (folder / "images/clean/clean0001.png").unlink()
    (photos / "2.png").write_bytes((photos / "0001.png").read_bytes())
    left = building.read(building.build(folder, tmp_path / "e", leave_out=True))
    assert sorted(left) == ["0002", "photo_0001"]


def test_renders_of_other_png_modes_are_stored_as_rgb(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=4, num_photos=0)
    wanted = {}
    for frame, mode in enumerate(("RGBA", "P", "L", "RGB"), start=1):
        for kind in ("render", "ground", "clean"):
            file = folder / f"images/{kind}/{kind}{frame:04d}.png"
            image = Image.open(file)
            if kind == "render":
                wanted[f"{frame:04d}"] = np.asarray(image)
            if mode == "L" and kind != "render":
                continue
            image.convert(mode, palette=Image.Palette.ADAPTIVE).save(file)
    examples = building.read(building.build(folder, tmp_path / "d"))
    for frame_id, render in wanted.items():
        np.testing.assert_array_equal(examples[frame_id][1]["image"], render)
        assert examples[frame_id][1]["ground_mask"].max() == 3


def test_another_threshold_is_another_folder(tmp_path, tiny_folder, examples):
    config = lunar_tfds.LunarRocksConfig(name="threshold_200", ground_threshold=200)
    builder = building.build(tiny_folder, tmp_path, config=config)
    assert (tmp_path / "lunar_rocks" / "threshold_200" / "1.0.0").is_dir()
    assert builder.info.metadata["ground_threshold"] == 200
    reread = building.read(tfds.builder_from_directory(builder.data_dir))
    dimmer = sum(
        np.count_nonzero(reread[i][1]["ground_mask"] > 1)
        < np.count_nonzero(examples[i][1]["ground_mask"] > 1)
        for i in examples
    )
    assert dimmer > 10
    for frame_id in ("0001", "PCAM1"):
        np.testing.assert_array_equal(
            reread[frame_id][1]["clean_mask"], examples[frame_id][1]["clean_mask"]
        )
    with pytest.raises(ValueError, match="from 1 to 255: got 0"):
        lunar_tfds.LunarRocksConfig(name="none", ground_threshold=0)


def test_one_mask_can_be_read_without_the_other(built):
    decoders = tfds.decode.PartialDecoding({"image": True, "clean_mask": True})
    dataset = built.as_dataset(split="validation", decoders=decoders)
    assert set(dataset.element_spec) == {"image", "clean_mask"}
    assert len(list(dataset)) == 3


def test_builder_survives_pickling(tmp_path):
    builder = lunar_tfds.LunarRocks(data_dir=tmp_path, leave_out_bad_frames=True)
    assert pickle.loads(pickle.dumps(builder))._leave_out is True


def test_the_home_folder_is_expanded_in_the_data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lunar_tfds.LunarRocks(data_dir="~/data").data_dir_root == tmp_path / "data"


@pytest.mark.parametrize("value, expected", [("1", True), ("0", False), ("", False)])
def test_environment_variable_leaves_frames_out(tmp_path, monkeypatch, value, expected):
    monkeypatch.setenv("LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES", value)
    assert lunar_tfds.LunarRocks(data_dir=tmp_path)._leave_out is expected
    monkeypatch.setenv("LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES", "yes")
    with pytest.raises(ValueError, match="is 0 or 1: got 'yes'"):
        building.build(tmp_path, tmp_path)


def test_the_command_in_a_checkout_of_another_name(tmp_path):
    """`tfds build lunar_rocks` in the root, with the default manual folder."""
    root = os.path.dirname(os.path.dirname(lunar_tfds.__file__))
    checkout = tmp_path / "lunar_tfds"
    checkout.mkdir()
    for package in ("lunar_rocks", "lunar_tfds"):
        os.symlink(os.path.join(root, package), checkout / package)
    data_dir = tmp_path / "data"
    manual = data_dir / "downloads" / "manual"
    tiny_frames.write_kaggle_folder(manual, num_frames=3, num_photos=0)
    result = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "tfds"), "build", "lunar_rocks"],
        cwd=checkout,
        env=os.environ | {"TFDS_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert (data_dir / "lunar_rocks" / "1.0.0" / "features.json").is_file()

"""Copies with renders and one mask folder, with photos alone, with JPEG files."""

import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import lunar_tfds
from lunar_tfds import contact_sheet, kaggle_layout, opening
from tests.support import building, tiny_frames

MASKS = kaggle_layout.MASKS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns a folder of five frames, train and validation, and a photo."""
    folder = tmp_path_factory.mktemp("whole")
    return tiny_frames.write_kaggle_folder(folder, num_frames=5, num_photos=1)


@pytest.fixture(scope="module")
def halves(whole, tmp_path_factory):
    """Returns (folder with this kind alone, TFDS data_dir) by kind of mask."""
    made = {}
    for mask, absent in zip(MASKS, reversed(MASKS), strict=True):
        folder = building.copy(whole, tmp_path_factory.mktemp("half") / "k")
        shutil.rmtree(folder / "images" / absent)
        made[mask] = folder, tmp_path_factory.mktemp("data")
        building.build(*made[mask])
    return made


@pytest.fixture(params=MASKS)
def half(halves, request):
    """Returns (kind of mask, folder with this kind alone, TFDS data_dir)."""
    return request.param, *halves[request.param]


def names_of(mask):
    """Returns the names of the mask that is there and of the absent one."""
    (absent,) = set(MASKS) - {mask}
    return kaggle_layout.mask_name(mask), kaggle_layout.mask_name(absent)


def test_the_absent_mask_is_named_and_the_rest_is_as_ever(
    half, whole, tmp_path, caplog
):
    mask, folder, _ = half
    there, absent = names_of(mask)
    with caplog.at_level(logging.INFO, logger="absl"):
        building.build(folder, tmp_path / "half")
    assert f"so the dataset has no {absent}, only {there}." in caplog.text
    builder = lunar_tfds.LunarRocks(data_dir=tmp_path / "half")
    assert there in builder.info.features and absent not in builder.info.features
    assert builder.info.supervised_keys == ("image", there)
    assert builder.info.metadata["masks"] == [there]
    for counts in builder.info.metadata["class_pixel_counts"].values():
        assert list(counts) == [there]
    examples = building.read(builder)
    complete = building.read(building.build(whole, tmp_path / "whole"))
    for _, example in complete.values():
        del example[absent]
    building.assert_equal(examples, complete)
    assert {split for split, _ in examples.values()} == {"train", "validation", "real"}


READ = """
import sys
import tensorflow_datasets as tfds
for data_dir, there, absent in (argument.split() for argument in sys.argv[1:]):
    read_only = tfds.builder_from_directory(data_dir + "/lunar_rocks/1.0.0")
    for dataset in (
        tfds.load("lunar_rocks", split="train", data_dir=data_dir),
        read_only.as_dataset("train"),
    ):
        (example,) = dataset.take(1)
        assert there in example and absent not in example, list(example)
    ((image, mask),) = tfds.load(
        "lunar_rocks", split="real", data_dir=data_dir, as_supervised=True
    )
    assert mask.shape == (480, 720, 1)
"""


@pytest.mark.parametrize("first", ["", "import lunar_tfds"])
def test_it_is_read_in_fresh_processes_with_and_without_import(halves, tmp_path, first):
    arguments = [
        " ".join([str(data_dir), *names_of(mask)])
        for mask, (_, data_dir) in halves.items()
    ]
    root = os.path.dirname(os.path.dirname(lunar_tfds.__file__))
    result = subprocess.run(
        [sys.executable, "-c", first + READ, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_complete_copy_does_not_reuse_the_half_one(half, whole, tmp_path):
    mask, _, data_dir = half
    data_dir = building.copy(data_dir, tmp_path / "d")
    with pytest.raises(ValueError, match="was made from the folder .*--overwrite"):
        building.build(whole, data_dir)
    assert opening.masks(opening.open_dataset(data_dir)) == (mask,)
    builder = building.build(
        whole, data_dir, download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
    )
    for either in (builder, opening.open_dataset(data_dir)):
        assert opening.masks(either) == MASKS
        assert either.info.supervised_keys == ("image", "ground_mask")
        assert either.info.metadata["masks"] == ["ground_mask", "clean_mask"]
        assert len(building.read(either)) == 6


def test_one_builder_makes_whatever_its_source_has(half, whole, tmp_path):
    mask, folder, _ = half
    builder = building.build(whole, tmp_path)
    config = tfds.download.DownloadConfig(
        manual_dir=folder, download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
    )
    builder.download_and_prepare(download_config=config)
    assert opening.masks(builder) == (mask,)
    assert len(building.read(builder)) == 6


def test_the_contact_sheet_draws_the_mask_there_is(half, tmp_path):
    mask, _, data_dir = half
    there, absent = names_of(mask)
    sheet = contact_sheet.Sheet(
        data_dir=str(data_dir), mask=mask, output=str(tmp_path / "sheet.png")
    )
    contact_sheet.main(sheet)
    assert Image.open(sheet.output).width > 480
    (other,) = set(MASKS) - {mask}
    sheet = contact_sheet.Sheet(data_dir=str(data_dir), mask=other)
    with pytest.raises(ValueError, match=f"no {absent}, only {there}: use --mask="):
        contact_sheet.main(sheet)


def test_photos_alone_have_both_masks(whole, tmp_path, caplog):
    folder = tmp_path / "k"
    shutil.copytree(whole / "real_moon_images", folder / "real_moon_images")
    photo = folder / "real_moon_images" / "my rover.png"
    shutil.copy(folder / "real_moon_images/PCAM1.png", photo)
    shutil.copy(
        folder / "real_moon_images/g_PCAM1.png", photo.parent / f"g_{photo.name}"
    )
    with caplog.at_level(logging.INFO, logger="absl"):
        builder = building.build(folder, tmp_path / "d")
    examples = building.read(builder)
    assert {i: split for i, (split, _) in examples.items()} == {
        "PCAM1": "real",
        "my rover": "real",
    }
    example = examples["my rover"][1]
    assert (example["ground_mask"] == example["clean_mask"]).all()
    assert "so the dataset has no" not in caplog.text


def test_jpeg_renders_and_photos_build_with_a_warning(whole, tmp_path, caplog):
    folder = building.copy(whole, tmp_path / "k")
    render = folder / "images/render/render0002.png"
    photo = folder / "real_moon_images/PCAM1.png"
    shape = np.asarray(Image.open(photo)).shape
    Image.open(render).save(render.with_suffix(".jpg"), quality=95)
    # Lying, as a camera held upright stores it.
    exif = Image.Exif()
    exif[274] = 6
    turned = Image.open(photo).transpose(Image.Transpose.ROTATE_90)
    turned.save(photo.with_suffix(".JPEG"), exif=exif)
    render.unlink(), photo.unlink()
    examples = building.read(building.build(folder, tmp_path / "d"))
    assert "2 pictures are JPEG files, which have lost the fine grain" in caplog.text
    original = np.asarray(Image.open(whole / "images/render/render0002.png"))
    image = examples["0002"][1]["image"]
    assert np.abs(image.astype(int) - original).mean() < 2
    assert examples["PCAM1"][1]["image"].shape == shape


def test_a_damaged_jpeg_is_a_problem_of_its_frame(whole, tmp_path):
    folder = building.copy(whole, tmp_path / "k")
    for frame_id, quarter in {"0001": 1, "0002": 0}.items():
        render = folder / f"images/render/render{frame_id}.png"
        jpeg = render.with_suffix(".jpg")
        Image.open(render).save(jpeg)
        jpeg.write_bytes(jpeg.read_bytes()[: jpeg.stat().st_size * quarter // 4])
        render.unlink()
    clean = folder / "images/clean/clean0003.png"
    clean.rename(clean.with_suffix(".jpg"))
    with pytest.raises(ValueError) as error:
        building.build(folder, tmp_path / "d")
    for problem in (
        "0001: images/render/render0001.jpg: corrupt JPEG file",
        "0002: images/render/render0002.jpg: empty file",
        "0003: missing partner: no images/clean/clean0003.png",
    ):
        assert problem in str(error.value)


def test_photos_elsewhere_leave_the_renders_and_a_line_in_the_log(
    whole, tmp_path, caplog
):
    folder = building.copy(whole, tmp_path / "k")
    (folder / "masks").mkdir()
    photos = folder / "real_moon_images"
    (photos / "g_PCAM1.png").rename(folder / "masks" / "PCAM1.png")
    (photos / "PCAM1.png").rename(folder / "images" / "PCAM1.png")
    examples = building.read(building.build(folder, tmp_path / "d"))
    assert len(examples) == 5
    assert "No labelled photo in real_moon_images, where photos are look" in caplog.text


def test_removed_renders_can_be_left_out(whole, tmp_path):
    folder = building.copy(whole, tmp_path / "k")
    (folder / "images/render/render0002.png").unlink()
    with pytest.raises(ValueError, match="0002: missing partner: no images/render/"):
        building.build(folder, tmp_path / "d")
    builder = building.build(folder, tmp_path / "d", leave_out=True)
    assert list(builder.info.metadata["left_out_frames"]) == ["0002"]
    assert len(building.read(builder)) == 5


def test_a_zip_may_be_named_itself(whole, tmp_path):
    path = building.zip_folder(whole, tmp_path / "moon.zip", "a/b/")
    builder = building.build(path, tmp_path / "d")
    assert builder.info.metadata["source"] == f"zip {path}"
    assert len(building.read(builder)) == 6
    building.build(whole, tmp_path / "d")  # The same files: it is used again.

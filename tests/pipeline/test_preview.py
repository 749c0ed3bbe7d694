"""The sheet of augmented pairs."""

import numpy as np
from PIL import Image

from lunar_tfds import command_line, palette
from pipeline import batching, preview
from pipeline.resize import resize_image
from pipeline.selection import Selection


def test_a_sheet_of_the_expected_size_is_written(tiny_data_dir, tmp_path):
    output = tmp_path / "new" / "sheet.png"
    flags = [f"--output={output}", f"--data_dir={tiny_data_dir}"]
    flags += ["--examples=2", "--epochs=1", "--image_size=32"]
    argv = ["preview", *flags]
    assert command_line.run(preview.Preview, preview.main, argv) == 0
    sheet = Image.open(output)
    # Three columns of 32 + 6 px; a caption of 16 and twice an image above a mask.
    assert sheet.size == (3 * 38 + 6, 16 + 2 * (2 * 38 + 6))
    masks = [cell(sheet, 1, column) for column in range(3)]
    for mask in masks:
        colors = {tuple(color) for color in mask.reshape(-1, 3).tolist()}
        assert len(colors) > 1 and colors <= set(palette.CLASS_COLORS)
    # Each column is drawn anew, and every rock of it shows its outline.
    assert all((masks[0] != mask).any() for mask in masks[1:])


def cell(sheet, row, column):
    """Returns a picture of a sheet of 32 px cells, uint8 [32, 32, 3]."""
    top, left = 16 + 38 * row, 6 + 38 * column
    return np.asarray(sheet)[top : top + 32, left : left + 32]


def test_every_column_shows_the_same_frames_whatever_the_split(tiny_data_dir):
    builder = batching.open_dataset(tiny_data_dir)
    for split in ("train[:2]", "validation[:1]+train[:1]", "train+validation"):
        chosen = Selection(split)
        found, captions = preview.columns(builder, chosen, 64, 2, 1)
        assert captions[0] == "evaluation" and len(found) == 3
        examples = list(batching.example_dataset(builder, chosen).take(2))
        images, masks = found[0]
        for example, image in zip(examples, images, strict=True):
            np.testing.assert_allclose(
                image, resize_image(example["image"], 64), atol=1e-6
            )
        # An augmented frame keeps the classes of its own, and most of its sky.
        for _, augmented in found[1:]:
            for mask, ids in zip(masks, augmented, strict=True):
                shares = [
                    np.bincount(m.ravel(), minlength=4) / m.size for m in (mask, ids)
                ]
                np.testing.assert_allclose(*shares, atol=0.15)


def test_image_and_mask_move_together_in_an_augmented_column(tiny_data_dir):
    builder = batching.open_dataset(tiny_data_dir)
    found, _ = preview.columns(builder, Selection("train"), 128, 2, 2)
    for images, masks in found[1:3]:
        for image, mask in zip(images, masks, strict=True):
            bright = image.mean(-1)
            # In the frames drawn for tests sky is black, large rock the brightest.
            means = [bright[mask == c].mean() for c in (1, 0, 3) if (mask == c).any()]
            assert len(means) >= 2 and means == sorted(means)


def test_a_split_that_is_none_is_one_line(tiny_data_dir, tmp_path, capsys, caplog):
    arguments = [f"--output={tmp_path}/s.png", f"--data_dir={tiny_data_dir}"]
    for split in ("train[:10%", "tset"):
        argv = ["preview", *arguments, f"--split={split}"]
        assert command_line.run(preview.Preview, preview.main, argv) == 1
    assert "no split expression" in caplog.text and "no split 'tset'" in caplog.text

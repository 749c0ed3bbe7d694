"""The contact sheet draws what the dataset holds."""

import subprocess
import sys

import numpy as np
from PIL import Image

from lunar_tfds import contact_sheet, palette


def test_overlay_leaves_ground_and_tints_the_rest():
    image = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[palette.GROUND, palette.SKY], [palette.SMALL_ROCK, 3]], np.uint8)
    drawn = contact_sheet.overlay(image, mask)
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert drawn[0, 1].tolist() == [170, 55, 55]
    assert drawn[1, 0].tolist() == [55, 170, 55]
    assert drawn[1, 1].tolist() == [55, 55, 170]


def test_command_draws_frames_boxes_and_photos(tiny_data_dir, tmp_path):
    example = {
        "image": np.zeros((480, 720, 3), np.uint8),
        "ground_mask": np.zeros((480, 720, 1), np.uint8),
        "objects": {"bbox": np.array([[0.5, 0.25, 0.75, 0.5]], np.float32)},
        "defects": {"shadow": True},
        "frame_id": b"0001",
    }
    tile = np.asarray(contact_sheet.draw_tile(example, "ground_mask"))
    yellow = (tile == (255, 220, 0)).all(axis=-1)
    rows, columns = np.nonzero(yellow)
    top = contact_sheet.CAPTION
    assert (rows.min() - top, rows.max() - top) == (160, 239)
    assert (columns.min(), columns.max()) == (120, 239)
    output = tmp_path / "sheet.png"
    command = [sys.executable, "-m", "lunar_tfds.contact_sheet", "--split=real"]
    command += [f"--data_dir={tiny_data_dir}", f"--output={output}", "--mask=clean"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    assert Image.open(output).width == 2 * 480 + 3 * 8
    for split, message in (
        ("nothing", "No split 'nothing': this dataset has"),
        ("real[:0]", "No example in 'real[:0]'. Choose a larger part."),
    ):
        bad = subprocess.run(
            [*command[:3], f"--split={split}", f"--data_dir={tiny_data_dir}"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert bad.returncode == 1 and message in bad.stderr

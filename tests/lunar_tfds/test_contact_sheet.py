"""The contact sheet draws what the dataset holds."""

import numpy as np
import pytest
from PIL import Image

from lunar_tfds import command_line, contact_sheet


def run(*flags):
    argv = ["contact_sheet", *flags]
    return command_line.run(contact_sheet.Sheet, contact_sheet.main, argv)


def test_boxes_lie_where_the_example_says():
    example = {
        "image": np.zeros((480, 720, 3), np.uint8),
        "ground_mask": np.zeros((480, 720, 1), np.uint8),
        "objects": {"bbox": np.array([[0.5, 0.25, 0.75, 0.5]], np.float32)},
        "defects": {"shadow": True},
        "frame_id": b"0001",
    }
    tile = np.asarray(contact_sheet.draw_tile(example, "ground"))
    yellow = (tile == (255, 220, 0)).all(axis=-1)
    rows, columns = np.nonzero(yellow)
    top = contact_sheet.CAPTION
    assert (rows.min() - top, rows.max() - top) == (160, 239)
    assert (columns.min(), columns.max()) == (120, 239)


def test_command_draws_frames_and_photos(tiny_data_dir, tmp_path, capsys):
    output = tmp_path / "sheets" / "sheet.png"
    assert not run(
        *("--split=real", f"--data_dir={tiny_data_dir}", f"--output={output}"),
        "--mask=clean",
    )
    assert Image.open(output).width == 2 * 480 + 3 * 8
    assert f"{output}: 984x" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--split=nothing", "no split 'nothing': the dataset in "),
        ("--split=train+nothing[:2]", "no split 'nothing': the dataset in "),
        ("--split=real[:0]", "No example in 'real[:0]'. Choose a larger part."),
        ("--split=train[:10", "'train[:10' is no split expression"),
        ("--split=train[a:b]", "'train[a:b]' is no split expression"),
        ("--split=train[:120%]", "'train[:120%]' is no split expression"),
        ("--num_examples=0", "--num_examples=0: must be at least 1"),
        ("--mask=sky", "mask=sky: value should be one of <ground|clean>"),
        ("--output=/dev/null/sheet.png", "could not write /dev/null/sheet.png"),
        (
            "--data_dir=/dev/null/nothing",
            "no built dataset in /dev/null/nothing/lunar_rocks",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    tiny_data_dir, tmp_path, caplog, flag, message
):
    """Also where nothing may be written, as on a read-only disk."""
    flags = [f"--data_dir={tiny_data_dir}", f"--output={tmp_path / 'sheet.png'}", flag]
    assert run(*flags) == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert message in line and "\n" not in line
    assert not list(tmp_path.iterdir())

"""The sheet of augmented pairs."""

import subprocess
import sys

import numpy as np
from PIL import Image

from lunar_tfds import palette


def test_a_sheet_of_the_expected_size_is_written(tiny_data_dir, tmp_path):
    output = tmp_path / "new" / "sheet.png"
    flags = [f"--output={output}", f"--data_dir={tiny_data_dir}"]
    flags += ["--examples=2", "--epochs=1", "--image_size=32"]
    command = [sys.executable, "-m", "pipeline.preview", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sheet = Image.open(output)
    # Three columns of 32 + 6 px; a caption of 16 and twice an image above a mask.
    assert sheet.size == (3 * 38 + 6, 16 + 2 * (2 * 38 + 6))
    mask = np.asarray(sheet)[16 + 38 :, 6:][:32, :32].reshape(-1, 3)
    assert {tuple(color) for color in mask.tolist()} <= set(palette.CLASS_COLORS)

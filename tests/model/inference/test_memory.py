"""Large photos are predicted in bounded memory, each time in a process of its own."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lunar_tfds import machine
from tests.support import stand_in, tiny_frames

COMMAND = """
import sys
from commands import predict
from lunar_tfds import machine
images, *flags = sys.argv[1:]
for tile in ("--tile", "--notile"):
    assert predict.main(["predict.py", f"--images={images}", tile, *flags]) == 0
print("peak", machine.peak_memory())
"""


def peak(image, checkpoint, folder):
    """Returns the bytes of a process that predicts an image tiled and untiled."""
    flags = f"--checkpoint={checkpoint}", f"--output_dir={folder}"
    result = subprocess.run(
        [sys.executable, "-c", COMMAND, image, *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout.split()[-1])


def added_by(tmp_path, height, width):
    """Returns the bytes that a photo takes beyond those of one frame."""
    if machine.peak_memory() is None:
        pytest.skip("this system does not tell a process's peak")
    checkpoint = stand_in.save(tmp_path / "a.keras", size=128)
    frame = tiny_frames.draw_frame(np.random.default_rng(1), num_large=3)[0]
    repeats = -(-height // frame.shape[0]), -(-width // frame.shape[1]), 1
    photo = np.tile(frame, repeats)[:height, :width]
    Image.fromarray(frame).save(tmp_path / "frame.jpg")
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    peaks = [
        peak(tmp_path / name, checkpoint, tmp_path / "out")
        for name in ("frame.jpg", "photo.jpg")
    ]
    return peaks[1] - peaks[0]


def test_a_photo_of_8_megapixels(tmp_path):
    assert added_by(tmp_path, 2000, 4000) < 450e6  # Unbounded, it was 1 GB.


@pytest.mark.slow
def test_a_panorama_of_60_megapixels(tmp_path):
    assert added_by(tmp_path, 2880, 20_833) < 2e9

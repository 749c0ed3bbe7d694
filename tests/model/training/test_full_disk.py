"""A limit on the size of a file stands in for the end of the disk."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, signal, sys
import numpy as np, tensorflow as tf
from model.network.checkpoints import save_model
from model.training.run_state import Progress, save_state
from model.training.tensorboard import EventFiles
from tests.support.small_run import DETAILS, network

model, folder = network(), sys.argv[1]
images = np.random.default_rng(0).random([2, 16, 16, 3], np.float32)
masks = np.zeros([2, 16, 16], int)

def write_events(name):
    callback = EventFiles(f"{folder}/{name}", images, masks)
    print("opened")
    callback.set_model(model)
    callback.on_epoch_end(0, {"val_loss": 0.5})

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for bytes_left, save in (
    (5000, lambda: save_model(model, folder + "/m.keras", DETAILS)),
    (5000, lambda: save_state(folder, [tf.zeros([9999])], Progress(np.eye(4)))),
    (500, lambda: write_events("500")),  # Enough to open the files,
    (0, lambda: write_events("0")),  # and not even that.
):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, 5000))
    try:
        save()
    except OSError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    for name in ("state.npz", "m.keras"):
        (folder / name).write_text("saved earlier")
    return folder


@pytest.fixture(scope="module")
def lines(folder):
    """What was printed: two errors of whole files, then those of event files."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    return result.stdout.splitlines()


def test_a_full_disk_is_said_and_harms_nothing(lines, folder):
    model_error, state_error = lines[:2]
    assert "could not write" in model_error and "m.keras" in model_error
    assert "could not write" in state_error and "Free some space" in state_error
    files = sorted(path for path in folder.iterdir() if path.is_file())
    assert [path.name for path in files] == ["m.keras", "state.npz"]
    for path in files:
        assert path.read_text() == "saved earlier"


def test_a_full_disk_under_the_events_is_said(lines, folder):
    opened, later, at_once = lines[2:]
    assert opened == "opened"
    for line, name in ((later, "500"), (at_once, "0")):
        assert f"could not write the event files in {folder}/{name}/" in line
        assert "File too large. Nothing saved" in line and "Free some space" in line

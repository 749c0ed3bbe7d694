"""Commands start in the environment that a notebook or a shell leaves them."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from lunar_tfds import environment

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("backend", "kept"),
    [
        ("module://matplotlib_inline.no_such_backend", False),
        ("module://no_such_package.backend", False),
        ("module://json", True),
        ("no_such_backend", False),
        ("TkAgg", True),
        ("", True),
    ],
)
def test_a_backend_that_cannot_be_imported_becomes_agg(monkeypatch, backend, kept):
    monkeypatch.setenv("MPLBACKEND", backend)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    environment.prepare()
    assert os.environ["MPLBACKEND"] == (backend if kept else "Agg")
    assert os.environ["KERAS_BACKEND"] == "jax"  # The user's own choice stays.
    monkeypatch.delenv("KERAS_BACKEND")
    environment.prepare()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def predict_help(home, **variables):
    """Runs predict.py --help in the environment of a notebook's child process."""
    environ = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, ROOT / "predict.py", "--help"],
        env=environ | {"HOME": str(home), "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )


def test_a_notebook_and_a_file_of_keras_leave_commands_alone(tmp_path):
    settings = {"backend": "torch", "floatx": "float16"}
    settings |= {"image_data_format": "channels_first", "epsilon": 1e-7}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    ran = predict_help(tmp_path, MPLBACKEND="module://no_such.backend")
    assert ran.returncode == 0 and "--images" in ran.stdout, ran.stderr
    ran = predict_help(tmp_path, KERAS_BACKEND="jax")
    assert ran.returncode == 1 and ran.stdout == ""
    assert ran.stderr.splitlines()[-1].startswith("KERAS_BACKEND=jax is set")


def test_the_networks_settings_are_keras_usual_ones():
    import keras

    import model  # noqa: F401

    assert keras.config.floatx() == "float32"
    assert keras.config.image_data_format() == "channels_last"

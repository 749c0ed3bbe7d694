"""A stranger's use: an installed wheel, a fresh process, outside the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import lunar_tfds

ROOT = pathlib.Path(lunar_tfds.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Returns a folder with the installed wheel, built from a copy of the sources."""
    work = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lunar_tfds", work / "src/lunar_tfds", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work / "src")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # TensorFlow brings setuptools, so that no build environment need be fetched.
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", work]
    run([*pip, "wheel", *options, work / "src"], work)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:  # As pip installs what holds no binaries.
        archive.extractall(work / "site")
    return work / "site"


def run(command, cwd, **variables):
    """Runs a command and returns what it prints."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {key: str(value) for key, value in variables.items()},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout


def run_python(code, cwd, **variables):
    return run([sys.executable, "-c", code], cwd, **variables)


LOADED = """
import tensorflow_datasets as tfds
assert tuple(builder.info.features["clean_mask"].names) == (
    "ground", "sky", "small_rock", "large_rock")
counts = builder.info.metadata["class_pixel_counts"]["train"]["ground_mask"]
assert sum(counts) == 18 * 480 * 720
"""


def test_load_by_name_after_import(site, tiny_data_dir, tmp_path):
    code = f"""
import lunar_tfds
import tensorflow_datasets as tfds
assert lunar_tfds.__file__.startswith({str(site)!r}), lunar_tfds.__file__
dataset, info = tfds.load("lunar_rocks", split="test", with_info=True)
assert len(dataset) == 3
assert "CC BY-NC-SA 4.0" in info.description and "Pessia" in info.citation
builder = tfds.builder("lunar_rocks")
{LOADED}
"""
    run_python(code, tmp_path, PYTHONPATH=site, TFDS_DATA_DIR=tiny_data_dir)


def test_command_for_random_access_and_reading_without_any_import(
    site, tiny_folder, tiny_data_dir, tmp_path
):
    tfds = pathlib.Path(sys.executable).with_name("tfds")
    command = [tfds, "build", "lunar_rocks", "--imports=lunar_tfds"]
    command += [f"--manual_dir={tiny_folder}", "--file_format=array_record"]
    run(command, tmp_path, PYTHONPATH=site, TFDS_DATA_DIR=tmp_path / "data")
    code = f"""
import sys
import tensorflow_datasets as tfds
dataset = tfds.load("lunar_rocks", split="train", data_dir={str(tiny_data_dir)!r})
assert len(dataset) == 18
builder = tfds.builder_from_directory({str(tiny_data_dir / "lunar_rocks/1.0.0")!r})
assert len(builder.as_dataset(split="real")) == 2
{LOADED}
source = tfds.data_source("lunar_rocks", split="train")
assert len(source) == 18
last, first = source[17], source[0]
assert last["image"].shape == (480, 720, 3)
assert last["ground_mask"].shape == (480, 720, 1) and last["ground_mask"].max() <= 3
assert last["frame_id"] != first["frame_id"]
assert (source[17]["clean_mask"] == last["clean_mask"]).all()
assert "lunar_tfds" not in sys.modules
"""
    run_python(code, tmp_path, TFDS_DATA_DIR=tmp_path / "data")

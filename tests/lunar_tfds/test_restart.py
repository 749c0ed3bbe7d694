"""Interrupted builds, leftovers, and datasets made from another source."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import tensorflow_datasets as tfds

import lunar_tfds
from lunar_tfds.lunar_rocks import leftovers
from tests import tiny_frames
from tests.lunar_tfds import building


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    return tiny_frames.write_kaggle_folder(folder, num_frames=3, num_photos=0)


def test_kill_in_mid_build_then_build(folder, tmp_path):
    """Kill -9 while examples are being written: then a good build cleans up."""
    code = f"""
import time
from lunar_tfds.lunar_rocks import reading
from tests.lunar_tfds import building
read = reading.read_frame
def slowly(source, frame, *args):
    if frame.frame_id == "0002":
        time.sleep(600)
    return read(source, frame, *args)
reading.read_frame = slowly
building.build({str(folder)!r}, {str(tmp_path)!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    versions = tmp_path / "lunar_rocks"
    deadline = time.monotonic() + 120
    while not list(versions.glob("incomplete.*/owner.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    # A build that is still running is left alone.
    leftovers.remove(versions, "1.0.0")
    assert len(list(versions.glob("incomplete.*"))) == 1
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(versions.glob("incomplete.*"))) == 1
    with pytest.raises(AssertionError, match="could not find data"):
        tfds.load("lunar_rocks", data_dir=tmp_path, download=False)
    other = versions / "incomplete.ABCDEF_2.0.0"
    other.mkdir()
    builder = building.build(folder, tmp_path)
    assert sorted(building.read(builder)) == ["0001", "0002", "0003"]
    assert sorted(path.name for path in versions.iterdir()) == ["1.0.0", other.name]


def test_leftovers_of_other_datasets_and_hosts_stay(tmp_path):
    mine = tmp_path / "lunar_rocks"
    for name in ("incomplete.AAAAAA_1.0.0", "incomplete.BBBBBB_1.0.0", "1.0.0"):
        (mine / name).mkdir(parents=True)
    elsewhere = {"host": "another-host", "pid": 1, "started": 0.0}
    owner = mine / "incomplete.BBBBBB_1.0.0" / "owner.json"
    owner.write_text(json.dumps(elsewhere))
    (tmp_path / "mnist" / "incomplete.CCCCCC_1.0.0").mkdir(parents=True)
    leftovers.remove(mine, "1.0.0")
    names = {path.name for path in tmp_path.rglob("*") if path.is_dir()}
    assert "incomplete.AAAAAA_1.0.0" not in names
    assert names >= {"1.0.0", "incomplete.BBBBBB_1.0.0", "incomplete.CCCCCC_1.0.0"}


def test_a_dataset_from_another_source_is_not_reused(folder, tmp_path):
    first = building.build(folder, tmp_path / "d")
    other = tiny_frames.write_kaggle_folder(
        tmp_path / "k", num_frames=3, num_photos=0, seed=5
    )
    with pytest.raises(ValueError) as error:
        building.build(other, tmp_path / "d")
    message = str(error.value)
    assert f"folder {folder}" in message and f"folder {other}" in message
    assert "--overwrite" in message
    fingerprint = first.info.metadata["source_fingerprint"]
    assert fingerprint in message
    # Overwriting, as the message says, and then building again from the same source.
    mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
    second = building.build(other, tmp_path / "d", download_mode=mode)
    assert second.info.metadata["source_fingerprint"] != fingerprint
    before = os.stat(second.data_path / "features.json").st_mtime_ns
    building.build(other, tmp_path / "d")
    assert os.stat(second.data_path / "features.json").st_mtime_ns == before


def test_a_truncated_dataset_is_not_reused_as_the_whole(folder, tmp_path):
    short = building.build(folder, tmp_path, max_examples_per_split=1)
    assert short.info.splits["train"].num_examples == 1
    with pytest.raises(
        ValueError, match="at most 1 examples a split; asked for .* all"
    ):
        building.build(folder, tmp_path)


def test_loading_needs_no_source(folder, tmp_path):
    building.build(folder, tmp_path)
    assert lunar_tfds.LunarRocks(data_dir=tmp_path).is_prepared()
    assert len(tfds.load("lunar_rocks", split="train", data_dir=tmp_path)) == 2
    building.build(tmp_path / "nothing", tmp_path)

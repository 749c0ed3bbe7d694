"""Interrupted builds, leftovers, and datasets made from another source."""

import os
import signal
import subprocess
import sys
import time

import filelock
import pytest
import tensorflow_datasets as tfds

import lunar_tfds
from tests.support import building, tiny_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    return tiny_frames.write_kaggle_folder(folder, num_frames=3, num_photos=0)


def test_kill_in_mid_build_then_build(folder, tmp_path):
    """Kill -9 while examples are being written: then a good build cleans up."""
    code = f"""
import time
from lunar_tfds.lunar_rocks import jobs
from tests.support import building
read = jobs.read_frame
def slowly(source, job, rock_threshold):
    if job.frame.frame_id == "0002":
        time.sleep(600)
    return read(source, job, rock_threshold)
jobs.read_frame = slowly
building.build({str(folder)!r}, {str(tmp_path)!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    versions = tmp_path / "lunar_rocks"
    deadline = time.monotonic() + 120
    while not list(versions.glob("incomplete.*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    # A build that is still running is left alone, and a second one says so at once.
    with pytest.raises(ValueError, match=f"written by process {process.pid} on .*--da"):
        building.build(folder, tmp_path)
    assert len(list(versions.glob("incomplete.*"))) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(versions.glob("incomplete.*"))) == 1
    with pytest.raises(AssertionError, match="could not find data"):
        tfds.load("lunar_rocks", data_dir=tmp_path, download=False)
    for other in ("incomplete.ABCDEF_0.9.0", "threshold_50/incomplete.ABCDEF_1.0.0"):
        (versions / other).mkdir(parents=True)
    builder = building.build(folder, tmp_path)
    assert sorted(building.read(builder)) == ["0001", "0002", "0003"]
    names = [str(path.relative_to(versions)) for path in sorted(versions.glob("**/"))]
    assert names == [".", "1.0.0", "threshold_50"]


def test_leftovers_of_other_datasets_stay(folder, tmp_path):
    for name in ("lunar_rocks/incomplete.AAAAAA_1.0.0", "mnist/incomplete.B_1.0.0"):
        (tmp_path / name).mkdir(parents=True)
    building.build(folder, tmp_path)
    names = {path.name for path in tmp_path.rglob("*") if path.is_dir()}
    assert "incomplete.AAAAAA_1.0.0" not in names and "incomplete.B_1.0.0" in names


def test_leftovers_stay_where_a_running_build_would_not_be_seen(
    folder, tmp_path, monkeypatch, caplog
):
    def fail(*_, **__):
        raise NotImplementedError("no locks here")

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    leftover = tmp_path / "lunar_rocks/incomplete.AAAAAA_1.0.0"
    leftover.mkdir(parents=True)
    building.build(folder, tmp_path)
    assert leftover.is_dir()
    assert f"{leftover}: remove it unless a build is running there" in caplog.text


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
        ValueError, match="at most 1 examples a split.*asked for .* all "
    ):
        building.build(folder, tmp_path)


def test_loading_needs_no_source(folder, tmp_path):
    building.build(folder, tmp_path)
    assert lunar_tfds.LunarRocks(data_dir=tmp_path).is_prepared()
    assert len(tfds.load("lunar_rocks", split="train", data_dir=tmp_path)) == 2
    building.build(None, tmp_path)


def test_loading_a_built_dataset_removes_nothing(folder, tmp_path):
    building.build(folder, tmp_path)
    stale = tmp_path / "lunar_rocks" / "incomplete.AAAAAA_1.0.0"
    stale.mkdir()
    assert len(tfds.load("lunar_rocks", split="train", data_dir=tmp_path)) == 2
    building.build(folder, tmp_path)
    assert stale.is_dir()
    mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
    building.build(folder, tmp_path, download_mode=mode)
    assert not stale.exists()


def test_a_dataset_without_damaged_frames_is_not_the_whole_one(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "images/render/render0002.png"
    good = file.read_bytes()
    file.write_bytes(good[:-30] + b"?" + good[-29:])
    building.build(copy, tmp_path / "d", leave_out=True)
    building.build(copy, tmp_path / "d", leave_out=True)
    file.write_bytes(good)  # Of the same size: the fingerprint does not see it.
    with pytest.raises(ValueError, match="1 damaged frames left out; .* no damaged"):
        building.build(copy, tmp_path / "d")
    mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
    whole = building.build(copy, tmp_path / "d", download_mode=mode)
    assert len(building.read(whole)) == 3


def test_another_threshold_under_the_same_name_is_refused(folder, tmp_path):
    def config(threshold):
        return lunar_tfds.LunarRocksConfig(name="mine", ground_threshold=threshold)

    building.build(folder, tmp_path, config=config(50))
    building.build(folder, tmp_path, config=config(50))
    with pytest.raises(ValueError, match="intensity 50, .* intensity 200, "):
        building.build(folder, tmp_path, config=config(200))
    with pytest.raises(ValueError, match="needs a name.*'threshold_60'"):
        lunar_tfds.LunarRocksConfig(name="", ground_threshold=60)

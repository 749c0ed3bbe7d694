"""The benchmark of a build names what is missing and prints its table."""

import subprocess
import sys

import pytest

from benchmarks import build
from lunar_tfds import command_line


@pytest.mark.parametrize("given", [False, True])
def test_what_is_missing_is_named(tmp_path, caplog, given):
    flag = f"--source={tmp_path}" if given else "--rounds=2"
    missing = f"No frame in {tmp_path / 'images/render'}"
    line = missing if given else "--source is missing"
    argv = ["benchmark", flag]
    assert command_line.run(build.Benchmark, build.main, argv) == 1
    assert line in caplog.messages[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_table_is_printed(tiny_folder):
    command = [sys.executable, "-m", "benchmarks.build"]
    command += [f"--source={tiny_folder}", "--num_frames=4", "--rounds=1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    for row in ("floor: decode masks", "build   "):
        assert row in result.stdout
    assert "peak memory" in result.stdout

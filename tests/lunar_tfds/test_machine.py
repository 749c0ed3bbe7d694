"""The peak of a process's memory, and no figure where a system has none."""

import importlib
import subprocess
import sys

import psutil
import pytest

from lunar_tfds import machine


def test_the_peak_is_in_bytes():
    now = psutil.Process().memory_info().rss
    assert now * 0.9 < machine.peak_memory() < now * 100
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert 1e6 < machine.peak_memory(of_workers=True) < now * 100


def test_the_peak_of_what_started_a_process_does_not_count():
    large = bytearray(machine.peak_memory() + (64 << 20))  # This process is larger now.
    large[:: 1 << 12] = bytes([1]) * len(large[:: 1 << 12])
    code = "import importlib.util as u; s = u.spec_from_file_location('m', {!r}); "
    code = code.format(machine.__file__) + "m = u.module_from_spec(s); "
    code += "s.loader.exec_module(m); print(m.peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 1e6 < int(done.stdout) < 64 << 20


@pytest.mark.parametrize("name", ["synthetic.__main__"])
def test_windows_has_no_figure_and_the_commands_start(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "resource", None)  # As an import that fails.
    monkeypatch.delitem(sys.modules, f"lunar_tfds.{name}", raising=False)
    importlib.import_module(f"lunar_tfds.{name}")
    assert machine.peak_memory() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("flags : fpu avx2 avx512f avx512dq\n", True), ("flags : fpu avx2 sha\n", False)],
)
def test_avx512_is_read_from_the_processors_flags(
    text, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(machine, "_PROCESSORS", tmp_path / "cpuinfo")
    assert not machine.has_avx512()
    (tmp_path / "cpuinfo").write_text(text)
    assert machine.has_avx512() is expected

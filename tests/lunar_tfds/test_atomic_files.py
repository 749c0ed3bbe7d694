"""Files appear whole on every system; leftovers go, and nothing else."""

import errno
import os

import pytest

from lunar_tfds import atomic_files


def test_windows_which_opens_no_folder_and_syncs_no_file_opened_to_read(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")
    system_open, synced = os.open, []

    def open_on_windows(path, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return system_open(path, *args, **kwargs)

    def sync_on_windows(descriptor):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        synced.append(descriptor)

    monkeypatch.setattr(os, "open", open_on_windows)
    monkeypatch.setattr(os, "fsync", sync_on_windows)
    monkeypatch.delattr(os, "O_DIRECTORY")
    atomic_files.write_text(tmp_path / "new" / "a.txt", "whole")
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert len(synced) == 1


def test_elsewhere_the_folder_is_synced_after_the_file(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(os.path.isdir(f"/proc/self/fd/{fd}"))
    )
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("the system does not tell what a descriptor is of")
    atomic_files.write_bytes(tmp_path / "a.bin", b"whole")
    assert synced == [False, True]


def test_only_what_a_killed_writer_left_is_removed(tmp_path):
    names = [".tmp-12-a.png", ".tmp-3-b.txt", "a.png", ".hidden"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    atomic_files.remove_temporary_files(tmp_path, "*.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[1:])
    atomic_files.remove_temporary_files(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "a.png"]
    atomic_files.remove_temporary_files(tmp_path / "missing")

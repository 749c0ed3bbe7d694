"""The memory that a cache may count on, under limits of control groups; its lock."""

import errno
import os
import sys

import pytest
import tensorflow as tf

from pipeline import cache as caches

GIB = 1 << 30


def system(root, groups, *, available=64 * GIB):
    """Writes a fake /proc and /sys; groups: lines of /proc/self/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemAvailable: {available // 1024} kB\n")
    (root / "proc/self/cgroup").write_text("\n".join(groups) + "\n")
    return root


def group(folder, names, limit, used, cached):
    """Writes the memory files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    stat = f"anon 1\n{names[2]} {cached}"
    for name, text in zip(
        (*names[:2], "memory.stat"), (limit, used, stat), strict=True
    ):
        (folder / name).write_text(f"{text}\n")


V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
V2 = "memory.max", "memory.current", "inactive_file"


def test_a_limit_of_any_control_group_above_counts(tmp_path):
    root = system(tmp_path, ["0::/jobs/mine/step"])
    top = root / "sys/fs/cgroup"
    group(top / "jobs/mine/step", V2, "max", 3 * GIB, 0)
    assert caches.available_memory(root) == 64 * GIB
    group(top / "jobs/mine", V2, 8 * GIB, 5 * GIB, 2 * GIB)
    assert caches.available_memory(root) == 5 * GIB
    group(top / "jobs", V2, 9 * GIB, 7 * GIB, 0)
    assert caches.available_memory(root) == 2 * GIB
    group(top / "others", V2, GIB, GIB, 0)
    assert caches.available_memory(root) == 2 * GIB


def test_a_limit_of_version_1_control_groups_counts(tmp_path):
    root = system(tmp_path, ["5:cpu,memory:/slurm/job_1", "1:name=systemd:/", "0::/"])
    top = root / "sys/fs/cgroup/memory"
    group(top, V1, 2**63 - 4096, 40 * GIB, 0)
    assert caches.available_memory(root) == 64 * GIB
    group(top / "slurm/job_1", V1, 16 * GIB, 5 * GIB, GIB)
    assert caches.available_memory(root) == 12 * GIB


def test_a_container_that_sees_the_path_of_its_host_has_its_own_limit(tmp_path):
    root = system(tmp_path, ["0::/docker/0123"])
    group(root / "sys/fs/cgroup", V2, 4 * GIB, GIB, 0)
    assert caches.available_memory(root) == 3 * GIB


def test_a_system_without_file_locks_is_told_of_the_other_cache(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # As an import that fails.
    with pytest.raises(ValueError, match="--cache=disk .*Use --cache=memory"):
        with caches._locked(tmp_path / "x.lock"):
            pass
    assert not list(tmp_path.iterdir())


class Pixels:
    """Stands for `pixels.Source`: its example n is the number n, eight times."""

    specs = (tf.TensorSpec([8], tf.uint8),)

    def __call__(self, number):
        return (tf.fill([8], tf.cast(number, tf.uint8)),)


def test_a_disk_cache_has_its_room_before_the_first_pixel(tmp_path, monkeypatch):
    def full(descriptor, start, size):
        assert (start, size) == (0, 24)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        caches.on_disk(Pixels(), 3, tmp_path, "a")
    assert not list(tmp_path.glob("*.pixels"))
    monkeypatch.delattr(os, "posix_fallocate")  # As on macOS.
    (pixels,) = caches.on_disk(Pixels(), 3, tmp_path, "a")
    assert pixels.numpy().tolist() == [[n] * 8 for n in range(3)]

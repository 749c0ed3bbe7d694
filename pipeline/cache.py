"""Decoded pixels kept in memory or on disk, read by example number.

Both kinds are one array per tensor, [examples, ...]: anonymous memory, or a file mapped
into memory, whose pages the system shares between processes and gives back when it
needs them. A tensor over such an array costs no copy, so any order of examples, and
so a full permutation every epoch, costs what one copy of the pixels costs.
"""

import contextlib
import dataclasses
import hashlib
import json
import mmap
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds.settings import check, setting
from pipeline import execution
from pipeline.pixels import Source
from pipeline.selection import Selection

CACHES = ("none", "memory", "disk")
FORMAT = 2  # Of the cached arrays; a change makes old files unknown.
# Leaves room for the model, the batches under way and the rest of the machine.
MEMORY_SHARE = 0.8


@dataclasses.dataclass(frozen=True)
class Reading:
    """How examples are read: where decoded pixels are kept, and who decodes.

    Attributes:
        cache: 'none', 'memory' or 'disk'. The first use decodes every example before
            the first batch.
        cache_dir: folder of the disk cache.
        cache_channels: 1 caches the mean of the three channels, in two fifths of the
            memory and read faster; in the renders, which are near-grey, no channel is
            further than 3 of 255 from it. Photos lose their colour. 3 keeps all.
        data_service: address of a tf.data service dispatcher, 'grpc://host:port',
            whose workers read and warp training batches; all must reach the dataset's
            files. With one of them all stays as said. Several hand out steps in the
            order in which they finish: steps near the end of an epoch may come in the
            next one, a start in the middle of a run may repeat or miss a few, and each
            `input_context` has an order of its own. Steps stay whole in each.

    Raises:
        ValueError: the settings do not go together.
    """

    cache: str = setting("none", "Cache of pixels.", choices=CACHES)
    cache_dir: str | None = setting(None, "Folder of --cache=disk.", is_path=True)
    cache_channels: int = setting(
        3, "1: grey pixels, in 2/5 of the cache.", choices=(1, 3)
    )
    data_service: str | None = setting(None, "grpc://host:port of a tf.data service.")

    def __post_init__(self):
        check(self)
        if self.cache == "disk" and not self.cache_dir:
            raise ValueError("--cache=disk needs --cache_dir, a folder to write to")
        if self.cache != "disk" and self.cache_dir:
            raise ValueError(
                f"--cache_dir={self.cache_dir} does nothing with --cache={self.cache}: "
                "use --cache=disk with it"
            )
        if self.cache == "none" and self.is_grey:
            raise ValueError(
                "--cache_channels=1 needs a cache: use --cache=memory or disk with it"
            )
        if self.data_service is not None and self.cache != "none":
            raise ValueError(
                "--data_service cannot read this process's cache: got "
                f"--cache={self.cache}; use --cache=none with it"
            )

    @property
    def is_grey(self) -> bool:
        """Whether one channel is kept of three."""
        return self.cache_channels == 1


def store(
    reading: Reading,
    builder: tfds.core.DatasetBuilder,
    selection: Selection,
    source: Source,
) -> tuple[tf.Tensor, ...] | None:
    """Returns the packed pixels and masks of all examples, or None without a cache.

    Args:
        reading: where they are kept.
        builder: the built `tfds.core.DatasetBuilder`.
        selection: which examples they are.
        source: `pixels.Source` of them.

    Returns:
        Tensors [examples, ...] as in `source.specs`.

    Raises:
        ValueError: they would not fit.
        OSError: the folder cannot be written.
    """
    if reading.cache == "none":
        return None
    name = fingerprint(
        builder,
        selection.split,
        mask=selection.mask,
        exclude_defects=sorted(selection.exclude_defects),
        protocol=selection.protocol,
        words=[str(spec) for spec in source.specs],  # Its name of old keeps caches.
        factors=source.factors,
    )
    if reading.cache == "memory":
        return in_memory(source, source.count, name)
    return on_disk(source, source.count, reading.cache_dir or "", name)


def bytes_needed(count: int, specs: Sequence[tf.TensorSpec]) -> int:
    """Returns the bytes that `count` examples take in a cache."""
    return sum(count * spec.dtype.size * spec.shape.num_elements() for spec in specs)


def available_memory(root: str | pathlib.Path = "/") -> int | None:
    """Returns the bytes of memory that can still be used, or None if unknown.

    The least of what the system calls available and what each control group that this
    process is in leaves.

    Args:
        root: folder that holds `proc` and `sys`.
    """
    root = pathlib.Path(root)
    found = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        found.append(int(line.split()[1]) * 1024)
    for group, files in _memory_groups(root):
        # "max", for no limit, is no number.
        with contextlib.suppress(OSError, ValueError):
            limit, used = (int((group / file).read_text()) for file in files[:2])
            stat = (group / "memory.stat").read_text().splitlines()
            # File pages are given back under pressure: they do not count as used.
            given_back = int(dict(line.split() for line in stat)[files[2]])
            found.append(limit - (used - given_back))
    if not found:
        with contextlib.suppress(ValueError, OSError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _memory_groups(root):
    """Yields (folder, (file of the limit, of what is used, line of `memory.stat`)).

    For the control group of this process and all above it, whose limits count too. In
    a container the path may be the host's, of which only the top exists: a folder may
    be missing.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":  # Version 2.
            top = root / "sys/fs/cgroup"
            files = "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):  # Version 1.
            top = root / "sys/fs/cgroup/memory"
            files = "memory.limit_in_bytes", "memory.usage_in_bytes"
            files += ("total_inactive_file",)
        else:
            continue
        own = top / path.strip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(top):
                yield group, files


def fingerprint(builder: tfds.core.DatasetBuilder, split: str, **settings: Any) -> str:
    """Returns the name of a cache's contents: hexadecimal digits.

    Args:
        builder: the built `tfds.core.DatasetBuilder`.
        split: str.
        **settings: JSON values of everything else that decides the pixels.
    """
    info = builder.info
    contents = {
        "format": FORMAT,
        "dataset": info.full_name,
        "metadata": dict(info.metadata or {}),
        "shards": {name: s.shard_lengths for name, s in sorted(info.splits.items())},
        "split": split,
        **settings,
    }
    text = json.dumps(contents, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


# By name, so that a dataset made anew for an epoch decodes nothing.
_in_memory: dict[str, tuple] = {}


def in_memory(source: Source, count: int, name: str) -> tuple[tf.Tensor, ...]:
    """Returns the pixels of all examples as tensors [count, ...] in memory.

    They stay there until the process ends, and a call with the same name returns them.

    Args:
        source: function of a number that returns tensors as in `source.specs`.
        count: number of examples.
        name: what `fingerprint` returned.

    Raises:
        ValueError: they would not fit.
    """
    if name in _in_memory:
        return _in_memory[name]
    needed, available = bytes_needed(count, source.specs), available_memory()
    if available is not None and needed > MEMORY_SHARE * available:
        raise ValueError(
            f"cache='memory' needs {_gib(needed)} for {count} decoded examples; "
            f"{_gib(MEMORY_SHARE * available)} can be used of the "
            f"{_gib(available)} available. Use cache='disk' with a cache_dir, "
            "cache_channels=1 for 2/5 of the memory, or cache='none'."
        )
    logging.info("Decoding %d examples into memory: %s.", count, _gib(needed))
    arrays = []
    for spec in source.specs:
        shape = (count, *spec.shape)
        buffer = mmap.mmap(-1, max(1, int(np.prod(shape)) * spec.dtype.size))
        arrays.append(np.frombuffer(buffer, spec.dtype.as_numpy_dtype).reshape(shape))
    _fill(arrays, source, count)
    _in_memory[name] = tuple(_tensor(array) for array in arrays)
    return _in_memory[name]


def on_disk(
    source: Source, count: int, folder: str | pathlib.Path, name: str
) -> tuple[tf.Tensor, ...]:
    """Returns the pixels of all examples as tensors [count, ...] over mapped files.

    Files appear under their final name only when they are whole: a killed writer
    leaves `*.partial`, which the next one removes. One process writes while others
    that want the same pixels wait for it.

    Args:
        source: function of a number that returns tensors as in `source.specs`.
        count: number of examples.
        folder: path of an existing or new folder.
        name: what `fingerprint` returned.

    Raises:
        ValueError: the disk has no room for them.
        OSError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{i}.pixels" for i in range(len(source.specs))]
    sizes = [bytes_needed(count, [spec]) for spec in source.specs]
    with _locked(folder / f"{name}.lock"):
        if not all(_has_size(p, s) for p, s in zip(paths, sizes, strict=True)):
            _write(source, count, paths, sizes)
    arrays = [
        np.memmap(path, spec.dtype.as_numpy_dtype, "c", shape=(count, *spec.shape))
        for path, spec in zip(paths, source.specs, strict=True)
    ]
    return tuple(_tensor(array) for array in arrays)


def _write(source, count, paths, sizes):
    partial = [path.with_suffix(".partial") for path in paths]
    for path in partial:  # A killed writer's, which would count as used below.
        path.unlink(missing_ok=True)
    free = shutil.disk_usage(paths[0].parent).free
    if sum(sizes) > free:
        raise ValueError(
            f"cache='disk' needs {_gib(sum(sizes))} in {paths[0].parent}, which has "
            f"{_gib(free)} free. Use a cache_dir on a larger disk, cache_channels=1 "
            "for 2/5 of the size, or cache='none'."
        )
    logging.info("Decoding %d examples to %s: %s.", count, paths[0], _gib(sum(sizes)))
    for path, size in zip(partial, sizes, strict=True):
        _reserve(path, size)
    arrays = [
        np.memmap(path, spec.dtype.as_numpy_dtype, "r+", shape=(count, *spec.shape))
        for path, spec in zip(partial, source.specs, strict=True)
    ]
    _fill(arrays, source, count)
    for array, written, path in zip(arrays, partial, paths, strict=True):
        array.flush()
        with open(written, "rb") as file:
            os.fsync(file.fileno())
        os.replace(written, path)


def _reserve(path, size):
    """Makes a file whose blocks are its own.

    Without them, a disk that others fill meanwhile would end the process by a signal.
    """
    with path.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):  # Not on macOS.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _fill(arrays, source, count):
    dataset = tf.data.Dataset.range(count)
    dataset = execution.mapped(dataset, lambda number: source(number))
    for number, tensors in enumerate(execution.ready(dataset).as_numpy_iterator()):
        for array, tensor in zip(arrays, tensors, strict=True):
            array[number] = tensor
        if (number + 1) % 1000 == 0:
            logging.info("Decoded %d of %d examples.", number + 1, count)


def _tensor(array):
    """Returns a tensor over the array's own memory, which it keeps alive."""
    return tf.experimental.dlpack.from_dlpack(np.asarray(array).__dlpack__())


def _has_size(path, size):
    return path.exists() and path.stat().st_size == size


@contextlib.contextmanager
def _locked(path):
    try:
        import fcntl
    except ImportError:
        raise ValueError(
            "--cache=disk needs file locks, which this system, such as Windows, does "
            "not have. Use --cache=memory"
        ) from None
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # Released when the process ends, however.
        yield


def _gib(size):
    return f"{size / 2**30:.2f} GiB"

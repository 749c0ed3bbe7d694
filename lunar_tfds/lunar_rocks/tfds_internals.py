"""The one place that leans on the inside of TFDS; a test holds it to the installed one.

TFDS's own writer keeps all examples of a split, in memory or, beyond 1000 MiB, in
temporary files, until it knows their order, and then copies them into shards: the
train split is three times as large. Here the order and the number of examples are known
before the first one is read, and each goes straight into its shard.

Used beyond TFDS's public interface: `_generate_splits`, `_get_filename_template` and
`_example_writer` of its builder, `core.hashing.Hasher` and `core.utils.shard_utils`.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import hashing
from tensorflow_datasets.core.utils import shard_utils


@dataclasses.dataclass(frozen=True)
class Stream:
    """The examples of a split, to be written as they come.

    Attributes:
        examples: of (key, serialized example), in the order of `in_order`; fewer than
            `count` when some frames turn out to be unusable.
        count: examples that are expected, at least 1.
        size: bytes that are expected; decides the number of shards.
    """

    examples: Iterator[tuple[str, bytes]]
    count: int
    size: int


def in_order(split: str, keys: Iterable[str]) -> list[str]:
    """Returns the keys of a split's examples as TFDS's own writer would order them."""
    hasher = hashing.Hasher(split)
    return sorted(keys, key=hasher.hash_key)


class StreamingBuilder(tfds.core.GeneratorBasedBuilder):
    """A builder whose examples go straight into their shards.

    A subclass says in `streams` what they are, and in `finish` what remains to be done.
    """

    def streams(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> contextlib.AbstractContextManager[dict[str, Stream] | None]:
        """Returns a context with the Stream of each split.

        It is entered once, and left when all are written. None in their place lets
        TFDS itself write what `_split_generators` returns, as with Beam.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Is called once, when all examples are written."""
        raise NotImplementedError

    def _generate_splits(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> list[tfds.core.SplitInfo]:
        """Writes every split and returns those that hold any example."""
        with self.streams(dl_manager, download_config) as streams:
            if streams is None:
                splits = super()._generate_splits(dl_manager, download_config)
            else:
                config = download_config.get_shard_config()
                splits = [self._write(*item, config) for item in streams.items()]
        self.finish()
        return [split for split in splits if split.num_examples]

    def _write(self, split: str, stream: Stream, config: Any) -> tfds.core.SplitInfo:
        """Writes the shards of a split; none when it has no example after all."""
        template = self._get_filename_template(split)
        writer = self._example_writer()
        num_shards = config.get_number_shards(stream.size, stream.count)
        num_shards = min(num_shards, stream.count)
        ends = shard_utils.get_shard_boundaries(stream.count, num_shards)
        lengths: list[int] = []
        num_bytes = 0

        def counted(shard: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
            nonlocal num_bytes
            for key, example in shard:
                lengths[-1] += 1
                num_bytes += len(example)
                yield key, example

        paths = []
        for index, (start, end) in enumerate(itertools.pairwise([0, *ends])):
            lengths.append(0)
            path = template.sharded_filepath(shard_index=index, num_shards=num_shards)
            writer.write(path, counted(itertools.islice(stream.examples, end - start)))
            paths.append(path)
        if not sum(lengths):
            logging.warning("No frame of the split %s can be used.", split)
            for path in paths:
                path.unlink()
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=lengths,
            num_bytes=num_bytes,
            filename_template=template,
        )

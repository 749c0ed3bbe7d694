"""Writes serialized examples straight into the shards of a split.

TFDS's own writer keeps all examples of a split, in memory or in temporary files, until
it knows their order, and then copies them into shards on one thread. Here the order
and the number of examples are known before the first one is read.
"""

import itertools

import tensorflow_datasets as tfds
from tensorflow_datasets.core import hashing
from tensorflow_datasets.core.utils import shard_utils


def shuffled(split, jobs):
    """Returns the jobs of a split in the order in which TFDS's own writer leaves them.

    Args:
        split: str.
        jobs: list of (layout.Frame, ...).
    """
    hasher = hashing.Hasher(split)
    return sorted(jobs, key=lambda job: hasher.hash_key(job[0].frame_id))


def write(examples, count, total_size, *, template, config, writer):
    """Writes the examples of a split and returns its tfds.core.SplitInfo.

    Args:
        examples: iterator of (key, bytes); fewer than `count` when some of the frames
            turned out to be unusable.
        count: examples that are expected, at least 1.
        total_size: bytes that are expected; decides the number of shards.
        template: of the files' names, with the split's name.
        config: tfds's ShardConfig.
        writer: tfds's ExampleWriter.
    """
    num_shards = min(config.get_number_shards(total_size, count), count)
    ends = shard_utils.get_shard_boundaries(count, num_shards)
    lengths, sizes = [], []

    def counted(shard):
        for key, example in shard:
            lengths[-1] += 1
            sizes.append(len(example))
            yield key, example

    for index, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        lengths.append(0)
        path = template.sharded_filepath(shard_index=index, num_shards=num_shards)
        writer.write(path, counted(itertools.islice(examples, end - start)))
    return tfds.core.SplitInfo(
        name=template.split,
        shard_lengths=lengths,
        num_bytes=sum(sizes),
        filename_template=template,
    )

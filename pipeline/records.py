"""Which examples a split holds, and where each lies in the dataset's files.

An example is named by its number. Its record is read by file and byte offset, so any
order, subset or starting point costs what the records read cost and nothing is
buffered to shuffle.
"""

import concurrent.futures
import dataclasses
import functools
import os
import struct

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lunar_tfds.kaggle_layout import defects_file
from lunar_tfds.lunar_rocks.frame_files import REAL, RENDER_SPLITS
from lunar_tfds.opening import check_mask, resolve_split, split_names
from pipeline import execution, protocols
from pipeline.selection import Selection

# A TFRecord: uint64 length, uint32 checksum of it, the bytes, uint32 checksum.
_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Examples:
    """The chosen examples of a dataset, in a fixed order.

    Attributes:
        features: the dataset's `tfds.features.FeaturesDict`.
        filenames: paths of the record files.
        file_ends: int64 [files], the number of examples up to the end of each file.
        offsets: int64 [n], each record's first byte in its file: all that is held of
            an example.
        crop: (top, left, height, width) that a protocol cuts out, or None.
        varied_sizes: whether the images may differ in size.
        versions: (bytes, time of the last change) of each file.
    """

    features: object
    filenames: tuple
    file_ends: np.ndarray
    offsets: np.ndarray
    crop: tuple | None
    varied_sizes: bool
    versions: tuple

    def __len__(self):
        return len(self.offsets)

    def read(self, number: tf.Tensor | int) -> tf.Tensor:
        """Returns the serialized record of an example: string scalar, in a graph."""
        ends = tf.constant(self.file_ends)
        place = tf.reshape(tf.cast(number, tf.int64), [1])
        file = tf.searchsorted(ends, place, side="right")[0]
        offset = tf.constant(self.offsets)[number]
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.constant(self.filenames, tf.string)[file][None],
            compression_type="",
            buffer_size=0,  # One read of the whole record; nothing read ahead.
            byte_offsets=offset[None],
        )
        records = tf.data.experimental.from_variant(
            records, tf.TensorSpec([], tf.string)
        )
        return records.take(1).get_single_element()


def find(builder: tfds.core.DatasetBuilder, selection: Selection) -> Examples:
    """Returns the `Examples` of a selection, filtered without decoding any image.

    There are none if the split itself is empty, as 'train[:0]' is.

    Args:
        builder: a built `tfds.core.DatasetBuilder` of `lunar_rocks`.
        selection: of which mask does not matter, only that it is there.

    Raises:
        ValueError: the dataset has no such split or mask, the defect lists leave
            nothing, one of them was not in the source, or the dataset lacks frames
            that the protocol needs.
    """
    split, protocol = selection.split, selection.protocol
    exclude_defects = selection.exclude_defects
    check_mask(builder, selection.mask)
    _check_defects(builder, exclude_defects)
    if protocol is not None:
        protocols.frame_ids(protocol, split)  # A wrong name stops before the reading.
        without = protocols.PROTOCOLS[protocol].without
        _check_defects(builder, without)
        name, split = split, "+".join(RENDER_SPLITS)
    examples = _all_examples(builder, resolve_split(builder, split))
    if protocol is None and not (exclude_defects and len(examples)):
        return examples
    frame_ids, defective = _labels(examples, exclude_defects)
    chosen = ~defective
    if protocol is not None:
        listed = frame_ids[_labels(examples, without)[1]]
        protocols.check_complete(protocol, frame_ids, len(listed))
        chosen &= np.isin(frame_ids, protocols.frame_ids(protocol, name, listed))
        split = f"{protocol}/{name}"
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(chosen)])
    examples = dataclasses.replace(
        examples,
        file_ends=kept[examples.file_ends],
        offsets=examples.offsets[chosen],
        crop=protocols.PROTOCOLS[protocol].crop if protocol else None,
    )
    if not len(examples):
        raise ValueError(
            f"Split {split!r} holds no example once frames of {list(exclude_defects)} "
            "are left out. Name fewer defect lists."
        )
    return examples


def num_shared(one: Examples, other: Examples) -> int:
    """Returns how many examples of one dataset are in both."""
    left, right = _offsets_by_file(one), _offsets_by_file(other)
    both = left.keys() & right.keys()
    return sum(len(np.intersect1d(left[file], right[file])) for file in both)


def _offsets_by_file(examples):
    """Returns the first bytes of the examples in each file; a split may name it twice.

    No Python object for each example: there may be a million.
    """
    parts = np.split(examples.offsets, examples.file_ends[:-1])
    found: dict[str, np.ndarray] = {}
    for file, part in zip(examples.filenames, parts, strict=False):
        found[file] = np.concatenate([found[file], part]) if file in found else part
    return found


def frame_ids(builder: tfds.core.DatasetBuilder, selection: Selection) -> list[str]:
    """Returns the id of each example, without decoding any; errors as `find`."""
    batches = _parsed(find(builder, selection), {"frame_id": tf.string})
    return [i.decode() for batch in batches for i in batch["frame_id"]]


def _check_defects(builder, exclude_defects):
    known = sorted(builder.info.features["defects"])
    present = (builder.info.metadata or {}).get("defect_lists_present", ())
    for name in exclude_defects:
        if name not in known:
            raise ValueError(f"Unknown defect list {name!r}. Use one of {known}.")
        if name not in present:
            raise ValueError(
                f"The source of {builder.data_dir} had no {defects_file(name)}, so no "
                f"frame is known to be on that list; present: {list(present)}. Build "
                "from a newer download that has it, or do not exclude it."
            )


def _all_examples(builder, split):
    if builder.info.file_format.value != "tfrecord":
        raise ValueError(
            "The pipeline reads tfrecord files: the dataset was built as "
            f"{builder.info.file_format.value}. Build it without --file_format."
        )
    instructions = builder.info.splits[split].file_instructions
    filenames = tuple(i.filename for i in instructions)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        versions = tuple(pool.map(version, filenames))
        offsets = list(pool.map(record_offsets, filenames, versions))
    offsets = [
        of_file[i.skip : i.skip + i.take]
        for of_file, i in zip(offsets, instructions, strict=True)
    ]
    counts = [len(of_file) for of_file in offsets]
    return Examples(
        features=builder.info.features,
        filenames=filenames,
        file_ends=np.cumsum(counts, dtype=np.int64),
        offsets=np.concatenate([np.zeros(0, np.int64), *offsets]),
        crop=None,
        varied_sizes=REAL in split_names(split),
        versions=versions,
    )


def version(filename: str) -> tuple[int, int]:
    """Returns (bytes, time of the last change) of a file, new if it is built anew."""
    if os.path.exists(filename):  # TensorFlow rounds the time to seconds.
        local = os.stat(filename)
        return local.st_size, local.st_mtime_ns
    stat = tf.io.gfile.stat(filename)
    return stat.length, stat.mtime_nsec


@functools.lru_cache(maxsize=4096)
def record_offsets(filename: str, version: tuple[int, int]) -> np.ndarray:
    """Returns the first byte of each record: int64 [records in the file]."""
    offsets, position = [], 0
    size, _ = version
    with tf.io.gfile.GFile(filename, "rb") as file:
        while position + _HEADER.size <= size:
            file.seek(position)
            length, _ = _HEADER.unpack(file.read(_HEADER.size))
            offsets.append(position)
            position += _HEADER.size + length + _FOOTER_BYTES
    if position != size:
        raise ValueError(
            f"{filename} ends inside a record. Build the dataset anew: "
            "tfds build lunar_rocks --overwrite"
        )
    return np.array(offsets, np.int64)


# They cost a reading of every record, and each `find` wants them.
_known_labels: dict = {}


def _labels(examples, defects):
    """Returns (frame numbers int64 [n], bool [n] whether any defect is set)."""
    places = examples.file_ends.tobytes(), examples.offsets.tobytes()
    key = examples.filenames, examples.versions, places, defects
    if key not in _known_labels:
        _known_labels[key] = _read_labels(examples, defects)
    return _known_labels[key]


def _read_labels(examples, defects):
    flags = [f"defects/{name}" for name in defects]
    numbers, defective = [], []
    for batch in _parsed(
        examples, {"frame_id": tf.string} | dict.fromkeys(flags, tf.int64)
    ):
        numbers += [int(i) if i.isdigit() else -1 for i in batch["frame_id"]]
        found = np.zeros(len(batch["frame_id"]), bool)
        for name in flags:
            found |= batch[name] != 0
        defective.append(found)
    return np.array(numbers), np.concatenate(defective)


def _parsed(examples, types):
    """Yields batches of features by name, numpy arrays, without decoding a picture."""
    spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in types.items()}

    def parse(number):
        return tf.io.parse_single_example(examples.read(number), spec)

    dataset = execution.mapped(tf.data.Dataset.range(len(examples)), parse)
    return execution.ready(dataset.batch(1024)).as_numpy_iterator()

"""Finding examples: empty splits, cut files, and what is read again or not."""

import dataclasses
import os
import pathlib
import shutil
import types

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline import batching, protocols, records
from pipeline.selection import Selection

LUNARSITE = Selection("train", protocol="lunarsite")


@pytest.fixture(scope="module")
def builder(tiny_data_dir):
    return tfds.builder("lunar_rocks", data_dir=tiny_data_dir)


@pytest.fixture
def own(tiny_data_dir, tmp_path):
    """Returns (builder, path of the train shard) of a dataset that may be changed."""
    shutil.copytree(tiny_data_dir, tmp_path / "tfds")
    built = tfds.builder("lunar_rocks", data_dir=tmp_path / "tfds")
    (shard,) = pathlib.Path(built.data_dir).glob("*-train.tfrecord*")
    return built, shard


@pytest.mark.parametrize("split", ["validation[:0]", "train[50%:50%]"])
def test_an_empty_split_has_no_example_and_makes_no_dataset(builder, split):
    assert batching.num_examples(builder, Selection(split)) == 0
    for make in (batching.training_dataset, batching.evaluation_dataset):
        with pytest.raises(ValueError, match="holds no example. Choose another"):
            make(builder, Selection(split))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("train", "validation", 0),
        ("train[:5]", "train[3:6]", 2),
        ("train+validation", "validation", 3),
        ("train[2:4]+train[:2]", "train", 4),
        ("train[:0]", "train", 0),
    ],
)
def test_examples_in_both_are_counted(builder, one, other, shared):
    first, second = (records.find(builder, Selection(s)) for s in (one, other))
    assert records.num_shared(first, second) == shared


def test_ids_are_read_without_pixels(builder):
    selection = Selection("validation+real")
    ids = [e["frame_id"] for e in batching.example_dataset(builder, selection)]
    assert records.frame_ids(builder, selection) == [i.numpy().decode() for i in ids]


@pytest.mark.parametrize("into_record", [5, 100, -2])  # Header, bytes, checksum.
def test_a_file_cut_anywhere_in_a_record_is_named_with_the_remedy(own, into_record):
    built, shard = own
    starts = records.find(built, Selection()).offsets
    with open(shard, "r+b") as file:
        file.truncate(int(starts[3]) + into_record)
    with pytest.raises(ValueError, match=f"{shard.name} ends inside.*--overwrite"):
        records.find(built, Selection())


def test_the_frames_of_a_protocol_are_read_once(own, monkeypatch):
    built, _ = own
    monkeypatch.setattr(protocols, "NUM_RENDERS", 24)
    reads = []
    real = records.Examples.read
    monkeypatch.setattr(
        records.Examples, "read", lambda self, n: reads.append(n) or real(self, n)
    )
    first = records.find(built, LUNARSITE)
    assert reads
    reads.clear()
    second = records.find(built, dataclasses.replace(LUNARSITE, split="validation"))
    assert not reads
    assert (len(first), len(second)) == (18, 2)


def test_a_dataset_built_anew_is_read_anew(own, monkeypatch):
    built, shard = own
    monkeypatch.setattr(protocols, "NUM_RENDERS", 24)

    def frames():
        found = batching.example_dataset(built, LUNARSITE)
        return [int(example["frame_id"].numpy()) for example in found]

    before = frames()
    backwards = [record.numpy() for record in tf.data.TFRecordDataset(shard)][::-1]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in backwards:
            writer.write(record)
    after = frames()
    assert (
        sorted(before)
        == sorted(after)
        == sorted(protocols.frame_ids("lunarsite", "train"))
    )
    assert before != after


def test_a_file_written_twice_in_a_second_is_a_new_one(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"x")
    versions = []
    for part in (1, 2):
        os.utime(file, ns=(0, 10**18 + part * 10**6))
        versions.append(records.version(str(file)))
    assert versions == [(1, 10**18 + 10**6), (1, 10**18 + 2 * 10**6)]


@pytest.mark.parametrize(
    ("split", "varied"), [("surreal", False), ("train[:1]+ real[:2]", True)]
)
def test_only_the_split_of_photos_has_varied_sizes(builder, split, varied):
    class Splits(dict):
        def __missing__(self, name):
            return builder.info.splits[name]

    info = types.SimpleNamespace(
        splits=Splits(builder.info.splits, surreal=builder.info.splits["train[:2]"]),
        file_format=builder.info.file_format,
        features=builder.info.features,
        metadata=builder.info.metadata,
    )
    stand_in = types.SimpleNamespace(data_dir=builder.data_dir, info=info)
    assert records.find(stand_in, Selection(split)).varied_sizes == varied

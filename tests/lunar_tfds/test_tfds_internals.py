"""Shards are written straight away, in the order that TFDS would bring about.

And the inside of TFDS that this stands on is there in the TFDS installed.
"""

import contextlib
import inspect
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import hashing, shuffle
from tensorflow_datasets.core.utils import shard_utils

from lunar_tfds import cores, kaggle_layout
from lunar_tfds.lunar_rocks import frame_files, png, tfds_internals
from tests.support import building, tiny_frames


def test_the_order_is_that_of_tfds(tmp_path):
    ids = [f"{number:04d}" for number in range(1, 200)]
    theirs = shuffle.Shuffler(tmp_path, hash_salt="train")
    for frame_id in ids:
        theirs.add(frame_id, frame_id.encode())
    expected = [data.decode() for _, data in theirs]
    assert tfds_internals.in_order("train", ids) == expected
    assert expected != ids


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_what_is_used_of_the_inside_of_tfds_is_there(tiny_data_dir):
    base = tfds.core.GeneratorBasedBuilder
    assert parameters(base._generate_splits) == [
        "self",
        "dl_manager",
        "download_config",
    ]
    # TFDS calls the override, and keeps what it returns as the dataset's splits.
    source = inspect.getsource(base._download_and_prepare)
    assert "split_infos = self._generate_splits(dl_manager, download_config)" in source
    builder = tfds.builder("lunar_rocks", data_dir=tiny_data_dir)
    template = builder._get_filename_template("train")
    path = template.sharded_filepath(shard_index=1, num_shards=3)
    assert path.name == "lunar_rocks-train.tfrecord-00001-of-00003"
    assert parameters(base._example_writer) == ["self"]
    writer = base._example_writer(builder)
    assert parameters(writer.write) == ["path", "examples"]
    assert shard_utils.get_shard_boundaries(10, 3) == [3, 7, 10]
    assert isinstance(hashing.Hasher("train").hash_key("0001"), int)
    config = tfds.download.DownloadConfig(num_shards=5).get_shard_config()
    assert config.get_number_shards(1 << 30, 100) == 5
    config = tfds.download.DownloadConfig().get_shard_config()
    assert config.get_number_shards(512 << 20, 1000) == 8


def test_a_builder_that_only_streams_writes_what_tfds_reads(tmp_path):
    """The fenced module needs nothing of this dataset."""

    class Numbers(tfds_internals.StreamingBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tfds.core.Path(tmp_path)
        finished = 0

        def _info(self):
            features = tfds.features.FeaturesDict({"n": tfds.features.Scalar(np.int64)})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            raise NotImplementedError

        def _generate_examples(self):
            raise NotImplementedError

        @contextlib.contextmanager
        def streams(self, dl_manager, download_config):
            pack = self.info.features.serialize_example
            keys = tfds_internals.in_order("train", map(str, range(9)))
            examples = ((key, pack({"n": int(key)})) for key in keys)
            yield {
                "train": tfds_internals.Stream(examples, 9, 9),
                "empty": tfds_internals.Stream(iter(()), 2, 2),
            }

        def finish(self):
            self.finished += 1

    builder = Numbers(data_dir=tmp_path / "d")
    config = tfds.download.DownloadConfig(num_shards=2)
    builder.download_and_prepare(download_config=config)
    assert builder.finished == 1 and list(builder.info.splits) == ["train"]
    assert builder.info.splits["train"].shard_lengths == [4, 5]
    found = [int(e["n"]) for e in tfds.as_numpy(builder.as_dataset(split="train"))]
    assert [str(n) for n in found] == tfds_internals.in_order(
        "train", map(str, range(9))
    )
    assert not list(builder.data_path.glob("*empty*"))


def test_as_many_shards_as_asked_and_no_more_than_examples(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=9, num_photos=1)
    built = building.build(folder, tmp_path / "d", num_shards=3)
    lengths = {name: split.shard_lengths for name, split in built.info.splits.items()}
    assert lengths["real"] == [1]
    assert len(lengths["train"]) == 3 and min(lengths["train"]) >= 1
    assert sum(map(sum, lengths.values())) == 10 == len(building.read(built))
    files = [path.name for path in built.data_path.glob("*train*tfrecord*")]
    assert len(files) == 3 and not list(built.data_path.glob("*.tmp"))


@pytest.fixture
def broken_pixels(tmp_path):
    """Returns a folder whose ground0001.png has right checksums and broken pixels."""
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=3, num_photos=0)
    file = folder / "images/ground/ground0001.png"
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((480, 720, 3), np.uint8)).save(buffer, "PNG")
    file.write_bytes(png._assemble(buffer.getvalue()[16:29], b"\x78\x9cbroken"))
    return folder


def test_a_frame_found_unusable_while_writing_leaves_a_shorter_shard(
    broken_pixels, tmp_path
):
    built = building.build(broken_pixels, tmp_path / "d", leave_out=True, num_shards=9)
    assert "0001" not in building.read(built)
    assert list(built.info.metadata["left_out_frames"]) == ["0001"]
    again = tfds.builder("lunar_rocks", data_dir=tmp_path / "d")
    assert sorted(building.read(again)) == ["0002", "0003"]
    assert 0 in again.info.splits[frame_files.split_of("0001")].shard_lengths


def test_a_split_without_any_usable_frame_is_left_out(broken_pixels, tmp_path, caplog):
    train = [i for i in ("0001", "0002", "0003") if frame_files.split_of(i) == "train"]
    assert "0001" in train and len(train) == 2
    for kind in kaggle_layout.KINDS:
        other = train[1]
        (broken_pixels / f"images/{kind}/{kind}{other}.png").unlink()
    built = building.build(broken_pixels, tmp_path / "d", leave_out=True)
    assert "No frame of the split train can be used" in caplog.text
    assert "train" not in built.info.splits and len(building.read(built)) == 1
    assert not list(built.data_path.glob("*-train.*"))


def test_a_source_without_any_usable_frame_says_why(broken_pixels, tmp_path):
    for kind in kaggle_layout.KINDS:
        for number in (2, 3):
            (broken_pixels / f"images/{kind}/{kind}{number:04d}.png").unlink()
    with pytest.raises(ValueError, match="ground0001.png: corrupt pixel data"):
        building.build(broken_pixels, tmp_path / "d", leave_out=True)
    assert not list((tmp_path / "d/lunar_rocks").iterdir())


def test_one_thread_and_several_write_the_same_order(
    tiny_folder, tmp_path, monkeypatch
):
    orders = []
    for number in (1, 3):
        monkeypatch.setattr(cores, "num_cores", lambda number=number: number)
        built = building.build(tiny_folder, tmp_path / str(number), num_shards=2)
        examples = tfds.as_numpy(built.as_dataset(split="train"))
        orders.append([example["frame_id"].decode() for example in examples])
    expected = tfds_internals.in_order("train", orders[0])
    assert orders == [expected, expected] and len(expected) == 18

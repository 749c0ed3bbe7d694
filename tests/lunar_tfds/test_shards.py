"""Shards hold every usable frame, however many shards are asked for."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from lunar_tfds import kaggle_layout, machine
from lunar_tfds.lunar_rocks import frame_files, picture_files
from tests.support import building, tiny_frames


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
    file.write_bytes(
        picture_files._assemble(buffer.getvalue()[16:29], b"\x78\x9cbroken")
    )
    return folder


def test_a_frame_that_cannot_be_decoded_leaves_fewer_shards(broken_pixels, tmp_path):
    built = building.build(broken_pixels, tmp_path / "d", leave_out=True, num_shards=9)
    assert "0001" not in building.read(built)
    assert list(built.info.metadata["left_out_frames"]) == ["0001"]
    again = tfds.builder("lunar_rocks", data_dir=tmp_path / "d")
    assert sorted(building.read(again)) == ["0002", "0003"]
    for split in again.info.splits.values():
        assert split.shard_lengths == [1] * split.num_examples


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
        monkeypatch.setattr(machine, "num_cores", lambda number=number: number)
        built = building.build(tiny_folder, tmp_path / str(number), num_shards=2)
        examples = tfds.as_numpy(built.as_dataset(split="train"))
        orders.append([example["frame_id"].decode() for example in examples])
    assert orders[0] == orders[1] != sorted(orders[0]) and len(orders[0]) == 18

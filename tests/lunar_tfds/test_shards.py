"""Shards are written straight away, in the order that TFDS would bring about."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import shuffle

from lunar_tfds.lunar_rocks import frame_files, parallel, png, shards
from tests.support import building, tiny_frames


def test_the_order_is_that_of_tfds(tmp_path):
    ids = [f"{number:04d}" for number in range(1, 200)]
    jobs = [(frame_files.Frame(frame_id, "train", "", "", ""),) for frame_id in ids]
    theirs = shuffle.Shuffler(tmp_path, hash_salt="train")
    for frame_id in ids:
        theirs.add(frame_id, frame_id.encode())
    expected = [data.decode() for _, data in theirs]
    assert [job[0].frame_id for job in shards.shuffled("train", jobs)] == expected
    assert expected != ids


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
    for kind in frame_files.KINDS:
        other = train[1]
        (broken_pixels / f"images/{kind}/{kind}{other}.png").unlink()
    built = building.build(broken_pixels, tmp_path / "d", leave_out=True)
    assert "No frame of the split train can be used" in caplog.text
    assert "train" not in built.info.splits and len(building.read(built)) == 1
    assert not list(built.data_path.glob("*-train.*"))


def test_a_source_without_any_usable_frame_says_why(broken_pixels, tmp_path):
    for kind in frame_files.KINDS:
        for number in (2, 3):
            (broken_pixels / f"images/{kind}/{kind}{number:04d}.png").unlink()
    with pytest.raises(ValueError, match="ground0001.png: corrupt pixel data"):
        building.build(broken_pixels, tmp_path / "d", leave_out=True)
    assert not list((tmp_path / "d/lunar_rocks").iterdir())


def test_one_thread_and_several_write_the_same_order(
    tiny_folder, tmp_path, monkeypatch
):
    orders = []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "num_cores", lambda cores=cores: cores)
        built = building.build(tiny_folder, tmp_path / str(cores), num_shards=2)
        examples = tfds.as_numpy(built.as_dataset(split="train"))
        orders.append([example["frame_id"].decode() for example in examples])
    frames = [(frame_files.Frame(i, "train", "", "", ""),) for i in sorted(orders[0])]
    expected = [job[0].frame_id for job in shards.shuffled("train", frames)]
    assert orders == [expected, expected] and len(expected) == 18

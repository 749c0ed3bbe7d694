"""Opening a built dataset, and telling which one it is."""

import json
import shutil

import pytest

import lunar_tfds
from lunar_tfds import command_line, contact_sheet, kaggle_layout, opening, palette
from tests.support import building, tiny_frames


def test_identity_tells_one_dataset_from_another(tiny_data_dir):
    found = opening.identity(opening.open_dataset(tiny_data_dir))
    fingerprint = found.pop("source_fingerprint")
    assert found == {"name": "lunar_rocks", "version": "1.0.0", "config": None}
    info = tiny_data_dir / "lunar_rocks" / "1.0.0" / "metadata.json"
    assert fingerprint == json.loads(info.read_text())["source_fingerprint"]


def test_identity_tells_what_decides_the_examples(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "kaggle", num_frames=4)
    (folder / kaggle_layout.frame_file("clean", "0001")).write_bytes(b"")
    configs = [
        lunar_tfds.LunarRocksConfig(name="mine", ground_threshold=threshold)
        for threshold in (palette.ROCK_THRESHOLD, 50)
    ]

    def identity(name, **options):
        builder = building.build(folder, tmp_path / name, leave_out=True, **options)
        return opening.identity(builder)

    every = identity("every")
    assert every["left_out_frames"] == ["0001"]
    one, two = (identity(f"{n}", max_examples_per_split=n) for n in (1, 2))
    assert one == every | {"max_examples_per_split": 1} != two
    usual, low = (identity(f"c{n}", config=c) for n, c in enumerate(configs))
    assert low == usual | {"ground_threshold": 50}
    assert json.loads(json.dumps(low)) == low


def test_a_split_is_one_of_this_dataset(tiny_data_dir):
    builder = opening.open_dataset(str(tiny_data_dir))
    assert opening.resolve_split(builder, " train[:5]+real ") == "train[:5]+real"
    with pytest.raises(ValueError, match="no split '': the dataset in .* has"):
        opening.resolve_split(builder, " ")


def test_a_missing_dataset_says_how_to_build_it(tmp_path):
    with pytest.raises(ValueError) as error:
        opening.open_dataset(tmp_path)
    assert f"no built dataset in {tmp_path}" in str(error.value)
    assert f"tfds build lunar_rocks --data_dir={tmp_path} --manual_dir=" in str(
        error.value
    )


@pytest.mark.parametrize("change", ["flipped", "missing"])
def test_a_damaged_file_is_named_in_one_line(
    change, tiny_data_dir, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(opening, "_opened", {})
    shutil.copytree(tiny_data_dir, tmp_path / "tfds")
    (shard,) = (tmp_path / "tfds").glob("lunar_rocks/*/*-train.tfrecord*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    if change == "missing":
        shard.unlink()
    flags = [f"--data_dir={tmp_path / 'tfds'}", f"--output={tmp_path / 's.png'}"]
    flags.append("--num_examples=99")
    run = [contact_sheet.Sheet, contact_sheet.main, ["sheet", *flags]]
    assert command_line.run(*run) == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert str(shard) in line and "--overwrite" in line and "\n" not in line
    assert opening.damaged_files().count(str(shard)) == (change == "flipped")


@pytest.mark.parametrize(
    "split",
    ["train[", "train[:5", "train[a:b]", "train[:5%%]", "train[1.5:]", "train[::2]"]
    + ["train]", "train[:5]x", "train[5", "+", "train[]", "train[:5", "train[:9999%]"],
)
def test_what_is_no_split_is_a_value_error(split, tiny_data_dir):
    builder = opening.open_dataset(str(tiny_data_dir))
    with pytest.raises(ValueError, match="split"):
        opening.resolve_split(builder, split)

"""Opening a built dataset, and telling which one it is."""

import json

import pytest

from lunar_tfds import opening


def test_identity_tells_one_dataset_from_another(tiny_data_dir):
    found = opening.identity(opening.open_dataset(tiny_data_dir))
    fingerprint = found.pop("source_fingerprint")
    assert found == {"name": "lunar_rocks", "version": "1.0.0", "config": None}
    info = tiny_data_dir / "lunar_rocks" / "1.0.0" / "metadata.json"
    assert fingerprint == json.loads(info.read_text())["source_fingerprint"]


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

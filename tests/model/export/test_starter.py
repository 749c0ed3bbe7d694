"""The checkpoint that lies in the repository, and the file format of it."""

import zipfile

import numpy as np
import pytest

from lunar_tfds import command_line
from lunar_tfds.palette import CLASS_NAMES
from model.export import starter as export_starter
from model.network import starter
from model.network.checkpoints import load_checkpoint, read_details, save_model
from tests.support import stand_in


@pytest.fixture
def half(tmp_path):
    """Returns paths of a checkpoint and of its copy in float16."""
    whole = stand_in.save(tmp_path / "whole.keras", size=32, blur=3)
    export_starter.write_half(whole, tmp_path / "half.keras")
    return whole, tmp_path / "half.keras"


def test_half_precision_loads_into_float32_variables(half):
    models = [load_checkpoint(path)[0] for path in half]
    assert {v.dtype for v in models[1].variables} == {"float32"}
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    whole, halved = (model(image).numpy() for model in models)
    np.testing.assert_allclose(halved, whole, rtol=8e-3, atol=0.8)
    assert (whole.argmax(-1) == halved.argmax(-1)).mean() > 0.99
    kernel, exact = (model.layers[2].kernel.numpy() for model in models[::-1])
    np.testing.assert_array_equal(kernel, kernel.astype(np.float16))
    assert not (kernel.astype(np.float16).view(np.uint16) & 0b111).any()
    np.testing.assert_allclose(kernel, exact, rtol=2**-8, atol=1e-6)
    details = [read_details(path) for path in half]
    assert details[0] == details[1]


def test_folders_of_the_machine_stay_out(tmp_path):
    details = {"image_size": 32, "mask": "ground", "class_names": list(CLASS_NAMES)}
    details |= {"encoder_weights": "/home/me/vgg.h5", "flags": {"workdir": "/a/run"}}
    save_model(stand_in.build(32), tmp_path / "whole.keras", details)
    export_starter.write_half(tmp_path / "whole.keras", tmp_path / "half.keras")
    found = read_details(tmp_path / "half.keras")
    assert found["encoder_weights"] == "vgg.h5"
    assert found["flags"] == {"workdir": "run"}
    assert found["class_names"] == list(CLASS_NAMES)


def test_the_same_weights_make_the_same_file(half, tmp_path):
    export_starter.write_half(half[0], tmp_path / "again.keras")
    assert (tmp_path / "again.keras").read_bytes() == half[1].read_bytes()


def test_a_kernel_beyond_float16_is_refused_and_nothing_is_written(tmp_path):
    whole = stand_in.save(tmp_path / "whole.keras", size=32, sharpness=1e6)
    with pytest.raises(ValueError, match="too large for float16"):
        export_starter.write_half(whole, tmp_path / "half.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.keras"]


def test_the_command_writes_the_file_of_a_run(half, tmp_path, capsys):
    output = tmp_path / "made.keras"
    flags = [f"--checkpoint={half[0]}", f"--output={output}"]
    assert (
        command_line.run(
            export_starter.StarterConfig, export_starter.main, ["s", *flags]
        )
        == 0
    )
    assert output.read_bytes() == half[1].read_bytes()
    assert "from whole.keras" in capsys.readouterr().out


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Returns where the starter is looked for."""
    path = tmp_path / "weights" / "starter.keras"
    path.parent.mkdir()
    monkeypatch.setitem(starter.FILES, "starter", path)
    return path


def test_a_starter_that_is_not_there_says_how_to_get_it(place):
    for content in (None, b"version https://git-lfs.github.com/spec/v1\noid sha256:0"):
        if content:
            place.write_bytes(content)
        with pytest.raises(ValueError, match="git checkout -- weights"):
            load_checkpoint("starter")


def test_a_damaged_starter_says_how_to_get_it(half, place):
    whole = half[1].read_bytes()
    for content in (whole[: len(whole) // 2], b"nothing", b""):
        place.write_bytes(content)
        with pytest.raises(ValueError, match="git checkout -- weights") as caught:
            load_checkpoint("starter")
        assert "checkpoint of the run" not in str(caught.value)


def test_a_folder_called_starter_is_not_meant(half, place, tmp_path, monkeypatch):
    place.write_bytes(half[1].read_bytes())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    assert load_checkpoint("starter")[2] == place


def test_the_file_in_the_repository(caplog):
    """At most 40 MB; float32 variables; it knows its classes and its two runs."""
    assert starter.FILES["starter"].stat().st_size <= 40e6
    with zipfile.ZipFile(starter.FILES["starter"]) as archive:
        assert archive.testzip() is None
    model, details, path = load_checkpoint("starter")
    assert path == starter.FILES["starter"] and str(path) in caplog.text
    assert {v.dtype for v in model.variables} == {"float32"}
    assert model.name == "vgg16_unet"
    assert len(details["mean_of"]) == 2
    for run in details["mean_of"]:
        assert not [v for v in run["flags"].values() if str(v).startswith("/")]
        assert run["score"] > 0.6 and run["flags"]["seed"] == 0
    for name in ("README.md", "LICENSE-torchvision.txt"):
        assert (starter.FILES["starter"].parent / name).is_file()


def test_the_light_starter_in_the_repository():
    """At most 15 MB; it knows its encoder, its size and its run."""
    assert starter.FILES["starter_lite"].stat().st_size <= 15e6
    model, details, _ = load_checkpoint("starter_lite")
    assert model.name == "efficientnet_lite0_unet"
    assert details["encoder"] == "efficientnet_lite0" and details["image_size"] == 256
    assert {v.dtype for v in model.variables} == {"float32"}
    assert not [v for v in details["flags"].values() if str(v).startswith("/")]
    assert details["score"] > 0.7
    for name in ("NOTICE-efficientnet-lite0.txt", "efficientnet_lite0.weights.h5"):
        assert (starter.FILES["starter_lite"].parent / name).is_file()

"""The check tells what a build would, and writes nothing."""

import shutil

import numpy as np
import pytest
from PIL import Image

from lunar_tfds import check, command_line
from lunar_tfds.lunar_rocks import palette_check, problems
from tests.support import building, tiny_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    return tiny_frames.write_kaggle_folder(folder, num_frames=5)


def run(*arguments):
    """Returns the exit status of the command."""
    return command_line.run(check.Check, check.main, ["check", *map(str, arguments)])


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_sound_source(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = everything(folder)
    assert run(folder) == 0
    out = capsys.readouterr().out
    assert f"folder {folder}" in out
    assert "files: render 5, ground 5, clean 5, photo 2, photo mask 2" in out
    assert "frames: train 4, validation 1, test 0, real 2" in out
    assert "boxes of large rocks: 10" in out
    assert out.endswith("A build goes through.\n")
    assert everything(folder) == before and not list(tmp_path.iterdir())


def test_class_shares_are_those_of_the_metadata(folder, tmp_path, capsys):
    assert run(folder) == 0
    line = next(
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("  renders ground_mask")
    )
    counts = building.build(folder, tmp_path).info.metadata["class_pixel_counts"]
    total = sum(
        np.array(counts[split]["ground_mask"])
        for split in ("train", "test")
        if split in counts
    ) + np.array(counts["validation"]["ground_mask"])
    shares = [float(cell) for cell in line.split()[2:]]
    np.testing.assert_allclose(shares, 100 * total / total.sum(), atol=0.006)


def test_a_zip_and_its_first_frames(folder, tmp_path, capsys):
    path = building.zip_folder(folder, tmp_path / "some.zip", "a/b/")
    assert run(path, "--max_examples_per_split=1") == 0
    out = capsys.readouterr().out
    assert f"zip {path}" in out
    assert "frames: train 1, validation 1, test 0, real 1" in out


@pytest.mark.parametrize("absent", ["ground", "clean"])
def test_one_mask_kind(folder, tmp_path, capsys, absent):
    copy = building.copy(folder, tmp_path / "k")
    shutil.rmtree(copy / "images" / absent)
    assert run(copy) == 0
    out = capsys.readouterr().out
    assert f"{absent} 0," in out and f"renders {absent}_mask" not in out


def test_photos_alone(folder, tmp_path, capsys):
    copy = building.copy(folder, tmp_path / "k")
    shutil.rmtree(copy / "images")
    (copy / "real_moon_images/PCAM2.png").unlink()
    assert run(copy) == 0
    out = capsys.readouterr().out
    assert "frames: train 0, validation 0, test 0, real 1" in out
    assert "photos clean_mask" in out and "renders" not in out


def damage(folder):
    """Leaves a file missing, one cut short and one off the palette."""
    (folder / "images/clean/clean0001.png").unlink()
    file = folder / "images/render/render0002.png"
    file.write_bytes(file.read_bytes()[:-9])
    file = folder / "images/ground/ground0003.png"
    Image.open(file).convert("L").convert("RGB").save(file)


def test_it_stops_with_the_words_of_the_build(folder, tmp_path, capsys):
    copy = building.copy(folder, tmp_path / "k")
    damage(copy)
    assert run(copy) == 1
    out = capsys.readouterr().out
    with pytest.raises(ValueError) as error:
        building.build(copy, tmp_path / "d")
    assert out.endswith(f"A build stops. {error.value}\n")
    assert "3 frames of the folder" in out
    for said in ("no images/clean/clean0001", "render0002.png: trunc", "ground0003"):
        assert said in out


def test_it_leaves_out_what_a_build_would(folder, tmp_path, capsys, monkeypatch):
    copy = building.copy(folder, tmp_path / "k")
    damage(copy)
    monkeypatch.setenv(problems.LEAVE_OUT_VARIABLE, "1")
    assert run(copy) == 0
    out = capsys.readouterr().out
    assert "3 frames are left out:" in out and "render0002.png: trunc" in out
    for render in (copy / "images/render").iterdir():
        render.write_bytes(b"")
    shutil.rmtree(copy / "real_moon_images")
    assert run(copy) == 1
    assert "A build stops. No complete frame" in capsys.readouterr().out


def test_swapped_channels(tmp_path, capsys):
    folder = tiny_frames.write_kaggle_folder(
        tmp_path, num_frames=palette_check.MIN_FRAMES, num_photos=0
    )
    for kind in ("ground", "clean"):
        for file in (folder / "images" / kind).iterdir():
            pixels = np.array(Image.open(file))[..., ::-1]
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, compress_level=1)
    assert run(folder) == 1
    assert "A build stops. The labels do not fit the pictures" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "--source is missing: name a folder or a zip"),
        (["nowhere"], "nowhere"),
        (["a", "b"], "unknown arguments: a b"),
        (["nowhere", "--max_examples_per_split=0"], "must be at least 1"),
    ],
)
def test_wrong_arguments(arguments, says, caplog):
    assert run(*arguments) == 1
    assert says in caplog.text

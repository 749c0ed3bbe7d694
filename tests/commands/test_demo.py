"""The demo: every step leaves its result, and a second run takes up what is there."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import commands.demo
from commands.demo import DemoConfig, choose_encoder_weights
from lunar_tfds.synthetic import labels, scene, writer
from model.network import starter, vgg16
from tests.support import tiny_frames

ROOT = pathlib.Path(__file__).parents[2]


def flags(output):
    """Returns the flags of a demo as small as it gets; it needs no network."""
    return [
        *(f"--output_dir={output}", "--num_scenes=20", "--num_unseen=1"),
        *("--image_size=32", "--epochs=1", "--encoder_weights=none"),
    ]


def demo(output):
    """Returns the output of a demo in a process of its own."""
    result = subprocess.run(
        [sys.executable, ROOT / "demo.py", *flags(output)],
        cwd=output.parent,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    return result.stdout


def results(printed):
    """Returns the printed scores and the paths printed below them, by their names."""
    end = printed[printed.index("=== Results") :]
    scores = re.search(r"^mean IoU +(\S+) +(\S+)$", end, re.M)
    assert all(0 <= float(score) <= 1 for score in scores.groups())
    assert re.search(r"^ +trained from none +starter$", end, re.M)
    paths = dict(re.findall(r"^(\w+): +(.+)$", end, re.M))
    return end, {name: pathlib.Path(path) for name, path in paths.items()}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Returns the demo's folder, in which simpler scenes are drawn already."""

    def simple(seed, index, variety):
        frame = tiny_frames.draw_frame(np.random.default_rng(index), sky=index % 4 != 0)
        return *frame[:3], labels.find_boxes(frame[1])

    monkeypatch.setattr(scene, "render_scene", simple)
    writer.write_scenes(tmp_path / "out" / "scenes", 20, 0, 1, progress=False)
    return tmp_path / "out"


def test_the_demo_leaves_its_results_and_a_second_run_reuses_them(drawn, capfd, caplog):
    first, paths = results(demo(drawn))
    assert paths["Report"].read_text().lstrip().lower().startswith("<!doctype html")
    (overlay,) = paths["Overlays"].glob("*_overlay.png")
    assert list((drawn / "predictions_starter").glob("*_overlay.png"))
    (checkpoint,) = paths["Checkpoints"].glob("*.keras")
    before = checkpoint.stat().st_mtime_ns
    overlay.unlink()

    assert commands.demo.main(["demo.py", *flags(drawn)]) == 0
    out, log = capfd.readouterr()
    printed = log + out  # The results come last.
    assert "0 scenes drawn, 20 already there" in printed
    assert "Reusing dataset lunar_rocks" in printed
    assert "is finished after 1 epochs" in caplog.text
    assert results(printed) == (first, paths)
    assert list(paths["Checkpoints"].glob("*.keras")) == [checkpoint]
    assert checkpoint.stat().st_mtime_ns == before
    assert overlay.exists()


def test_processes_that_draw_do_not_load_tensorflow():
    """Each of them imports the launcher, under this name."""
    code = (
        "import runpy, sys; runpy.run_path('demo.py', run_name='__mp_main__'); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("size", [100, -16, 8])
def test_a_wrong_size_is_refused_before_anything_is_drawn(size):
    with pytest.raises(ValueError, match=f"--image_size={size}: must be a multiple"):
        DemoConfig(image_size=size)
    assert DemoConfig(image_size=96).image_size == 96


@pytest.fixture
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("ENCODER_WEIGHTS", raising=False)


def test_the_weights_are_looked_for_where_the_user_is(
    nothing_chosen, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    choices = ("w/vgg.h5", "~/vgg.h5", "/w/vgg.h5", "imagenet", "starter", "none")
    assert [choose_encoder_weights(choice) for choice in choices] == [
        *(str(tmp_path / "w" / "vgg.h5"), "/home/someone/vgg.h5", "/w/vgg.h5"),
        *("imagenet", "starter", "none"),
    ]
    monkeypatch.setenv("ENCODER_WEIGHTS", "mine.h5")
    assert choose_encoder_weights("") == str(tmp_path / "mine.h5")
    assert choose_encoder_weights("none") == "none"


def test_without_a_choice_the_weights_are_imagenet_or_offline_the_starters(
    nothing_chosen, monkeypatch, capsys, tmp_path
):
    def offline():
        raise Exception("no network")  # As Keras does.

    monkeypatch.setattr(vgg16, "imagenet_weights_file", lambda: "there.h5")
    assert choose_encoder_weights("") == "imagenet" and not capsys.readouterr().out
    monkeypatch.setattr(vgg16, "imagenet_weights_file", offline)
    assert choose_encoder_weights("") == "starter"
    assert "cannot be downloaded (no network)" in capsys.readouterr().out
    whole = starter.FILES["starter"].read_bytes()
    path = tmp_path / "weights" / "starter.keras"
    monkeypatch.setitem(starter.FILES, "starter", path)
    for damaged in (False, True):
        if damaged:
            path.parent.mkdir()
            path.write_bytes(whole[:-1000])
        assert choose_encoder_weights("") == "none"
        assert "git checkout -- weights" in capsys.readouterr().out

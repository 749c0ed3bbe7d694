"""The demo: every step leaves its result, and a second run takes up what is there."""

import os
import pathlib
import re
import subprocess
import sys

import commands.demo

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
    assert 0 <= float(re.search(r"^mean IoU (\S+) ", end, re.M)[1]) <= 1
    paths = dict(re.findall(r"^(\w+): +(.+)$", end, re.M))
    return end, {name: pathlib.Path(path) for name, path in paths.items()}


def test_the_demo_leaves_its_results_and_a_second_run_reuses_them(
    tmp_path, capfd, caplog
):
    first, paths = results(demo(tmp_path / "out"))
    assert paths["Report"].read_text().lstrip().lower().startswith("<!doctype html")
    (overlay,) = paths["Overlays"].glob("*_overlay.png")
    (checkpoint,) = paths["Checkpoints"].glob("*.keras")
    before = checkpoint.stat().st_mtime_ns
    overlay.unlink()

    assert commands.demo.main(["demo.py", *flags(tmp_path / "out")]) == 0
    out, log = capfd.readouterr()
    printed = log + out  # The results come last.
    assert "0 scenes drawn, 20 already there" in printed
    assert "Reusing dataset lunar_rocks" in printed
    assert "is finished after 1 epochs" in caplog.text
    assert results(printed) == (first, paths)
    assert list(paths["Checkpoints"].glob("*.keras")) == [checkpoint]
    assert checkpoint.stat().st_mtime_ns == before
    assert overlay.exists()

"""The README's examples run as they stand, and links lead somewhere."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lunar_tfds.atomic_files import write_json
from model.training import run
from tests.support import stand_in, tiny_frames

ROOT = pathlib.Path(__file__).parents[1]


def example(first_line):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (found,) = [block for block in blocks if block.startswith(first_line)]
    return found


def test_prediction(tmp_path, monkeypatch, capsys):
    checkpoints = tmp_path / "runs" / "vgg16_unet" / "checkpoints"
    checkpoints.mkdir(parents=True)
    name = "vgg16_unet-001-0.5000.keras"
    stand_in.save(checkpoints / name)
    entry = {"file": name, "epoch": 1, "monitor": "val_mean_iou", "score": 0.5}
    write_json(checkpoints / "index.json", {"checkpoints": [entry]})
    image = tiny_frames.draw_frame(np.random.default_rng(0))[0]
    Image.fromarray(image).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(example("from model.inference.predictor"), {})
    shapes, summary = capsys.readouterr().out.splitlines()
    assert shapes == "(480, 720) (480, 720, 4)"
    share, uncertainty = re.findall(r"[\d.]+", summary)
    assert 0 < float(share) < 50 and 0 <= float(uncertainty) <= 1


def test_dataset(tiny_data_dir, monkeypatch, capsys):
    import tensorflow_datasets as tfds

    load = tfds.load
    monkeypatch.setattr(
        tfds,
        "load",
        lambda name, **options: load(name, data_dir=tiny_data_dir, **options),
    )
    exec(example("import lunar_tfds"), {})
    assert capsys.readouterr().out == "(480, 720, 3) (480, 720, 1)\n"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_another_project_in_a_fresh_environment(tiny_folder, tmp_path):
    """`pip install`, `tfds build` and the Python example, with nothing else there."""
    source = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lunar_tfds", source / "lunar_tfds", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    section = (ROOT / "README.md").read_text().split("In another project, ")[1]
    install, build = re.search(r"```sh\n(.*)\n(.*)\n```", section).groups()
    install += f" -c {ROOT / 'constraints.txt'}"
    project = tmp_path / "project"
    project.mkdir()
    (project / "example.py").write_text(example("import lunar_tfds"))
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }
    environment["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{environment['PATH']}"
    environment["TFDS_DATA_DIR"] = str(tmp_path / "data")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    for command in (
        install.replace("PATH_OF_THIS_CHECKOUT", str(source)),
        build.replace("FOLDER_OF_THE_ZIP", str(tiny_folder)),
        "python example.py",
    ):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, command + done.stdout[-999:] + done.stderr[-4000:]
    assert done.stdout == "(480, 720, 3) (480, 720, 1)\n"


def test_training(monkeypatch, capsys):
    asked = []

    def train_and_evaluate(config):
        asked.append(config)
        return run.TrainResult([{"val_mean_iou": 0.5}], "best.keras", True)

    monkeypatch.setattr(run, "train_and_evaluate", train_and_evaluate)
    exec(example("from model.training.run"), {})
    assert capsys.readouterr().out == "best.keras 0.5\n"
    assert asked == [run.TrainConfig(image_size=256, epochs=20)]


def links():
    """Returns (page, link) of each link to a file of the project."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
    return [
        (page, link)
        for page in (path.relative_to(ROOT).as_posix() for path in pages)
        for link in re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / page).read_text())
    ]


@pytest.mark.parametrize(("page", "link"), links())
def test_links_lead_somewhere(page, link):
    file, _, anchor = link.partition("#")
    target = (ROOT / page).parent / file
    assert target.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
        anchors = [re.sub(r"[^\w -]", "", h.lower()) for h in headings]
        assert anchor in [a.replace(" ", "-") for a in anchors]

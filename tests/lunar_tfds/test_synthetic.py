"""Checks drawn scenes and the files they are written to."""

import csv
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lunar_tfds import command_line, kaggle_layout, terminal
from lunar_tfds.image_arrays import TOUCHING
from lunar_tfds.synthetic import __main__ as command
from lunar_tfds.synthetic import labels, scene, tracks, writer
from lunar_tfds.synthetic.variety import STYLES, Variety
from tests.support import tiny_frames

ROOT = pathlib.Path(__file__).parents[2]
SMALL = {"height": 120, "width": 180}
SHADED = Variety(massifs=1.0, flanks=0.0, black_shadows=1.0)


def read_all(root):
    """Returns {path: bytes} of all files below a folder."""
    return {
        str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def sketch():
    """Returns what render_scene returns, for one small scene."""
    return scene.render_scene(4, 19, SHADED, **SMALL)


@pytest.fixture
def quick(monkeypatch, sketch):
    """Replaces rendering by a picture that tells index and seed; counts the calls."""
    calls = []

    def render_scene(seed, index, variety):
        calls.append((seed, index))
        render, ground, clean, _ = sketch
        render = render.copy()
        render[0, 0] = (index, seed, 0)
        ground = ground.copy()
        ground[35:75, 35:85] = 0
        ground[40:70, 40:80] = (0, 0, 200)
        return render, ground, clean, labels.find_boxes(ground)

    monkeypatch.setattr(scene, "render_scene", render_scene)
    return calls


def test_a_scene_follows_the_conventions(sketch):
    render, ground, clean, boxes = sketch
    assert render.dtype == ground.dtype == clean.dtype == np.uint8
    assert render.shape == ground.shape == clean.shape == (120, 180, 3)
    spread = render.max(-1).astype(int) - render.min(-1)
    assert spread.max() <= 3  # Nearly grey.
    sky = ground[..., 0] > 0
    assert (ground[sky] == (226, 0, 0)).all()
    assert (clean[sky] == (255, 0, 0)).all()
    inner = sky[2:, :].copy() & sky[:-2, :]
    assert (render[1:-1][inner] < 8).mean() > 0.95
    assert boxes == labels.find_boxes(ground)
    primaries = {(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)}
    assert set(map(tuple, clean.reshape(-1, 3))) <= primaries


def test_shadow_is_exactly_black_and_light_is_not(sketch):
    render, ground, _, _ = sketch
    land = render[ground[..., 0] == 0][:, 0]
    assert np.median(land[land > 0]) > 20
    assert 0.001 < (land == 0).mean() < 0.95


def test_a_scene_depends_on_seed_and_index_alone(sketch):
    other = scene.render_scene(5, 19, SHADED, **SMALL)
    again = scene.render_scene(4, 19, SHADED, **SMALL)
    for a, b in zip(sketch, again, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(sketch[0], other[0])


@pytest.mark.parametrize("index", scene.NO_SKY + scene.BOULDER + scene.BARE)
def test_special_scenes_keep_their_promise(index):
    _, ground, _, _ = scene.render_scene(0, index, **SMALL)
    if index not in scene.BOULDER:
        assert ground[..., 0].any() != (index in scene.NO_SKY)
    if index in scene.BOULDER:
        large = ground[..., 2] > labels.BOX_INTENSITY
        regions, _ = ndimage.label(large, TOUCHING)
        largest = np.bincount(regions[regions > 0]).max()
        assert largest / regions.size > scene.BOULDER_SHARE
    if index in scene.BARE:
        assert not ground[..., 1:].any()


def test_any_forty_scenes_hold_two_of_each_special_kind():
    for kind in (scene.NO_SKY, scene.BOULDER, scene.BARE):
        assert all(0 <= slot < scene.PERIOD for slot in kind)
        for first in range(1, 100):
            slots = [k % scene.PERIOD for k in range(first, first + 40)]
            assert sum(slot in kind for slot in slots) >= 2


def test_flanks_are_dark_but_for_what_stands_out():
    variety = Variety(flanks=1.0, black_shadows=1.0)
    render, ground, _, _ = scene.render_scene(0, 2, variety, **SMALL)
    land = ground[..., 0] == 0
    assert 0.4 <= np.mean(render[land] < 8) <= 0.95


def test_dust_and_ambient_light_fill_the_shadows_and_the_sky_stays_black():
    real, ground, _, _ = scene.render_scene(4, 19, SHADED, **SMALL)
    photo = dataclasses.replace(
        SHADED, black_shadows=0.0, ambient=(0.1, 0.1), veil=(0.3, 0.3)
    )
    hazy, same, _, _ = scene.render_scene(4, 19, photo, **SMALL)
    np.testing.assert_array_equal(ground, same)
    shadow = (real[..., 0] == 0) & (ground[..., 0] == 0)
    sky = ground[..., 0] > 0
    inner = ndimage.binary_erosion(sky, iterations=2)
    assert shadow.sum() > 100 and sky.any()
    assert np.percentile(hazy[shadow], 5) > 3
    assert not hazy[inner].any()
    assert hazy[~sky].std() < real[~sky].std()


def test_tracks_darken_the_ground_along_two_ruts():
    track = tracks.Track((0.0, 0.0), 10.0, 1.0, 0.2, 0.02, 0.2)
    x = np.linspace(8, 12, 401).astype(np.float32)
    slopes, albedo = tracks.press(track, x, 0 * x, np.full(401, 0.005, np.float32))
    rut = albedo < 0.999
    np.testing.assert_allclose(x[rut].min(), 9.4, atol=0.02)
    np.testing.assert_allclose(x[rut].max(), 10.6, atol=0.02)
    assert rut.mean() == pytest.approx(2 * 0.2 / 4, rel=0.1)
    assert albedo.min() == pytest.approx(0.8, abs=1e-3)
    # Down into the rut and up again; a pixel wider than the rut shows none of it.
    inner = slopes[(x > 9.4) & (x < 9.6), 0]
    assert inner[2] < -0.1 and inner[-3] > 0.1
    wide = tracks.press(track, x, 0 * x, np.full(401, 0.3, np.float32))
    assert not wide[0].any() and (wide[1] == 1).all()


def test_bytes_do_not_depend_on_count_or_processes(tmp_path):
    assert writer.write_scenes(tmp_path / "a", 1, 9, 1, progress=False) == 1
    assert writer.write_scenes(tmp_path / "b", 2, 9, 2, progress=False) == 2
    a, b = read_all(tmp_path / "a"), read_all(tmp_path / "b")
    assert b["bounding_boxes.csv"].startswith(a.pop("bounding_boxes.csv"))
    assert a.items() <= b.items() and len(a) == 3
    assert sorted(b) == [
        "bounding_boxes.csv",
        *(
            f"images/{f}/{f}000{k}.png"
            for f in sorted(kaggle_layout.KINDS)
            for k in (1, 2)
        ),
    ]
    # A second run adds a scene, and ends as if all had been drawn at once.
    assert writer.write_scenes(tmp_path / "a", 2, 9, 1, progress=False) == 1
    assert read_all(tmp_path / "a") == b
    image = Image.open(tmp_path / "a/images/render/render0001.png")
    assert image.size == (720, 480) and image.mode == "RGB"


def test_second_run_keeps_whole_files_and_redoes_broken_ones(tmp_path, quick):
    writer.write_scenes(tmp_path, 3, 5, 1, progress=False)
    before = read_all(tmp_path)
    assert writer.write_scenes(tmp_path, 3, 5, 1, progress=False) == 0
    cut = tmp_path / "images/render/render0002.png"
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "images/clean/clean0003.png").unlink()
    (tmp_path / "bounding_boxes.csv").unlink()
    quick.clear()
    assert writer.write_scenes(tmp_path, 3, 5, 1, progress=False) == 2
    assert quick == [(5, 2), (5, 3)]
    assert read_all(tmp_path) == before
    assert writer.write_scenes(tmp_path, 4, 5, 1, progress=False) == 1


def test_boxes_of_all_frames_are_listed(tmp_path, quick):
    writer.write_scenes(tmp_path, 12, 5, 1, progress=False)
    writer.write_scenes(tmp_path, 2, 5, 1, progress=False)  # The other ten stay.
    with open(tmp_path / "bounding_boxes.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(kaggle_layout.BOXES_HEADER)
    frames = [int(row[0]) for row in rows[1:]]
    assert sorted(set(frames)) == list(range(1, 13))
    assert frames == sorted(frames)
    assert ["12", "40.5", "40.5", "40", "30"] in rows


def test_a_run_that_fails_in_the_middle_leaves_no_boxes(tmp_path, quick, monkeypatch):
    writer.write_scenes(tmp_path, 2, 5, 1, progress=False)
    before = read_all(tmp_path)
    render_scene = scene.render_scene

    def fail_at_four(seed, index, variety):
        assert not (tmp_path / "bounding_boxes.csv").exists()
        if index == 4:
            raise MemoryError
        return render_scene(seed, index, variety)

    monkeypatch.setattr(scene, "render_scene", fail_at_four)
    with pytest.raises(MemoryError):
        writer.write_scenes(tmp_path, 4, 5, 1, progress=False)
    assert (tmp_path / "images/clean/clean0003.png").exists()
    assert not (tmp_path / "bounding_boxes.csv").exists()
    monkeypatch.setattr(scene, "render_scene", render_scene)
    assert writer.write_scenes(tmp_path, 4, 5, 1, progress=False) == 1
    after = read_all(tmp_path)
    boxes = after.pop("bounding_boxes.csv")
    assert boxes.startswith(before.pop("bounding_boxes.csv"))
    assert before.items() <= after.items() and b"\n4," in boxes


def test_styles_are_drawn_apart(tmp_path, monkeypatch, quick):
    asked = []
    drawn = scene.render_scene
    monkeypatch.setattr(
        scene,
        "render_scene",
        lambda seed, index, variety: asked.append(variety) or drawn(seed, index, None),
    )
    writer.write_scenes(tmp_path, 1, 5, 1, style="photo", progress=False)
    assert asked == [STYLES["photo"]] != [STYLES["standard"]]
    assert writer.write_scenes(tmp_path, 1, 5, 1, style="photo", progress=False) == 0
    with pytest.raises(ValueError, match="seed and style: .*style photo, wanted scene"):
        writer.write_scenes(tmp_path, 1, 5, 1, progress=False)


def test_photos_label_what_is_wide_in_the_picture():
    labelled = []
    for index in range(1, 9):
        render, ground, _, _ = scene.render_scene(2, index, STYLES["photo"], **SMALL)
        for channel, name in ((1, "small"), (2, "large")):
            regions, count = ndimage.label(ground[..., channel] > 0, TOUCHING)
            areas = np.bincount(regions.ravel(), minlength=count + 1)[1:]
            labelled += [(name, 4 * 2 * np.sqrt(a / np.pi)) for a in areas]  # 720 px.
    small = [d for name, d in labelled if name == "small"]
    large = [d for name, d in labelled if name == "large"]
    assert len(small) > 5 and len(large) > 2
    # Other rocks hide parts of some, and some touch.
    assert np.percentile(small, 20) > 16 and np.median(small) < 50 < np.median(large)


def test_photos_are_brown_and_noisy_under_a_black_sky():
    quiet = dataclasses.replace(STYLES["photo"], browns=(0.0, 0.0), noise=(0.0, 0.0))
    brown = dataclasses.replace(quiet, browns=(1.0, 1.0))
    noisy = dataclasses.replace(quiet, noise=(4.0, 4.0))
    grey, warm, grainy = (
        scene.render_scene(3, 2, variety, **SMALL)[0].astype(float)
        for variety in (quiet, brown, noisy)
    )
    lit = grey.min(-1) > 20
    assert np.median((warm[..., 0] - warm[..., 2])[lit]) > 8
    assert np.abs(grey[..., 0] - grey[..., 2])[lit].max() <= 3
    assert 3 < (grainy - grey)[lit][:, 1].std() < 5
    assert not grainy[grey == 0].any()


def test_errors_name_the_remedy(tmp_path, quick):
    writer.write_scenes(tmp_path, 1, 5, 1, progress=False)
    with pytest.raises(ValueError, match="scene 1 of seed 5.*Choose another"):
        writer.write_scenes(tmp_path, 1, 6, 1, progress=False)
    foreign = tmp_path / "real" / "images" / "render"
    foreign.mkdir(parents=True)
    Image.new("RGB", (720, 480)).save(foreign / "render0001.png")
    content = (foreign / "render0001.png").read_bytes()
    with pytest.raises(ValueError, match="no scene of this renderer"):
        writer.write_scenes(tmp_path / "real", 1, 5, 1, progress=False)
    assert (foreign / "render0001.png").read_bytes() == content
    with pytest.raises(ValueError, match="num_scenes must be at least 1: got 0"):
        writer.write_scenes(tmp_path, 0, progress=False)
    with pytest.raises(ValueError, match="processes must be at least 1"):
        writer.write_scenes(tmp_path, 1, 0, -2, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder"):
        writer.write_scenes(tmp_path / "file", 1, progress=False)


def test_a_kaggle_copy_stays_as_it_is(tmp_path, quick):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=2, num_photos=1)
    before, names = read_all(folder), sorted(folder.rglob("*"))
    for num_scenes in (1, 2, 5):  # Frames of that number, or beyond, or both.
        with pytest.raises(ValueError, match="render0001.png is no scene of this"):
            writer.write_scenes(folder, num_scenes, 5, 1, progress=False)
    assert read_all(folder) == before and sorted(folder.rglob("*")) == names
    assert not quick


@pytest.mark.parametrize("kind", kaggle_layout.KINDS)
def test_foreign_frames_beyond_the_last_scene_are_refused(tmp_path, quick, kind):
    foreign = tmp_path / kaggle_layout.frame_file(kind, "0007")
    foreign.parent.mkdir(parents=True)
    Image.new("RGB", (720, 480)).save(foreign)
    before, names = read_all(tmp_path), sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=f"{kind}0007.png is no scene of this"):
        writer.write_scenes(tmp_path, 3, 5, 1, progress=False)
    assert read_all(tmp_path) == before and sorted(tmp_path.rglob("*")) == names


def test_boxes_without_frames_and_broken_foreign_files_are_refused(tmp_path, quick):
    boxes = tmp_path / "a" / kaggle_layout.BOXES_FILE
    broken = tmp_path / "b" / kaggle_layout.frame_file("ground", "0001")
    for file in (boxes, broken):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"Frame,")
    before = read_all(tmp_path)
    for folder, name in (("a", boxes.name), ("b", broken.name)):
        with pytest.raises(ValueError, match=f"{name} is .*Choose another"):
            writer.write_scenes(tmp_path / folder, 1, 5, 1, progress=False)
    assert read_all(tmp_path) == before


@pytest.mark.parametrize(
    "rows",
    [
        "1,40.5,40.5,40,31\n",  # Another box of a frame that is there.
        "3,40.5,40.5,40,30\n",  # A frame that is not.
        "1,40.5,40.5\n",
        "many\n",
    ],
)
def test_boxes_that_somebody_else_made_stay(tmp_path, quick, rows):
    writer.write_scenes(tmp_path, 2, 5, 1, progress=False)
    boxes = tmp_path / kaggle_layout.BOXES_FILE
    boxes.write_text(boxes.read_text() + rows)
    (tmp_path / kaggle_layout.frame_file("clean", "0002")).unlink()
    before = read_all(tmp_path)
    quick.clear()
    with pytest.raises(ValueError, match="csv is boxes of other .*Choose another"):
        writer.write_scenes(tmp_path, 4, 5, 1, progress=False)
    assert read_all(tmp_path) == before and not quick


def test_own_boxes_of_a_damaged_mask_are_no_others(tmp_path, quick):
    writer.write_scenes(tmp_path, 2, 5, 1, progress=False)
    before = read_all(tmp_path)
    for damage in (lambda p: p.write_bytes(p.read_bytes()[:-200]), os.unlink):
        damage(tmp_path / kaggle_layout.frame_file("ground", "0002"))
        assert writer.write_scenes(tmp_path, 2, 5, 1, progress=False) == 1
        assert read_all(tmp_path) == before


def test_one_core_per_process_by_default(tmp_path, quick, monkeypatch):
    asked = []
    monkeypatch.setattr(
        writer, "_run", lambda jobs, processes: asked.append(processes) or []
    )
    monkeypatch.setattr(writer.machine, "num_cores", lambda: 3)
    writer.write_scenes(tmp_path, 9, progress=False)
    assert asked == [3]


def run_command(*flags, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "lunar_tfds.synthetic", *flags],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_killed_run_leaves_only_whole_files(tmp_path):
    out = tmp_path / "out"
    run = run_command(f"--output_dir={out}", "--num_scenes=50", "--processes=1")
    end = time.monotonic() + 240
    while not list(out.glob("images/clean/clean*.png")) and time.monotonic() < end:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    for path in out.glob("images/*/[!.]*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.size == (720, 480)
    # The next run takes up what is there, and clears away what was half written.
    (out / "images/render/.tmp-1-render0002.png").write_bytes(b"half")
    run = run_command(f"--output_dir={out}", "--num_scenes=2", "--processes=1")
    text, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors
    assert "1 scenes drawn, 1 already there" in text and "tfds build" in text
    assert "100%" in errors  # The progress bar.
    rate, memory = re.search(r"(\S+) scenes/s, largest process (\d+) MB", text).groups()
    assert 0.01 < float(rate) < 100 and 50 < int(memory) < 2000
    assert sorted(p.name for p in out.iterdir()) == ["bounding_boxes.csv", "images"]
    assert not list(out.rglob(".*"))


# Instead of the seconds that a worker takes for its imports.
SLOW_WORKER = """
import os, sys, time
if "spawn_main" in " ".join(sys.orig_argv):
    print("importing", flush=True)
    time.sleep(1)
    os._exit(0)
"""


def test_ctrl_c_while_workers_import_is_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_WORKER)
    run = run_command(
        f"--output_dir={tmp_path / 'out'}",
        "--num_scenes=2",
        "--processes=2",
        PYTHONPATH=f"{tmp_path}:{ROOT}",
    )
    for _ in range(2):
        assert run.stdout.readline() == "importing\n"
    os.killpg(run.pid, signal.SIGINT)  # As a terminal does.
    _, errors = run.communicate(timeout=60)
    assert run.returncode == terminal.EXIT_INTERRUPTED
    assert "Traceback" not in errors
    assert errors.endswith(f"{terminal.MESSAGE}\n")


@pytest.mark.parametrize(
    "flags, line",
    [
        (["--num_scenes=1"], "output_dir must be a folder: {file} is a file"),
        (["--num_scenes=0"], "--num_scenes=0: must be at least 1"),
        (
            ["--style=mars"],
            "--style=mars: value should be one of <standard|photo>",
        ),
        (["--num_scenes=1", "now"], "unknown arguments: now"),
        (["--output_dir=/dev/null/scenes"], "/dev/null/scenes"),  # Not to be written.
    ],
)
def test_the_command_explains_what_is_wrong(tmp_path, caplog, flags, line):
    file = tmp_path / "file"
    file.write_text("")
    argv = ["synthetic", f"--output_dir={file}", *flags]
    assert command_line.run(command.Drawing, command.main, argv) == 1
    assert line.format(file=file) in caplog.messages[-1]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_two_hundred_scenes_resemble_the_dataset(tmp_path):
    """The medians of nine real frames: .56 black, .27 red, .13 green, .024 blue."""
    writer.write_scenes(tmp_path, 200, 0, progress=False)
    shares, boulders = [], []
    for k in range(1, 201):
        path = tmp_path / f"images/ground/ground{k:04d}.png"
        colored = np.asarray(Image.open(path)) > 0
        only = colored.sum(-1) == 1
        shares.append(
            [np.mean(~colored.any(-1)), *(colored & only[..., None]).mean((0, 1))]
        )
        regions, _ = ndimage.label(colored[..., 2], TOUCHING)
        boulders.append(np.bincount(regions[regions > 0], minlength=1).max())
    shares, boulders = np.array(shares), np.array(boulders) / (480 * 720)
    for found, real in zip(
        np.median(shares, axis=0), (0.56, 0.27, 0.13, 0.024), strict=True
    ):
        assert real / 2 < found < real * 2
    for first in range(161):
        run = slice(first, first + 40)
        assert (shares[run, 1] == 0).sum() >= 2
        assert (boulders[run] > scene.BOULDER_SHARE).sum() >= 2

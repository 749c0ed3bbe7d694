import collections
import csv
import os
import pathlib
import stat
import subprocess
import sys
import weakref
import zipfile

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from commands import common, predict
from lunar_tfds import palette
from lunar_tfds.atomic_files import write_json
from model.inference import outputs, result_files, segmenting
from model.inference.image_files import ImageFile
from model.inference.predictor import Predictor
from model.network import starter
from tests.model.inference import test_video
from tests.support import stand_in, tiny_frames

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return stand_in.save(tmp_path_factory.mktemp("run") / "a.keras", size=128)


@pytest.fixture(scope="module")
def frame():
    return tiny_frames.draw_frame(np.random.default_rng(1), num_large=3)


@pytest.fixture
def photos(tmp_path, frame):
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(frame[0])
    image.save(folder / "a.png")
    image.convert("L").resize((333, 217)).save(folder / "b.jpg", quality=95)
    image.convert("RGBA").save(folder / "c.tif")
    Image.fromarray(frame[0][..., 0].astype(np.uint16) * 257).save(folder / "d.png")
    return folder


def run(*flags):
    return stand_in.run(predict, *flags)


def rows(folder):
    with open(folder / "summary.csv", newline="") as file:
        return {pathlib.Path(row["image"]).name: row for row in csv.DictReader(file)}


def test_a_folder_of_all_kinds(checkpoint, photos, frame, tmp_path):
    output = tmp_path / "out"
    assert (
        run(
            f"--checkpoint={checkpoint}", f"--images={photos}", f"--output_dir={output}"
        )
        == 0
    )
    names = {f"{n}_{kind}.png" for n in "abcd" for kind in ("mask", "overlay")}
    tables = {"summary.csv", "rocks.csv", "coco.json", "index.html"}
    assert {p.name for p in output.iterdir()} == names | tables
    mask = np.asarray(Image.open(output / "a_mask.png"))
    assert {tuple(c) for c in np.unique(mask.reshape(-1, 3), axis=0)} <= set(
        palette.CLASS_COLORS
    )
    for same in "cd":  # The same pixels in another mode.
        other = np.asarray(Image.open(output / f"{same}_mask.png"))
        np.testing.assert_array_equal(mask, other)
    assert Image.open(output / "b_mask.png").size == (333, 217)
    width, height = Image.open(output / "a_overlay.png").size
    assert width >= 720 and height > 480
    # The drawn frame's own classes, but for the edges that 128 px blur.
    truth = palette.class_ids(frame[1], rock_threshold=1)
    assert (palette.class_ids(mask) == truth).mean() > 0.95
    row = rows(output)["a.png"]
    shares = [float(row[name]) for name in palette.CLASS_NAMES]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        shares,
        np.bincount(palette.class_ids(mask).ravel(), minlength=4) / mask[..., 0].size,
        atol=1e-6,
    )
    assert int(row["rocks"]) >= 4 and int(row["largest_rock_px"]) > 1000
    assert (row["width"], row["height"], row["error"]) == ("720", "480", "")


def test_rocks_are_counted_by_hand(checkpoint, tmp_path):
    image = np.full((480, 720, 3), 116, np.uint8)
    image[100:140, 100:160] = 200
    image[300:340, 300:340] = 60
    image[400:406, 600:606] = 60  # Too small to count.
    Image.fromarray(image).save(tmp_path / "x.png")
    output = tmp_path / "out"
    flags = (f"--checkpoint={checkpoint}", f"--images={tmp_path / 'x.png'}")
    assert run(*flags, f"--output_dir={output}", "--min_rock_area=100") == 0
    row = rows(output)["x.png"]
    assert row["rocks"] == "2"
    assert 2000 < int(row["largest_rock_px"]) < 2700


def test_unreadable_files_are_reported_and_skipped(
    checkpoint, photos, tmp_path, caplog
):
    (photos / "empty.png").write_bytes(b"")
    (photos / "half.png").write_bytes((photos / "a.png").read_bytes()[:2000])
    output = tmp_path / "out"
    status = run(
        f"--checkpoint={checkpoint}",
        f"--images={photos}",
        f"--output_dir={output}",
        "--batch_size=2",
    )
    assert status == common.EXIT_SKIPPED
    assert "empty.png" in caplog.text and "half.png" in caplog.text
    summary = rows(output)
    assert "0 bytes" in summary["empty.png"]["error"]
    assert summary["empty.png"]["rocks"] == "" and summary["d.png"]["rocks"] != ""
    assert len(list(output.glob("*_mask.png"))) == 4
    assert not list(output.glob(".tmp*"))


def test_a_zip_a_glob_and_extra_outputs(checkpoint, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(photos / "a.png", "deep/a.png")
    output = tmp_path / "out"
    for images in (tmp_path / "p.zip", photos / "b*"):
        assert (
            run(
                f"--checkpoint={checkpoint}",
                f"--images={images}",
                f"--output_dir={output}",
                "--save_probabilities",
                "--save_uncertainty",
            )
            == 0
        )
    saved = np.load(output / "a_probabilities.npz")
    assert saved["probabilities"].shape == (480, 720, 4)
    assert saved["probabilities"].dtype == np.float16
    assert tuple(saved["class_names"]) == palette.CLASS_NAMES
    mask = palette.class_ids(np.asarray(Image.open(output / "a_mask.png")))
    agreement = saved["probabilities"].argmax(-1) == mask
    assert agreement.mean() > 0.999  # float16 ties aside.
    uncertainty = np.asarray(Image.open(output / "b_uncertainty.png"))
    assert uncertainty.shape == (217, 333) and uncertainty.dtype == np.uint8


def test_tiles_of_a_large_photo(checkpoint, frame, tmp_path):
    large = np.tile(frame[0], (2, 2, 1))
    Image.fromarray(large).save(tmp_path / "x.png")
    shares = []
    for flag in ("--notile", "--tile"):
        run(
            f"--checkpoint={checkpoint}",
            f"--images={tmp_path / 'x.png'}",
            f"--output_dir={tmp_path / flag}",
            flag,
        )
        mask = np.asarray(Image.open(tmp_path / flag / "x_mask.png"))
        truth = np.tile(palette.class_ids(frame[1], rock_threshold=1), (2, 2))
        shares.append((palette.class_ids(mask) == truth).mean())
    assert shares[1] > shares[0]


def test_python_predicts_as_the_command_does(checkpoint, photos, tmp_path):
    config = predict.PredictConfig(
        checkpoint=checkpoint, images=photos, output_dir=tmp_path / "a", tta=True
    )
    assert predict.predict(config) == 0
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}", "--tta")
    assert run(*flags, f"--output_dir={tmp_path / 'b'}") == 0
    for name in ("a_mask.png", "b_overlay.png", "summary.csv"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in "ab")
        assert one == other


@pytest.mark.parametrize("room", [segmenting.PREDICTED, 720 * 480])
def test_large_probabilities_are_held_one_at_a_time(
    checkpoint, photos, tmp_path, monkeypatch, room
):
    monkeypatch.setattr(segmenting, "PREDICTED", room)
    held, alive = [], []
    make = outputs.Pictures.make

    def spy(self, result):
        held.append(weakref.ref(result.prediction.probabilities))
        alive.append(sum(ref() is not None for ref in held))
        make(self, result)

    monkeypatch.setattr(outputs.Pictures, "make", spy)
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}", "--batch_size=4")
    assert run(*flags, f"--output_dir={tmp_path / 'out'}") == 0
    assert len(alive) == len(rows(tmp_path / "out")) == 4
    assert room > 720 * 480 or max(alive) == 1


def test_whatever_is_raised_costs_one_image_only(
    checkpoint, photos, tmp_path, monkeypatch, caplog
):
    make, views = outputs.Pictures.make, Predictor._views

    def write(self, result):
        if result.name == "a":
            raise KeyError("writing")
        make(self, result)

    def predict_views(self, images):
        if any(image.shape[0] == 217 for image in images):
            raise ZeroDivisionError("predicting")
        return views(self, images)

    def read(self):
        if self.name == "c":
            raise RecursionError("reading")
        return read_file(self)

    read_file = ImageFile.read
    monkeypatch.setattr(outputs.Pictures, "make", write)
    monkeypatch.setattr(Predictor, "_views", predict_views)
    monkeypatch.setattr(ImageFile, "read", read)
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}", "--batch_size=4")
    assert run(*flags, f"--output_dir={tmp_path / 'out'}") == common.EXIT_SKIPPED
    summary = rows(tmp_path / "out")
    assert [row["error"] for row in summary.values()] == [
        "KeyError: 'writing'",
        "ZeroDivisionError: predicting",
        "RecursionError: reading",
        "",
    ]
    assert [name[0] for name in summary] == list("abcd")
    assert (tmp_path / "out" / "d_mask.png").exists()
    assert "1 of 4 images segmented" in caplog.text


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (OSError, 1)])
def test_the_summary_of_what_is_done_survives_a_stop(
    checkpoint, photos, tmp_path, monkeypatch, error, status
):
    def stop_after_two(files, every):
        yield from files[:2]
        raise error("stopped")

    if error is KeyboardInterrupt:
        views = Predictor._views

        def interrupt(self, images):
            if images[0].shape[0] == 217:
                raise KeyboardInterrupt
            return views(self, images)

        monkeypatch.setattr(Predictor, "_views", interrupt)
    else:
        monkeypatch.setattr(predict, "with_frames", stop_after_two)
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}", "--batch_size=1")
    assert run(*flags, f"--output_dir={tmp_path / 'out'}") == status
    done = ["a.png"] if error is KeyboardInterrupt else ["a.png", "b.jpg"]
    assert list(rows(tmp_path / "out")) == done


@pytest.mark.parametrize(
    ("pattern", "output"),
    [
        ("photos", "photos/out"),
        ("photos", "."),
        ("photos", "photos"),
        ("photos/*", "photos"),
        ("photos/*.png", "."),
        ("photos/a.png", "."),
        ("photos/a.png", "photos"),
    ],
)
def test_images_in_and_below_the_output_folder_and_a_second_run(
    checkpoint, tmp_path, monkeypatch, pattern, output
):
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.jpg", "c.tif", "d.png"):
        Image.new("RGB", (60, 40), (116, 116, 116)).save(photos / name)
    expected = {path.name for path in photos.glob(pathlib.Path(pattern).name)}
    expected = expected or {path.name for path in photos.iterdir()}
    flags = (f"--checkpoint={checkpoint}", f"--images={pattern}", "--save_uncertainty")
    flags += ("--save_probabilities", f"--output_dir={output}")
    for _ in range(2):
        assert run(*flags) == 0
        assert set(rows(tmp_path / output)) == expected


def test_a_photo_elsewhere_may_be_called_like_a_result(checkpoint, photos, tmp_path):
    (photos / "a.png").rename(photos / "a_mask.png")
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}")
    assert run(*flags, f"--output_dir={tmp_path}") == 0
    assert "a_mask.png" in rows(tmp_path)


def test_a_mask_of_somebodys_own_beside_its_image_stays(checkpoint, photos, caplog):
    own = photos / "a_mask.png"
    own.write_bytes(b"drawn by hand")
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}")
    assert run(*flags, f"--output_dir={photos}") == 1
    assert f"{own} exists and would be written over" in caplog.text
    assert own.read_bytes() == b"drawn by hand"
    assert not (photos / "a_overlay.png").exists()


def test_a_further_page_of_somebodys_own_stays(
    checkpoint, photos, caplog, monkeypatch, tmp_path
):
    monkeypatch.setattr(result_files, "PAGE_IMAGES", 1)
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}")
    flags += (f"--output_dir={tmp_path}",)
    own = tmp_path / "index-2.html"
    own.write_text("my page")
    assert run(*flags) == 1
    assert f"{own} exists, would be written over" in caplog.text
    assert own.read_text() == "my page"
    own.unlink()
    assert run(*flags) == run(*flags) == 0  # A run's own pages are written anew.


def test_tables_that_an_earlier_run_left_are_warned_of(
    checkpoint, photos, caplog, tmp_path
):
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}")
    flags += (f"--output_dir={tmp_path}",)
    assert run(*flags) == 0
    assert "stays" not in caplog.text
    assert run(*flags, "--nococo") == 0
    assert f"{tmp_path / 'coco.json'} stays as an earlier run left it" in caplog.text
    assert "rocks.csv stays" not in caplog.text


def test_bad_input_is_one_line_and_writes_nothing(checkpoint, photos, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    for flag, message in (
        ("--images=", "--images is missing"),
        (f"--images={tmp_path / 'none*'}", "no images matched"),
        (f"--checkpoint={tmp_path / 'none.keras'}", "does not exist"),
        (f"--output_dir={tmp_path / 'file' / 'x'}", "cannot write"),
    ):
        caplog.clear()
        status = run(
            f"--checkpoint={checkpoint}",
            f"--images={photos}",
            f"--output_dir={tmp_path / 'out'}",
            flag,
        )
        assert status == 1 and message in caplog.text
        assert not list((tmp_path / "out").glob("*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(checkpoint, photos, tmp_path, caplog):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    status = run(
        f"--checkpoint={checkpoint}",
        f"--images={photos}",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert status == 1 and "cannot write" in caplog.text


def test_it_runs_as_a_command_from_another_folder(checkpoint, photos, tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            ROOT / "predict.py",
            f"--checkpoint={checkpoint}",
            "--images=photos/*.jpg",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "1 of 1 images segmented" in result.stderr
    assert (tmp_path / "predictions" / "b_overlay.png").is_file()


def test_without_a_run_the_starter_predicts_and_says_so(
    checkpoint, photos, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(starter.FILES, "starter", checkpoint)
    monkeypatch.chdir(tmp_path)
    assert run(f"--images={photos}/a.png", "--output_dir=first") == 0
    assert f"Weights: {checkpoint}" in caplog.text
    caplog.clear()
    folder = tmp_path / "runs" / "vgg16_unet" / "checkpoints"
    own = stand_in.save(folder / "vgg16_unet-001-0.5000.keras", size=64)
    entry = {"file": own.name, "epoch": 1, "monitor": "val_mean_iou", "score": 0.5}
    write_json(folder / "index.json", {"checkpoints": [entry]})
    assert run(f"--images={photos}/a.png", "--output_dir=second") == 0
    assert own.name in caplog.text and str(checkpoint) not in caplog.text
    flags = f"--images={photos}/a.png", "--output_dir=third", "--checkpoint=starter"
    assert run(*flags) == 0
    assert f"Weights: {checkpoint}" in caplog.text


def test_every_output_tells_of_the_same_rocks(checkpoint, photos, frame, tmp_path):
    test_video.draw(photos / "drive.mp4", count=4)
    (photos / "broken.mov").write_bytes(b"x")
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}", "--min_rock_area=20")
    output = tmp_path / "out"
    assert run(*flags, f"--output_dir={output}", "--video_step=2") == 2
    with open(output / "summary.csv", newline="") as file:
        summary = list(csv.DictReader(file))
    assert [row["time_s"] for row in summary] == [
        "",
        "",
        "0.000",
        "",
        "",
        "0.000",
        "0.400",
    ]
    with open(output / "rocks.csv", newline="") as file:
        rocks = collections.Counter(row["image"] for row in csv.DictReader(file))
    counted = collections.Counter()
    for row in summary:
        counted[row["image"]] += int(row["rocks"] or 0)
    assert rocks == +counted and rocks[str(photos / "a.png")] >= 4
    coco = COCO(output / "coco.json")
    for image in coco.loadImgs(coco.getImgIds()):
        name = image["file_name"]
        found = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert len(found) == rocks[str(photos / name)]
        picture = np.asarray(Image.open(output / f"{name[0]}_mask.png"))
        mask = palette.class_ids(picture)
        for annotation in found:
            pixels = coco.annToMask(annotation) > 0
            assert (mask[pixels] == annotation["category_id"]).all()
            assert pixels.sum() == annotation["area"] >= 20
    page = (output / "index.html").read_text()
    assert page.count("<article") == 5 and "damaged or truncated video" in page
    assert (output / "drive_overlay.mp4").exists()
    # What the run wrote is not predicted again.
    assert run(*flags, f"--output_dir={photos}") == 2
    before = rows(photos)
    assert run(*flags, f"--output_dir={photos}") == 2 and rows(photos) == before


def test_each_output_can_be_left_out(checkpoint, photos, tmp_path):
    test_video.draw(photos / "drive.mp4", count=1)
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}/[ad]*")
    flags += ("--nopage", "--norocks", "--nococo", "--novideo")
    assert run(*flags, f"--output_dir={tmp_path / 'out'}") == 0
    names = {f"{n}_{kind}.png" for n in "ad" for kind in ("mask", "overlay")}
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == names | {"summary.csv"}
    assert len(rows(tmp_path / "out")) == 3
    for flag, left in (("--nomasks", "overlay"), ("--nooverlays", "mask")):
        output = tmp_path / flag
        assert run(*flags, flag, f"--output_dir={output}") == 0
        names = {f"{n}_{left}.png" for n in "ad"} | {"summary.csv"}
        assert {path.name for path in output.iterdir()} == names


@pytest.mark.parametrize(
    ("package", "flag"), [("jinja2", "--nopage"), ("pycocotools", "--nococo")]
)
def test_a_missing_package_is_told_before_the_work(
    checkpoint, photos, tmp_path, monkeypatch, caplog, package, flag
):
    monkeypatch.setitem(sys.modules, package, None)
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}/a.png")
    assert run(*flags, f"--output_dir={tmp_path}") == 1
    assert f"{flag} leaves it out) needs {package}" in caplog.text
    assert not (tmp_path / "summary.csv").exists()
    assert run(*flags, f"--output_dir={tmp_path}", flag) == 0


@pytest.mark.parametrize("name", ["index.html", "coco.json", "rocks.csv"])
def test_a_page_or_table_of_somebodys_own_stays(checkpoint, photos, caplog, name):
    own = photos / name
    own.write_bytes(b"mine")
    flags = (f"--checkpoint={checkpoint}", f"--images={photos}")
    assert run(*flags, f"--output_dir={photos}") == 1
    assert f"{own} exists" in caplog.text and own.read_bytes() == b"mine"
    assert not (photos / "a_overlay.png").exists()

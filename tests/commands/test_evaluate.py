import base64
import io
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import lunar_tfds
from commands import common, evaluate, predict
from lunar_tfds import palette
from model.evaluation import bootstrap, scoring
from model.inference.predictor import Predictor
from pipeline import batching
from tests.support import stand_in

ROOT = pathlib.Path(__file__).parents[2]
# Ten of the drawn frames: enough for four worst and four best.
SPLIT = "train[:4]+validation+test"
NUM_FRAMES = 10


@pytest.fixture(autouse=True, scope="module")
def few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "BOOTSTRAP_RESAMPLES", 200)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return stand_in.save(tmp_path_factory.mktemp("run") / "a.keras", size=128, blur=3)


@pytest.fixture(scope="module")
def scored(checkpoint, tiny_data_dir, tmp_path_factory):
    """Metrics of some drawn frames, and the folder they were written to."""
    output = tmp_path_factory.mktemp("evaluation") / "deep" / "er"
    status = stand_in.run(
        evaluate,
        f"--checkpoint={checkpoint}",
        f"--data_dir={tiny_data_dir}",
        f"--split={SPLIT}",
        f"--output_dir={output}",
    )
    assert status == 0
    return json.loads((output / "metrics.json").read_text()), output


def test_metrics_hold_everything_promised(scored):
    metrics, output = scored
    assert sorted(p.name for p in output.iterdir()) == ["metrics.json", "report.html"]
    assert metrics["num_examples"] == NUM_FRAMES == len(metrics["frames"])
    assert metrics["split"] == SPLIT
    assert metrics["protocol"] is None and metrics["mask"] == "ground"
    for name in ("iou_per_class", "dice_per_class"):
        assert list(metrics[name]) == list(palette.CLASS_NAMES)
    assert 0.5 < metrics["mean_iou"] < metrics["mean_dice"] < 1
    low, high = metrics["confidence_intervals_95"]["mean_iou"]
    assert low < metrics["mean_iou"] < high
    assert 0 < metrics["expected_calibration_error"] < 0.2
    assert 0 < metrics["rock_iou"] < metrics["rock_dice"] < 1
    pixels = np.sum(metrics["confusion_matrix"])
    assert pixels == NUM_FRAMES * 480 * 720
    assert metrics["dataset"]["source_fingerprint"]
    sizes = metrics["rock_sizes"]
    hits = sum(row["true_positives"] for row in sizes)
    wrong = sum(row["false_positives"] + row["false_negatives"] for row in sizes)
    assert metrics["rock_iou"] == pytest.approx(hits / (hits + wrong))


def test_one_path(scored, checkpoint, tiny_data_dir, tiny_folder, tmp_path):
    """evaluate.py, predict.py and Predictor give a frame the same mask."""
    metrics, _ = scored
    builder = tfds.builder("lunar_rocks", data_dir=tiny_data_dir)
    examples = batching.example_dataset(builder, batching.Selection("train"))
    example = next(examples.as_numpy_iterator())
    name = example["frame_id"].decode()
    [file] = (tiny_folder / "images" / "render").glob(f"*{name[-4:]}.png")
    flags = (f"--checkpoint={checkpoint}", f"--images={file}")
    assert stand_in.run(predict, *flags, f"--output_dir={tmp_path}") == 0
    written = Image.open(tmp_path / f"{file.stem}_mask.png").convert("RGB")
    mask = Predictor(checkpoint, batch_size=3)(example["image"]).mask
    np.testing.assert_array_equal(np.asarray(written), palette.colorize(mask))
    [frame] = [f for f in metrics["frames"] if f["frame_id"] == name]
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (example["mask"], mask), 1)
    assert frame["confusion_matrix"] == counts.tolist()


def test_moon_photos_are_scored_at_their_masks_size(
    checkpoint, tiny_data_dir, tmp_path
):
    status = stand_in.run(
        evaluate,
        f"--checkpoint={checkpoint}",
        f"--data_dir={tiny_data_dir}",
        *("--split=real", "--tta", f"--output_dir={tmp_path}"),
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert status == 0 and metrics["num_examples"] == 2 and metrics["tta"]
    # One photo is 900x600, and its mask 720x480 as the other's.
    assert np.sum(metrics["confusion_matrix"]) == 2 * 480 * 720
    assert "Only 2 frames" in (tmp_path / "report.html").read_text()


def test_real_photos_and_frames(checkpoint, tmp_path):
    folder = os.environ.get("LUNAR_REAL_FRAMES")
    if not folder:
        pytest.skip("set LUNAR_REAL_FRAMES to the folder that holds images/")
    lunar_tfds.LunarRocks(data_dir=tmp_path).download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )
    flags = (f"--checkpoint={checkpoint}", f"--data_dir={tmp_path}")
    output = tmp_path / "out"
    status = stand_in.run(
        evaluate, *flags, "--split=train+real", f"--output_dir={output}"
    )
    assert status == 0
    metrics = json.loads((output / "metrics.json").read_text())
    for frame in metrics["frames"]:
        # TCAM3 is a larger picture than its mask; all photos' masks are 777x571.
        size = 720 * 480 if frame["frame_id"].isdigit() else 777 * 571
        assert np.sum(frame["confusion_matrix"]) == size
    # The stand-in knows that black is sky, which most of it is.
    assert metrics["iou_per_class"]["sky"] > 0.2


def test_a_baseline(scored, checkpoint, tiny_data_dir, tmp_path):
    _, output = scored
    blurred = stand_in.save(tmp_path / "b.keras", size=64, blur=5, sharpness=20)
    flags = (
        f"--data_dir={tiny_data_dir}",
        f"--split={SPLIT}",
        f"--baseline={output / 'metrics.json'}",
    )
    worse = stand_in.run(
        evaluate, f"--checkpoint={blurred}", *flags, f"--output_dir={tmp_path / 'w'}"
    )
    assert worse == common.EXIT_WORSE
    metrics = json.loads((tmp_path / "w" / "metrics.json").read_text())
    assert metrics["comparison"]["changes"]["mean_iou"]["interval_95"][1] < 0
    assert "worse than" in (tmp_path / "w" / "report.html").read_text()
    again = stand_in.run(
        evaluate, f"--checkpoint={checkpoint}", *flags, f"--output_dir={tmp_path / 's'}"
    )
    assert again == 0


def test_a_baseline_of_other_frames_writes_nothing(
    scored, checkpoint, tiny_data_dir, tmp_path, monkeypatch, caplog
):
    def evaluate_frames(*_, **__):
        raise AssertionError("the scoring has begun")

    monkeypatch.setattr(scoring, "evaluate", evaluate_frames)
    _, output = scored
    status = stand_in.run(
        evaluate,
        f"--checkpoint={checkpoint}",
        f"--data_dir={tiny_data_dir}",
        f"--baseline={output / 'metrics.json'}",
        *("--split=test", f"--output_dir={tmp_path}"),
    )
    assert status == 1 and not list(tmp_path.iterdir())
    assert "other frames" in caplog.text


def test_scores_are_not_lost_for_a_baseline_that_does_not_fit_after_all(
    scored, checkpoint, tiny_data_dir, tmp_path, caplog
):
    metrics, _ = scored  # With other masks, as of another dataset:
    frames = [f | {"confusion_matrix": np.eye(4).tolist()} for f in metrics["frames"]]
    (tmp_path / "other.json").write_text(json.dumps(metrics | {"frames": frames}))
    status = stand_in.run(
        evaluate,
        f"--checkpoint={checkpoint}",
        f"--data_dir={tiny_data_dir}",
        f"--baseline={tmp_path / 'other.json'}",
        *(f"--split={SPLIT}", f"--output_dir={tmp_path / 'out'}"),
    )
    assert status == 1 and "has another mask in the baseline" in caplog.text
    assert f"The scores alone are in {tmp_path / 'out'}" in caplog.text
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["num_examples"] == NUM_FRAMES and "comparison" not in written


def test_bad_input_is_one_line(checkpoint, tiny_data_dir, tmp_path, caplog):
    truncated = tmp_path / "t.keras"
    truncated.write_bytes(checkpoint.read_bytes()[:5000])
    (tmp_path / "file").write_text("")
    (tmp_path / "baseline.json").write_text('{"frames": ')
    for flag, message in (
        (f"--checkpoint={truncated}", "truncated"),
        (f"--checkpoint={tmp_path}", "no index.json"),
        (f"--data_dir={tmp_path}", "tfds build"),
        ("--split=nothing", "no split"),
        ("--protocol=lunarsite", "needs all"),
        (f"--output_dir={tmp_path / 'file'}", "cannot write"),
        (f"--baseline={tmp_path / 'baseline.json'}", "cannot read the baseline"),
    ):
        caplog.clear()
        status = stand_in.run(
            evaluate,
            f"--checkpoint={checkpoint}",
            f"--data_dir={tiny_data_dir}",
            f"--output_dir={tmp_path / 'out'}",
            flag,
        )
        assert status == 1 and message in caplog.text, (flag, caplog.text)
        assert not list((tmp_path / "out").glob("*"))


def test_the_launcher_exits_with_the_commands_status(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"--checkpoint={tmp_path}"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(ROOT / "evaluate.py", run_name="__main__")
    assert end.value.code == 1
    assert "Traceback" not in caplog.text and "no checkpoint" in caplog.text


def test_python_evaluates_as_the_command_does(
    scored, checkpoint, tiny_data_dir, tmp_path
):
    metrics, _ = scored
    config = evaluate.EvaluateConfig(
        checkpoint=checkpoint,
        data_dir=str(tiny_data_dir),
        split=SPLIT,
        output_dir=tmp_path,
    )
    assert evaluate.evaluate(config) == 0
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def test_the_report_needs_nothing_else(scored):
    page = (scored[1] / "report.html").read_text()
    assert_leads_nowhere(page)
    encoded = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    assert len(encoded) == 4 * 2 * scoring.NUM_PICTURED
    for data in encoded:
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (480, 320)
    charts = re.findall(r'"data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(charts) == 2 * 2  # Each for a light and a dark page.
    for data in charts:
        assert_leads_nowhere(base64.b64decode(data).decode())


def assert_leads_nowhere(page):
    """Checks that no address on a page, or in a chart, leads outside of it."""
    addresses = re.findall(r'(?:src|srcset|href)\s*=\s*"([^"]{0,30})', page)
    addresses += re.findall(r"url\(([^)]{0,30})", page)
    assert addresses and all(a.startswith(("data:", "#")) for a in addresses)
    assert "<script" not in page and "@import" not in page
    # Base64 may spell anything. The names of XML's vocabularies are no addresses.
    rest = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    rest = re.sub(r'xmlns(?::\w+)?="[^"]+"', "", rest)
    assert "http" not in rest


def find_browser():
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    return pytest.skip("no browser: install chromium to look at the report in it")


# Runs in a copy of the report when all is loaded, and says what it sees.
PROBE = """<script>
window.problems = [];
addEventListener("error", e => problems.push(String(e.message || e.target.src)), true);
addEventListener("load", () => {
  const seen = [...document.images].map(i => [i.naturalWidth, i.clientWidth]);
  const charts = [...document.querySelectorAll("picture")].map(
    p => p.querySelector("img").currentSrc === p.querySelector("source").srcset);
  const wide = document.documentElement.scrollWidth - innerWidth;
  document.title = JSON.stringify({seen, charts, wide, problems});
});
</script>"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_the_report(scored, tmp_path, scheme):
    browser = find_browser()
    page = (scored[1] / "report.html").read_text()
    probe = tmp_path / "report.html"
    probe.write_text(page.replace("<head>", f"<head>{PROBE}", 1))
    picture = tmp_path / "report.png"
    common = [
        *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
        *("--window-size=1200,2600", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *(["--force-dark-mode"] if scheme == "dark" else []),
    ]
    result = subprocess.run(
        [*common, "--dump-dom", f"--screenshot={picture}", probe.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in result.stderr, result.stderr
    title = re.search(r"<title>(.*?)</title>", result.stdout).group(1)
    found = json.loads(title.replace("&quot;", '"'))
    assert found["problems"] == [] and found["wide"] <= 0
    assert len(found["seen"]) == 8 * scoring.NUM_PICTURED + 2
    assert all(natural > 0 and shown > 100 for natural, shown in found["seen"])
    assert found["charts"] == [scheme == "dark"] * 2
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
    red = (pixels == (255, 0, 0)).all(-1)
    assert red.sum() > 1000  # The sky of truth and prediction.
    background = pixels[5, 5].mean()
    assert background > 200 if scheme == "light" else background < 60

import errno
import os
import re

import numpy as np
import psutil
import pytest
import tensorflow as tf

from benchmarks import export as export_benchmark
from commands import common, export
from commands.export import ExportConfig
from lunar_tfds.ownership import owned
from model.evaluation import bootstrap
from model.export import formats, sample_images, verification
from model.export.runtimes import Cost
from tests.support import stand_in


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return stand_in.save(tmp_path_factory.mktemp("run") / "a.keras", size=64, blur=3)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(formats, "TIMED_RUNS", 2)
    monkeypatch.setattr(bootstrap, "BOOTSTRAP_RESAMPLES", 20)


@pytest.fixture
def unmeasured(monkeypatch):
    """Starts no process to measure an artifact in: one that has TensorFlow is slow."""
    monkeypatch.setattr(formats, "cost", lambda *_: Cost(1.0, None))


@pytest.fixture
def run(checkpoint, tiny_data_dir):

    def call(*flags):
        return stand_in.run(
            export, f"--checkpoint={checkpoint}", f"--data_dir={tiny_data_dir}", *flags
        )

    return call


def card_rows(path):
    """Returns the card's table as {name: (checkpoint, artifact)}."""
    text = path.with_name(f"{path.name}.md").read_text()
    return {
        m[1]: (m[2], m[3]) for m in re.finditer(r"\| (.+?) \| (.+?) \| (.+?) \|", text)
    }


def test_two_exports_to_one_place_are_refused(tmp_path, run, caplog):
    with owned(tmp_path / "m.onnx", "--output"):
        names = sorted(tmp_path.iterdir())
        assert run("--format=onnx", f"--output={tmp_path / 'm.onnx'}") == 1
        assert sorted(tmp_path.iterdir()) == names
    assert f"m.onnx is being written by process {os.getpid()} on" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "/tmp/x; No space left on device"),
    ],
)
def test_a_full_disk_is_one_line_that_names_the_output(
    error, tmp_path, run, monkeypatch, caplog
):
    def write(*_):
        raise error

    monkeypatch.setattr(formats, "write", write)
    assert run("--format=saved_model", f"--output={tmp_path / 'm'}") == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert f"could not write {tmp_path / 'm'}: " in line and "\n" not in line
    assert "No space left on device" in line and "Free some space" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_an_artifact_is_scored_beside_its_checkpoint(tmp_path, run, kind):
    path = tmp_path / "deep" / f"m{formats.FORMATS[kind].suffix}"
    few = ["--calibration_images=8"] * formats.FORMATS[kind].is_calibrated
    assert run(f"--format={kind}", f"--output={path}", *few) == 0
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.name}.md"}
    rows = card_rows(path)
    before, after = map(float, rows["mean iou"])
    assert before > 0.4 and after == pytest.approx(before, abs=0.01)
    assert float(rows["latency, ms an image"][1]) > 0
    mask, probabilities = formats.load(path, kind)(np.zeros((2, 64, 64, 3), np.uint8))
    assert mask.shape == (2, 64, 64) and probabilities.shape == (2, 64, 64, 4)
    text = path.with_name(f"{path.name}.md").read_text()
    assert "uint8 [N, 64, 64, 3]" in text and "CC BY-NC-SA" in text


def test_a_fall_of_quality_fails_unless_allowed(
    tmp_path, run, unmeasured, monkeypatch, caplog
):
    def broken(path, kind):
        def sky(images):
            mask = np.ones(images.shape[:3], np.int32)
            return mask, np.eye(4, dtype=np.float32)[mask]

        return sky

    monkeypatch.setattr(formats, "load", broken)
    flags = ("--format=saved_model", f"--output={tmp_path / 'm'}")
    assert run(*flags) == common.EXIT_WORSE
    assert "--allow_drop" in caplog.text and not list(tmp_path.iterdir())
    assert run(*flags, "--allow_drop") == 0
    before, after = map(float, card_rows(tmp_path / "m")["mean iou"])
    assert after < before - 0.1


def test_it_runs_from_python(tmp_path, checkpoint, tiny_data_dir, monkeypatch):
    # As under `taskset` or in a container: fewer cores than the machine has.
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: [0], raising=False)
    output = tmp_path / "m.onnx"
    config = ExportConfig(
        *(str(checkpoint), "onnx", str(output)), data_dir=str(tiny_data_dir)
    )
    assert export.export(config) == 0
    assert float(card_rows(output)["mean iou"][0]) > 0.4
    assert "on 1 CPU cores" in output.with_name("m.onnx.md").read_text()


def test_its_own_work_is_replaced_and_that_of_others_is_not(
    tmp_path, run, unmeasured, checkpoint, caplog
):
    flags = ("--format=saved_model", f"--output={tmp_path / 'm'}")
    assert run(*flags) == run(*flags) == 0
    for path in ("photos/a.txt", "n", "o.onnx", "p.onnx.md"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("dear")
    (tmp_path / "b.keras").hardlink_to(checkpoint)
    weights = checkpoint.read_bytes()
    before = sorted(tmp_path.rglob("*"))
    for kind, name, message in (
        ("onnx", "photos", "would be replaced"),
        ("saved_model", "photos", "would be replaced"),
        ("saved_model", "n", "is a file, and a SavedModel is a folder"),
        ("onnx", "o.onnx", "o.onnx was not made by export.py"),
        ("onnx", "p.onnx", "p.onnx.md was not made by export.py"),
        ("onnx", "m.tflite", "--output=m.onnx"),
        ("saved_model", "b.keras", "--output=b"),
    ):
        caplog.clear()
        assert run(f"--format={kind}", f"--output={tmp_path / name}") == 1
        assert message in caplog.text and "Traceback" not in caplog.text
    assert sorted(tmp_path.rglob("*")) == before
    for path in ("photos/a.txt", "n", "o.onnx", "p.onnx.md"):
        assert (tmp_path / path).read_text() == "dear"
    assert checkpoint.read_bytes() == weights
    output = tmp_path / "o.onnx"
    assert run("--format=onnx", f"--output={output}", "--overwrite") == 0
    assert "mean iou" in card_rows(output) and output.read_bytes() != b"dear"


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, run, caplog):
    (tmp_path / "file").write_text("")
    for flag, message in (
        ("--output=", "--output is missing"),
        (f"--checkpoint={tmp_path / 'none.keras'}", "does not exist"),
        (f"--data_dir={tmp_path}", "tfds build"),
        ("--split=nothing", "no split"),
        (f"--output={tmp_path / 'file' / 'm'}", "a file lies at"),
        ("--calibration_images=0", "must be at least 8"),
        ("--calibration_images=9", "does nothing with --format=onnx"),
        ("--calibration_split=test", "or use --format=onnx_int8 or litert_int8"),
    ):
        caplog.clear()
        status = run("--format=onnx", f"--output={tmp_path / 'out' / 'm'}", flag)
        assert status == 1 and message in caplog.text, (flag, caplog.text)
        assert not list((tmp_path / "out").glob("*"))


def test_wrong_splits_are_refused_before_anything_is_written(
    tmp_path, run, monkeypatch, caplog
):
    def write(*_):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(formats, "write", write)
    for flag in ("--split=nothing", "--calibration_split=nothing"):
        caplog.clear()
        assert run("--format=litert_int8", f"--output={tmp_path / 'm'}", flag) == 1
        assert "no split 'nothing'" in caplog.text


def test_unfit_calibration_images_are_refused_before_anything_is_written(
    tmp_path, run, monkeypatch, caplog
):
    def write(*_):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(formats, "write", write)
    flags = ("--format=onnx_int8", f"--output={tmp_path / 'm.onnx'}")
    assert run(*flags, "--calibration_split=train[:2]") == 1
    assert "train[:2] holds 2 frames, and int8 needs 8 or more" in caplog.text
    monkeypatch.setattr(sample_images, "FEWEST_IMAGES", 1)
    ground = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), int)}
    with pytest.raises(ValueError, match="shows no sky and no small_rock and no"):
        sample_images.calibration_images(
            tf.data.Dataset.from_tensors(ground), 16, 9, "photos"
        )
    assert not list(tmp_path.iterdir())


def test_the_benchmark_puts_every_format_beside_the_checkpoint(
    checkpoint, tiny_data_dir
):
    config = export_benchmark.Benchmark(
        formats=("onnx", "litert_int8"),
        data_dir=str(tiny_data_dir),
        split="validation",
        calibration_images=8,
    )
    measured = export_benchmark.measure(config, str(checkpoint))
    assert [one.title for one in measured] == ["checkpoint", "onnx", "litert_int8"]
    assert measured[1].mean_iou == pytest.approx(measured[0].mean_iou, abs=1e-3)
    sizes = [one.size_bytes for one in measured]
    assert min(sizes) > 0 and len(set(sizes)) == 3
    table = export_benchmark.table({"first": measured, "second": measured})
    header, _, *rows = table.splitlines()
    assert header.startswith("| network | format | mean IoU | ground | sky |")
    assert [row.split(" | ")[:2] for row in rows] == [
        [f"| {name}", kind]
        for name in ("first", "second")
        for kind in ("checkpoint", "onnx", "litert_int8")
    ]


def test_an_interrupted_export_leaves_what_was_there(
    tmp_path, run, unmeasured, monkeypatch
):
    flags = ("--format=saved_model", f"--output={tmp_path / 'm'}")
    assert run(*flags) == 0
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "measure_artifact", interrupted)
    assert run(*flags) == 130
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == before

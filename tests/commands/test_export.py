import re

import numpy as np
import pytest

from commands import export
from model.export import formats
from tests.support import stand_in


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return stand_in.save(tmp_path_factory.mktemp("run") / "a.keras", size=64, blur=3)


@pytest.fixture
def run(checkpoint, tiny_data_dir, monkeypatch):
    monkeypatch.setattr(export, "TIMED_RUNS", 2)
    monkeypatch.setattr(export.scoring, "BOOTSTRAP_RESAMPLES", 20)

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


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_an_artifact_is_scored_beside_its_checkpoint(tmp_path, run, kind):
    path = tmp_path / "deep" / f"m{formats.SUFFIXES[kind]}"
    assert run(f"--format={kind}", f"--output={path}", "--calibration_images=8") == 0
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.name}.md"}
    rows = card_rows(path)
    before, after = map(float, rows["mean iou"])
    assert before > 0.4 and after == pytest.approx(before, abs=0.01)
    assert float(rows["latency, ms an image"][1]) > 0
    mask, probabilities = formats.load_artifact(path, kind)(
        np.zeros((2, 64, 64, 3), np.uint8)
    )
    assert mask.shape == (2, 64, 64) and probabilities.shape == (2, 64, 64, 4)
    text = path.with_name(f"{path.name}.md").read_text()
    assert "uint8 [N, 64, 64, 3]" in text and "CC BY-NC-SA" in text


def test_a_fall_of_quality_fails_unless_allowed(tmp_path, run, monkeypatch, caplog):
    def broken(path, kind):
        def sky(images):
            mask = np.ones(images.shape[:3], np.int32)
            return mask, np.eye(4, dtype=np.float32)[mask]

        return sky

    monkeypatch.setattr(formats, "load_artifact", broken)
    flags = ("--format=saved_model", f"--output={tmp_path / 'm'}")
    assert run(*flags) == export.EXIT_DROP
    assert "--allow_drop" in caplog.text and not list(tmp_path.iterdir())
    assert run(*flags, "--allow_drop") == 0
    before, after = map(float, card_rows(tmp_path / "m")["mean iou"])
    assert after < before - 0.1


def test_a_saved_model_is_replaced_and_other_folders_are_not(tmp_path, run, caplog):
    flags = ("--format=saved_model", f"--output={tmp_path / 'm'}")
    assert run(*flags) == run(*flags) == 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("dear")
    assert run("--format=onnx", f"--output={tmp_path / 'photos'}") == 1
    assert "would be replaced" in caplog.text
    assert (tmp_path / "photos" / "a.txt").read_text() == "dear"


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, run, caplog):
    (tmp_path / "file").write_text("")
    for flag, message in (
        ("--output=", "--output is missing"),
        (f"--checkpoint={tmp_path / 'none.keras'}", "does not exist"),
        (f"--data_dir={tmp_path}", "tfds build"),
        ("--split=nothing", "no split"),
        (f"--output={tmp_path / 'file' / 'm'}", "cannot write"),
    ):
        caplog.clear()
        status = run("--format=onnx", f"--output={tmp_path / 'out' / 'm'}", flag)
        assert status == 1 and message in caplog.text, (flag, caplog.text)
        assert not list((tmp_path / "out").glob("*"))

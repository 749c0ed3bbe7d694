"""A dataset with one kind of mask trains, evaluates, exports its error, previews."""

import json
import shutil

import pytest

from commands import evaluate, train
from lunar_tfds import kaggle_layout
from pipeline import preview
from tests.support import building, stand_in, tiny_frames
from tests.support.narrow import make_narrow

SMALL = ("--image_size=32", "--encoder_weights=none", "--global_batch_size=2")


@pytest.fixture(scope="module", params=kaggle_layout.MASKS)
def half(request, tmp_path_factory):
    """Returns (kind of mask, the absent kind, data_dir)."""
    (absent,) = set(kaggle_layout.MASKS) - {request.param}
    folder = tmp_path_factory.mktemp("kaggle")
    tiny_frames.write_kaggle_folder(folder, num_frames=4, num_photos=0)
    shutil.rmtree(folder / "images" / absent)
    data_dir = tmp_path_factory.mktemp("data")
    building.build(folder, data_dir)
    return request.param, absent, data_dir


def assert_refused(half, caplog, module, *flags):
    mask, absent, data_dir = half
    assert stand_in.run(module, *flags, f"--data_dir={data_dir}") == 1
    line = caplog.records[-1].getMessage()
    assert f"has no {absent}_mask, only {mask}_mask: use --mask={mask}" in line
    assert "\n" not in line


def test_a_run_on_the_mask_there_is(half, tmp_path, monkeypatch):
    make_narrow(monkeypatch)
    mask, _, data_dir = half
    workdir = tmp_path / "run"
    status = stand_in.run(
        train,
        *SMALL,
        *("--train_split=train[:2]", "--epochs=1", "--panels=1", f"--mask={mask}"),
        *("--class_balance=0.5", f"--data_dir={data_dir}", f"--workdir={workdir}"),
    )
    assert status == 0
    output = tmp_path / "report"
    status = stand_in.run(
        evaluate,
        *(f"--checkpoint={workdir}", f"--data_dir={data_dir}", "--split=validation"),
        f"--output_dir={output}",
    )
    assert status == 0
    assert json.loads((output / "metrics.json").read_text())["mask"] == mask


def test_the_absent_mask_is_refused_before_any_work(half, tmp_path, caplog):
    _, absent, _ = half
    workdir = tmp_path / "run"
    flags = (*SMALL, f"--mask={absent}", f"--workdir={workdir}")
    assert_refused(half, caplog, train, *flags)
    checkpoint = stand_in.save(tmp_path / "a.keras", mask=absent)
    flags = (f"--checkpoint={checkpoint}", f"--output_dir={tmp_path / 'report'}")
    assert_refused(half, caplog, evaluate, *flags, "--split=train")
    assert not list(workdir.rglob("*.keras"))


def test_the_preview_of_the_mask_there_is(half, tmp_path):
    mask, absent, data_dir = half
    output = tmp_path / "sheet.png"
    asked = preview.Preview(
        output=str(output), data_dir=str(data_dir), mask=mask, examples=1, epochs=1
    )
    preview.main(asked)
    assert output.stat().st_size > 1000
    asked = preview.Preview(output=str(output), data_dir=str(data_dir), mask=absent)
    with pytest.raises(ValueError, match=f"has no {absent}_mask, only {mask}_mask"):
        preview.main(asked)

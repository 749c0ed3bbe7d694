import json

import numpy as np
import pytest
import tensorflow as tf

from lunar_tfds.atomic_files import atomic_path, remove_temporary_files, write_text
from model.training.config import TrainConfig
from model.training.run_config import (
    check_config,
    run_config,
    run_name,
    write_config,
)
from model.training.run_state import (
    Progress,
    Saver,
    load_state,
    read_progress,
    save_state,
)


def some_variables(size=3):
    return [tf.Variable(np.arange(size, dtype=np.float32)), tf.Variable(7, tf.int64)]


def a_progress():
    return Progress(
        confusion=np.eye(4, dtype=np.int64) * 2**40,
        epoch=2,
        step=1,
        loss_sum=0.1,
        history=[{"epoch": 1, "loss": 1 / 3, "val_iou_sky": float("nan")}],
        callbacks={"EarlyStopping": {"best": 0.5, "wait": 1}},
    )


def test_a_state_comes_back_to_the_last_bit(tmp_path):
    saved = some_variables()
    save_state(tmp_path, saved, a_progress())
    fresh = [tf.Variable(tf.zeros_like(variable)) for variable in saved]
    progress = load_state(tmp_path, fresh)
    for one, other in zip(saved, fresh, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(progress.confusion, a_progress().confusion)
    assert progress.history[0]["loss"] == 1 / 3
    assert np.isnan(progress.history[0]["val_iou_sky"])
    assert (progress.epoch, progress.step, progress.loss_sum) == (2, 1, 0.1)
    assert progress.callbacks == a_progress().callbacks
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_no_state_is_none(tmp_path):
    assert load_state(tmp_path, some_variables()) is None
    assert read_progress(tmp_path) is None


def test_a_damaged_state_and_other_variables_are_refused(tmp_path):
    save_state(tmp_path, some_variables(), a_progress())
    with pytest.raises(ValueError, match="do not match"):
        load_state(tmp_path, some_variables(size=4))
    with pytest.raises(ValueError, match="do not match"):
        load_state(tmp_path, some_variables()[:1])
    path = tmp_path / "state.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged"):
        load_state(tmp_path, some_variables())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": 1}, "speed in it is unknown here, and nothing is missing"),
        ({"waited": None}, "nothing in it is unknown here, and waited is missing"),
        ({"waited": None, "a": 1, "b": 2}, "a, b in it is .* and waited is missing"),
        ({"order": 1}, r"examples come in another order there \(1, here 3\)"),
        ({"order": None}, "nothing in it is unknown here, and order is missing"),
    ],
)
def test_a_state_of_another_version_is_refused(change, message, tmp_path):
    save_state(tmp_path, some_variables(), a_progress())
    with np.load(tmp_path / "state.npz") as archive:
        arrays = dict(archive)
    fields = json.loads(str(arrays["progress"])) | change
    fields = {name: value for name, value in fields.items() if value is not None}
    arrays["progress"] = np.array(json.dumps(fields))
    np.savez(tmp_path / "state.npz", **arrays)
    for read in (read_progress, lambda folder: load_state(folder, some_variables())):
        with pytest.raises(ValueError, match=f"another version .*: {message}.*--work"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("progress", None),
        ("progress", "[1]"),
        ("progress", "nonsense"),
        ("confusion", None),
        ("variable_0", None),
    ],
)
def test_a_state_with_a_part_lost_or_spoilt_is_refused(name, content, tmp_path):
    save_state(tmp_path, some_variables(), a_progress())
    with np.load(tmp_path / "state.npz") as archive:
        arrays = dict(archive)
    del arrays[name]
    if content:
        arrays[name] = np.array(content)
    np.savez(tmp_path / "state.npz", **arrays)
    with pytest.raises(ValueError, match="damaged"):
        load_state(tmp_path, some_variables())


def test_the_saver_saves_in_its_time_and_for_the_chief_only(tmp_path):
    class Trainer:
        variables, progress = some_variables(), a_progress()

    assert not Saver(tmp_path, Trainer, minutes=10).is_due()
    assert Saver(tmp_path, Trainer, minutes=0).is_due()
    other = Saver(tmp_path, Trainer, minutes=0, chief=False)
    assert not other.is_due()
    other.save()
    assert not any(tmp_path.iterdir())


def test_an_error_while_writing_harms_nothing(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="could not write .*file.txt.*Nothing saved"):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")
    with pytest.raises(RuntimeError):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="could not write .*state.npz"):
        save_state(tmp_path / "file" / "run", some_variables(), a_progress())


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / ".tmp-123-state.npz").write_text("half")
    (tmp_path / "state.npz").write_text("whole")
    remove_temporary_files(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]


class Built:
    """What `run_config` asks of a builder."""

    name, version, builder_config = "lunar_rocks", "1.0.0", None

    class info:
        metadata = {"source_fingerprint": "abc"}


def config(**changes):
    return run_config(TrainConfig(**{"epochs": 5, "image_size": 64} | changes), Built)


def test_the_same_configuration_continues(tmp_path):
    write_config(tmp_path, config() | {"derived": {"replicas": 1}})
    assert check_config(tmp_path, config(image_size=80)) is None
    (tmp_path / "state.npz").touch()
    assert check_config(tmp_path, config()) == 5
    assert check_config(tmp_path, config(epochs=9, cache="memory")) == 5


def test_another_configuration_is_refused_saying_what_differs(tmp_path):
    write_config(tmp_path, config())
    (tmp_path / "state.npz").touch()
    with pytest.raises(ValueError, match="image_size was 64 and is 80.*--workdir"):
        check_config(tmp_path, config(image_size=80))
    with pytest.raises(ValueError, match="only grow: was 5 and is 4"):
        check_config(tmp_path, config(epochs=4))
    with pytest.raises(ValueError, match="exclude_defects was .* and is"):
        check_config(tmp_path, config(exclude_defects=("shadow",)))
    other = config()
    other |= {"dataset": other["dataset"] | {"source_fingerprint": "xyz"}}
    with pytest.raises(ValueError, match="source_fingerprint was 'abc' and is 'xyz'"):
        check_config(tmp_path, other)


def test_a_run_goes_on_with_a_lower_learning_rate_and_says_so(tmp_path, caplog):
    write_config(tmp_path, config(learning_rate=1.0))
    (tmp_path / "state.npz").touch()
    assert check_config(tmp_path, config(learning_rate=0.001)) == 5
    assert "learning_rate was 1.0 and is 0.001 from here on" in caplog.text


def test_a_run_keeps_its_name_until_its_state_is_gone(tmp_path):
    first = run_name(tmp_path)
    write_config(tmp_path, config() | {"run": first})
    assert run_name(tmp_path) != first  # A start that failed: nothing was written.
    (tmp_path / "state.npz").touch()
    assert run_name(tmp_path) == first
    (tmp_path / "config.json").write_text("[]")
    assert run_name(tmp_path) != first


def test_a_state_that_is_not_finite_is_refused_and_says_what_to_do(tmp_path):
    broken = [tf.Variable([1.0, np.nan, 2.0]), tf.Variable(7, tf.int64)]
    save_state(tmp_path, broken, a_progress())
    with pytest.raises(ValueError, match="not finite.*Remove it.*another --workdir"):
        load_state(tmp_path, some_variables())


def test_a_foreign_config_is_refused(tmp_path):
    (tmp_path / "state.npz").touch()
    with pytest.raises(ValueError, match="not the configuration of a run"):
        check_config(tmp_path, config())
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="not the configuration of a run"):
        check_config(tmp_path, config())

import csv
import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from absl import flags

from commands import train
from lunar_tfds import command_line, settings
from lunar_tfds.ownership import owned
from model.network import unet, vgg16
from model.network.checkpoints import load_checkpoint
from model.network.metrics import confusion_matrix, scores_from_confusion
from model.training import run, strategies
from model.training.config import TrainConfig
from model.training.run_state import read_progress
from pipeline import batching
from pipeline.augmentation import Augmentation
from pipeline.cache import Reading
from tests.support.kill_and_resume import differences, kill_repeatedly
from tests.support.narrow import FULL, make_narrow
from tests.support.small_run import two_workers

TINY = ("--image_size=32", "--encoder_weights=none", "--global_batch_size=2")
ONE_STEP = (*TINY, "--train_split=train[:2]", "--epochs=1", "--panels=1")
# Columns of a history that differ between equal runs.
TIMINGS = {"images_per_second", "input_wait"}
NEEDED = ("REAL_FRAMES", "VGG16_WEIGHTS")


@pytest.fixture(autouse=True, scope="module")
def narrow():
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(patch)
        yield


def run_main(*arguments):
    """Trains as a command line asks, in this process; returns the exit status."""
    return train.train(command_line.parse(TrainConfig, ["train.py", *arguments]))


def start_script(*arguments, **environment):
    """Starts train.py, on the narrow network, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.narrow", "train.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
    )


def run_script(*arguments):
    process = start_script(*arguments)
    outputs = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *outputs)


@pytest.fixture(scope="module")
def finished(tiny_data_dir, tmp_path_factory):
    """(arguments, workdir, result) of one step on two virtual devices."""
    workdir = tmp_path_factory.mktemp("train") / "run"
    arguments = [*ONE_STEP, f"--data_dir={tiny_data_dir}", f"--workdir={workdir}"]
    result = run_script(*arguments, "--strategy=mirrored", "--virtual_devices=2")
    assert result.returncode == 0, result.stderr[-3000:]
    return arguments, workdir, result


@pytest.fixture(scope="module")
def alone(tiny_data_dir, tmp_path_factory):
    """(workdir, result) of the same step on one device, started from Python."""
    workdir = tmp_path_factory.mktemp("train") / "alone"
    config = TrainConfig(
        image_size=32,
        encoder_weights="none",
        global_batch_size=2,
        train_split="train[:2]",
        epochs=1,
        panels=1,
        strategy="one_device",
        data_dir=str(tiny_data_dir),
        workdir=str(workdir),
    )
    return workdir, run.train_and_evaluate(config)


def test_one_step_on_two_devices_writes_every_file(finished):
    _, workdir, result = finished
    assert sorted(path.name for path in workdir.iterdir()) == [
        "checkpoints",
        "config.json",
        "curves.png",
        "history.csv",
        "state.npz",
        "tensorboard",
    ]
    config = json.loads((workdir / "config.json").read_text())
    assert config["flags"]["image_size"] == 32
    assert config["flags"]["frozen_blocks"] == 0
    assert config["dataset"]["version"] == "1.0.0"
    assert config["dataset"]["source_fingerprint"]
    assert config["versions"]["keras"]
    for text in ("replicas=2", "per_replica_batch_size=1", "steps_per_epoch=1"):
        assert text in result.stderr
    assert "Epoch 1/1" in result.stdout and "val_mean_iou" in result.stdout


def test_the_checkpoint_scores_what_its_name_says(finished, tiny_data_dir):
    _, workdir, _ = finished
    model, details, path = load_checkpoint(workdir)
    dataset = batching.evaluation_dataset(
        batching.open_dataset(str(tiny_data_dir)),
        batching.Selection("validation", details["mask"]),
        batching.Batches(details["image_size"], 2),
    )
    counts = 0
    for images, masks, sample_weight in dataset:
        predicted_masks = np.argmax(model(images, training=False), -1)
        counts = counts + confusion_matrix(
            masks, predicted_masks, sample_weight, num_classes=4
        )
    scores = scores_from_confusion(counts, details["class_names"], "val_")
    assert f"-001-{scores['val_mean_iou']:.4f}.keras" in path.name
    assert details["score"] == pytest.approx(scores["val_mean_iou"], abs=1e-12)
    assert read_history(workdir)["val_mean_iou"] == details["score"]


def test_a_finished_run_without_its_checkpoints_says_so(finished, tmp_path, caplog):
    arguments, workdir, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    arguments = [a for a in arguments if not a.startswith("--workdir")]
    for gone in ("*.keras", "*"):
        for path in (copy / "checkpoints").glob(gone):
            path.unlink()
        caplog.clear()
        assert run_main(*arguments, f"--workdir={copy}", "--strategy=one_device") == 0
        assert f"checkpoints are gone from {copy}/checkpoints" in caplog.text
        assert "--epochs=2 or more trains on" in caplog.text


def test_a_finished_run_does_no_more_than_end(finished):
    arguments, workdir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    curves = workdir / "curves.png"
    curves.unlink()  # As if killed right after the last state was saved.
    assert run_main(*arguments, "--strategy=one_device") == 0
    assert curves.exists()
    after = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    assert {p for p in before if before[p] != after[p]} == {curves}


def test_other_flags_are_refused(finished):
    arguments, _, _ = finished
    with pytest.raises(ValueError, match="seed was 0 and is 1"):
        run_main(*arguments, "--strategy=one_device", "--seed=1")


def test_python_trains_exactly_as_the_command_does(finished, alone):
    _, workdir, _ = finished
    own, result = alone
    assert result.is_finished and result.checkpoint.parent.parent == own
    (row,) = result.history
    command = read_history(workdir)
    for name in command.keys() - TIMINGS:
        assert row[name] == pytest.approx(command[name], rel=1e-3, nan_ok=True), name
    one, two = (json.loads((w / "config.json").read_text()) for w in (own, workdir))
    changed = {k for k, v in one["flags"].items() if two["flags"][k] != v}
    assert changed == {"workdir", "strategy", "virtual_devices"}


def test_a_run_leaves_the_precision_of_the_process_as_it_was(tiny_data_dir, tmp_path):
    with pytest.raises(ValueError, match="no example"):
        one_device(
            tmp_path, tiny_data_dir, "--precision=bfloat16", "--train_split=train[:0]"
        )
    assert keras.mixed_precision.dtype_policy().name == "float32"


def test_a_run_of_an_earlier_version_goes_on(finished, tmp_path):
    """Its config.json lacks settings of today and has cache_channels as text."""
    arguments, workdir, _ = finished
    old = tmp_path / "run"
    shutil.copytree(workdir, old)
    config = json.loads((old / "config.json").read_text())
    kept = {k: v for k, v in config["flags"].items() if not k.startswith("augment_")}
    config["flags"] = kept | {"cache_channels": "3", "traceback": False}
    (old / "config.json").write_text(json.dumps(config))
    arguments = [a for a in arguments if not a.startswith("--workdir")]
    arguments += [f"--workdir={old}", "--strategy=one_device"]
    assert run_main(*arguments) == 0
    with pytest.raises(ValueError, match="augment_rotation was 10.0 and is 3.0"):
        run_main(*arguments, "--augment_rotation=3")


def test_more_epochs_go_on_from_the_state(finished):
    arguments, workdir, _ = finished
    more = [a for a in arguments if not a.startswith("--epochs")]
    assert run_main(*more, "--epochs=2", "--strategy=one_device") == 0
    rows = (workdir / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]


def test_a_data_service_feeds_the_same_batches(
    alone, tiny_data_dir, data_service, tmp_path
):
    assert one_device(tmp_path, tiny_data_dir, f"--data_service={data_service}") == 0
    losses = [read_history(w)["loss"] for w in (alone[0], tmp_path / "run")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_run_starts_from_another_ones_best_and_learns_from_photos(
    alone, tiny_data_dir, tmp_path
):
    first, _, _ = load_checkpoint(alone[0])
    workdir = tmp_path / "run"
    arguments = [
        *("--image_size=48", "--global_batch_size=2", "--panels=0", "--epochs=1"),
        *("--train_split=real", "--validation_split=real", "--learning_rate=1e-9"),
        *("--strategy=one_device", f"--data_dir={tiny_data_dir}"),
        *(f"--workdir={workdir}", f"--initial_checkpoint={alone[0]}"),
    ]
    assert run_main(*arguments) == 0
    model, details, _ = load_checkpoint(workdir)
    assert details["image_size"] == 48
    assert details["initial_checkpoint"] == str(alone[0])
    for name in ("block1_conv1", "block5_conv3", "decoder1_conv", "logits"):
        ours, theirs = (m.get_layer(name).get_weights()[0] for m in (model, first))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    config = json.loads((workdir / "config.json").read_text())
    assert config["flags"]["initial_checkpoint"] == str(alone[0])


def test_all_ways_of_learning_work_together(tiny_data_dir, tmp_path, monkeypatch):
    """Unfreezing, averages, class weights, early stopping, bfloat16, a grey cache."""
    monkeypatch.setattr(vgg16, "BLOCKS", FULL)  # Those of the file.
    encoder, workdir = tmp_path / "vgg16.weights.h5", tmp_path / "run"
    source = keras.applications.VGG16(include_top=False, weights=None)
    source.save_weights(encoder)
    arguments = [
        *("--image_size=32", "--global_batch_size=2", "--train_split=train[:2]"),
        *("--strategy=one_device", f"--data_dir={tiny_data_dir}", "--panels=0"),
        *(f"--workdir={workdir}", f"--encoder_weights={encoder}", "--unfreeze_epoch=2"),
        *("--unfreeze_to=3", "--ema=0.5", "--class_balance=0.5", "--early_stopping=9"),
        *("--precision=bfloat16", "--cache=disk", f"--cache_dir={tmp_path / 'cache'}"),
        "--cache_channels=1",
    ]
    learned, trainers, build_callbacks = [], [], run.build_callbacks

    class AfterEpoch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            learned.append([self._learned(block) for block in (3, 4, 5)])
            if epoch == 0:
                check_averages(trainers[0], workdir)

        def _learned(self, block):
            name = f"block{block}_conv1"
            kernels = (m.get_layer(name).get_weights()[0] for m in (self.model, source))
            return bool(np.abs(np.subtract(*kernels)).max() > 0)

    def build(config, trainer, *others):
        trainers.append(trainer)
        return [*build_callbacks(config, trainer, *others), AfterEpoch()]

    monkeypatch.setattr(run, "build_callbacks", build)
    assert run_main(*arguments, "--epochs=2") == 0
    assert learned == [[False, False, True], [False, True, True]]
    (trainer,) = trainers
    trained = trainer.model.get_layer("logits").kernel
    assert all(
        np.abs(trained - average).max() > 0
        for average in trainer.averaged_weights.averages
        if average.shape == trained.shape
    )
    ground, _, small_rock, _ = trainer.loss.class_weights
    assert 0 < ground < small_rock
    model, details, _ = load_checkpoint(workdir)
    assert details["precision"] == "bfloat16"
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert any(path.is_file() for path in (tmp_path / "cache").rglob("*"))
    rows = trainer.progress.history
    patience = read_progress(workdir).callbacks["EarlyStopping"]
    assert patience["best"] == max(row["val_mean_iou"] for row in rows)
    assert len(rows) == 2 and np.isfinite([row["loss"] for row in rows]).all()


def check_averages(trainer, workdir):
    """Asserts that the checkpoint holds the averages and not what was trained."""
    averaged = load_checkpoint(workdir)[0].get_layer("logits").kernel
    # Variables at an epoch's end are the averages; the trained come back after it.
    np.testing.assert_array_equal(averaged, trainer.model.get_layer("logits").kernel)
    averages = trainer.averaged_weights.averages
    (average,) = [value for value in averages if value.shape == averaged.shape]
    np.testing.assert_array_equal(averaged, average)


def test_sigterm_exits_75_and_the_same_command_finishes(tiny_data_dir, tmp_path):
    workdir = tmp_path / "run"
    arguments = [
        *(*TINY, "--train_split=train[:4]", "--epochs=6", "--panels=0"),
        *("--strategy=one_device", f"--data_dir={tiny_data_dir}"),
        f"--workdir={workdir}",
    ]
    process = start_script(*arguments)
    while not (workdir / "state.npz").exists():
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.01)
    before = read_progress(workdir)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors[-3000:]
    assert "Stopped, state saved" in errors
    after = read_progress(workdir)
    # A file was there before; the signal has saved a later step.
    assert (after.epoch, after.step) > (before.epoch, before.step)
    assert after.finished_of == 0
    assert run_main(*arguments) == 0
    assert read_progress(workdir).finished_of == 6
    assert len((workdir / "history.csv").read_text().splitlines()) == 7


def test_an_interrupted_run_in_python_names_its_best_checkpoint(
    tiny_data_dir, tmp_path, monkeypatch
):
    class CtrlC(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    build = run.build_callbacks
    monkeypatch.setattr(run, "build_callbacks", lambda *args: [*build(*args), CtrlC()])
    arguments = *ONE_STEP, "--epochs=3", "--strategy=one_device"
    config = command_line.parse(
        TrainConfig,
        [
            "train.py",
            *arguments,
            f"--data_dir={tiny_data_dir}",
            f"--workdir={tmp_path / 'run'}",
        ],
    )
    result = run.train_and_evaluate(config)
    assert not result.is_finished and len(result.history) == 1
    assert load_checkpoint(result.checkpoint)[1]["epoch"] == 1


def test_a_run_outside_the_main_thread_trains(tiny_data_dir, tmp_path, caplog):
    statuses = []
    thread = threading.Thread(
        target=lambda: statuses.append(one_device(tmp_path, tiny_data_dir))
    )
    thread.start()
    thread.join()
    assert statuses == [0]
    assert "outside the main thread" in caplog.text
    assert load_checkpoint(tmp_path / "run")[1]["epoch"] == 1


def test_two_workers_train_as_one_device_and_only_the_chief_writes(
    alone, tiny_data_dir, tmp_path
):
    arguments = *ONE_STEP, f"--data_dir={tiny_data_dir}"
    folders = [tmp_path / "chief", tmp_path / "other"]
    workers = [
        start_script(
            *arguments,
            "--strategy=multi_worker_mirrored",
            f"--workdir={folder}",
            TF_CONFIG=config,
        )
        for folder, config in zip(folders, two_workers(), strict=True)
    ]
    outputs = [worker.communicate(timeout=240) for worker in workers]
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, errors[-3000:]
    assert "workers=2 replicas=2" in outputs[0][1]
    assert "Epoch 1/1" in outputs[0][0] and "Epoch 1/1" not in outputs[1][0]
    assert not folders[1].exists()
    one, two = read_history(alone[0]), read_history(folders[0])
    assert one.keys() - TIMINGS == two.keys() - TIMINGS
    for name in one.keys() - TIMINGS:
        assert two[name] == pytest.approx(one[name], rel=1e-3, nan_ok=True), name
    assert load_checkpoint(folders[0])[1]["epoch"] == 1


def read_history(workdir):
    """Returns the only row of a run's history, as numbers."""
    with open(workdir / "history.csv") as file:
        (row,) = csv.DictReader(file)
    return {name: float(value or "nan") for name, value in row.items()}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--mask=blue", "mask=blue: value should be one of"),
        ("--strategy=parallel", "value should be one of"),
        ("--image_size=100", "multiple of 16; the nearest is 96"),
        ("--epochs=0", "at least 1"),
        ("--frozen_blocks=6", "0 to 5"),
        ("--unfreeze_epoch=-1", "unfreeze_epoch=-1.*0 or more"),
        ("--encoder_rate_scale=0", "more than 0; --frozen_blocks=5"),
        ("--class_balance=1.5", r"in \[0, 1\]"),
        ("--cache=disk", "needs --cache_dir"),
        ("--monitor=val_loss", "not a loss.*val_mean_iou"),
        ("--monitor=val_miou", "must be a validation score"),
        ("--precision=float64", "value should be one of"),
        ("--cache=memory --data_service=grpc://host:50", "use --cache=none with it"),
        ("--encoder_weights=none --frozen_blocks=4", "--frozen_blocks=0"),
        ("--unfreeze_to=2", "--unfreeze_to=2 does nothing without --unfreeze_epoch"),
        ("--unfreeze_epoch=60 --epochs=50", "after the last of --epochs=50"),
        (
            "--unfreeze_epoch=3 --unfreeze_to=5 --frozen_blocks=2",
            "--unfreeze_to=5 must be below --frozen_blocks=2",
        ),
        ("--unfreeze_epoch=3 --encoder_weights=none", "must be below"),
        ("--frozen_blocks=5 --encoder_rate_scale=0.1", "does nothing with"),
        ("--tpu=x --strategy=mirrored", "--tpu=x needs --strategy=tpu"),
        ("--save_minutes=-5", "--save_minutes=-5.0: must be 0 or more"),
        ("--deterministic --steps_per_call=2", "needs --steps_per_call=1"),
        ("--augment_rotation=200", "--augment_rotation=200.0: must be 0 to 180"),
        ("--noaugment --augment_gamma=0.2", "--noaugment leaves no use for"),
        ("--learning_rate=nan", "--learning_rate=nan: must be a finite number"),
    ],
)
def test_wrong_flags_are_refused_before_anything_starts(argument, message):
    with pytest.raises(ValueError, match=message):
        command_line.parse(TrainConfig, ["train.py", *argument.split()])


def test_pipeline_network_and_configuration_agree_on_the_size():
    assert TrainConfig().batches == batching.Batches()
    assert batching.Batches().image_size == unet.IMAGE_SIZE


def test_a_flag_and_a_field_cannot_drift_apart():
    """Every setting has one flag, whose default, help and value are the field's."""
    values = flags.FlagValues()
    command_line.define_flags(TrainConfig, values)
    fields = settings.as_dict(TrainConfig())
    assert set(values) == set(fields)
    assert command_line.parse(TrainConfig, ["train.py"]) == TrainConfig()
    helps = {
        field.name: field.metadata["help"] for field in dataclasses.fields(TrainConfig)
    }
    assert set(helps) == set(values)
    assert all(values[name].help.endswith(text) for name, text in helps.items())
    other = TrainConfig(
        image_size=64,
        exclude_defects=("shadow",),
        augment_rotation=3.0,
        cache="disk",
        cache_dir="/somewhere",
        cache_channels=1,
    )
    assert other.augmentation == Augmentation(rotation=3.0)
    assert other.reading == Reading("disk", "/somewhere", 1)
    assert TrainConfig(augment=False).augmentation is None
    for kind in (Augmentation, Reading):
        assert set(settings.as_dict(kind())) <= set(values)
    arguments = [
        f"--{name}={','.join(value) if isinstance(value, tuple) else value}"
        for name, value in settings.as_dict(other).items()
        if value is not None
    ]
    assert command_line.parse(TrainConfig, ["train.py", *arguments]) == other


def one_device(tmp_path, data_dir, *arguments):
    workdir = tmp_path / "run"
    common = ("--strategy=one_device", f"--data_dir={data_dir}", f"--workdir={workdir}")
    return run_main(*ONE_STEP, *common, *arguments)


def test_a_missing_dataset_names_folder_and_command(tmp_path):
    with pytest.raises(
        ValueError, match="no built dataset in .*tfds build lunar_rocks"
    ):
        one_device(tmp_path, tmp_path / "nowhere")


def test_an_unknown_split_an_empty_one_and_a_large_batch_are_refused(
    tmp_path, tiny_data_dir
):
    for split in ("nonsense", "validation+nonsense", "validation[:5"):
        with pytest.raises(ValueError, match=re.escape(split.split("+")[-1])):
            one_device(tmp_path, tiny_data_dir, f"--validation_split={split}")
    with pytest.raises(ValueError, match="--validation_split has no example. Choose"):
        one_device(tmp_path, tiny_data_dir, "--validation_split=validation[:0]")
    with pytest.raises(ValueError, match="--train_split has no example. Choose"):
        one_device(tmp_path, tiny_data_dir, "--train_split=train[:0]")
    with pytest.raises(ValueError, match="Unknown defect list 'dust'. Use one of"):
        one_device(tmp_path, tiny_data_dir, "--exclude_defects=dust")
    with pytest.raises(ValueError, match="got 2 examples for global_batch_size 64"):
        one_device(tmp_path, tiny_data_dir, "--global_batch_size=64")
    assert not (tmp_path / "run").exists()


def test_frames_that_are_trained_and_scored_on_are_counted(
    tmp_path, tiny_data_dir, monkeypatch, caplog
):
    def train(*_, **__):
        raise InterruptedError

    monkeypatch.setattr(run, "build_trainer", train)
    for validation, says in (
        ("train[1:5]", "1 of the 4 frames of --validation_split are in --train_split"),
        ("validation", ""),
    ):
        caplog.clear()
        with pytest.raises(InterruptedError):
            one_device(tmp_path, tiny_data_dir, f"--validation_split={validation}")
        assert says in caplog.text and ("--validation" in caplog.text) == bool(says)


def test_a_run_goes_on_without_the_encoder_s_file(tmp_path, tiny_data_dir, monkeypatch):
    read = []
    monkeypatch.setattr(unet, "_load_encoder_weights", lambda *a: read.append(a))
    arguments = *ONE_STEP, "--encoder_weights=a/vgg.h5"
    assert one_device(tmp_path, tiny_data_dir, *arguments) == 0
    assert len(read) == 1
    moved = *ONE_STEP, "--encoder_weights=b/vgg.h5", "--epochs=2"
    assert one_device(tmp_path, tiny_data_dir, *moved) == 0
    assert len(read) == 1
    assert load_checkpoint(tmp_path / "run")[1]["epoch"] in (1, 2)
    with pytest.raises(ValueError, match="encoder_weights was 'b/vgg.h5' and is 'imag"):
        one_device(tmp_path, tiny_data_dir, *moved, "--encoder_weights=imagenet")


def test_unreadable_weights_are_refused(tmp_path, tiny_data_dir):
    bad = tmp_path / "bad.weights.h5"
    bad.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable weights of vgg16"):
        one_device(tmp_path, tiny_data_dir, f"--encoder_weights={bad}")
    with pytest.raises(ValueError, match="is a folder. Pass the file of weights in it"):
        one_device(tmp_path, tiny_data_dir, f"--encoder_weights={tmp_path}")


def test_an_unwritable_workdir_is_refused(tmp_path, tiny_data_dir):
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(OSError, match="--workdir needs a folder, and a file lies at"):
        one_device(tmp_path, tiny_data_dir)


def test_a_second_run_in_a_workdir_is_refused_at_once(tmp_path, tiny_data_dir):
    with owned(tmp_path / "run", "--workdir", inside=True):
        with pytest.raises(ValueError, match=f"run is being .* process {os.getpid()} "):
            one_device(tmp_path, tiny_data_dir)


def test_the_chief_owns_the_workdir_that_several_workers_share(monkeypatch):
    chief = []
    for config in two_workers():
        monkeypatch.setenv("TF_CONFIG", config)
        chief.append(strategies.will_be_chief("multi_worker_mirrored"))
    assert chief == [True, False]
    monkeypatch.setenv("TF_CONFIG", "")
    assert strategies.will_be_chief("mirrored")
    with pytest.raises(ValueError, match="TF_CONFIG"):
        strategies.will_be_chief("multi_worker_mirrored")


def test_a_user_sees_one_line_and_status_1(tmp_path, caplog):
    arguments = *TINY, f"--data_dir={tmp_path}", f"--workdir={tmp_path}/run"
    assert train.main(["train.py", *arguments, "--strategy=one_device"]) == 1
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert f"no built dataset in {tmp_path}" in record.message
    assert "\n" not in record.message


def test_a_full_disk_under_the_event_files_costs_no_checkpoint(
    tiny_data_dir, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(run.EventFiles, "on_epoch_end", full)
    with pytest.raises(OSError, match="no space left"):
        one_device(tmp_path, tiny_data_dir)
    assert load_checkpoint(tmp_path / "run")[1]["epoch"] == 1


def small_command(workdir, strategy):
    settings = {"workdir": str(workdir), "epochs": 6, "sleep": 0.05}
    settings |= {"strategy": strategy, "replicas": 2}
    return [sys.executable, "-m", "tests.support.small_run", json.dumps(settings)]


@pytest.mark.parametrize(
    ("strategy", "kills"),
    [("one_device", 2), pytest.param("mirrored", 2, marks=pytest.mark.slow)],
)
def test_killed_runs_end_as_if_undisturbed(strategy, kills, tmp_path):
    """The short form of `tests.support.kill_and_resume`, on a small network."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = small_command(whole, strategy)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    command = small_command(killed, strategy)
    made, _ = kill_repeatedly(command, killed, kills, say=lambda _: 0)
    assert made == kills
    assert differences(whole, killed) == []


def test_the_check_sees_a_difference(tmp_path):
    whole, other = tmp_path / "whole", tmp_path / "other"
    for folder, seed in ((whole, 0), (other, 1)):
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "index.json").write_text("{}")
        value = random.Random(seed).random()
        history = json.dumps({"history": [{"epoch": 1, "loss": value}]})
        np.savez(folder / "state.npz", variable_0=value, progress=np.array(history))
    assert len(differences(whole, other)) == 2
    assert differences(whole, whole) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_learns_three_real_frames(tmp_path):
    """Measured, of 150 epochs: 0.903 after 42, 0.921 after 49 and 0.969 after 104."""
    folder, weights = (os.environ.get(f"LUNAR_{n}") for n in NEEDED)
    if not folder or not weights:
        pytest.skip("set LUNAR_REAL_FRAMES and LUNAR_VGG16_WEIGHTS")
    data_dir = tmp_path / "tfds"
    tfds = str(pathlib.Path(sys.executable).with_name("tfds"))
    options = [f"--data_dir={data_dir}", f"--manual_dir={folder}"]
    subprocess.run([tfds, "build", "lunar_rocks", *options], check=True)
    split = "train+validation+test"
    command = [
        *(sys.executable, "train.py", "--strategy=one_device", "--noaugment"),
        *(f"--data_dir={data_dir}", f"--workdir={tmp_path / 'run'}"),
        *(f"--train_split={split}", f"--validation_split={split}", "--image_size=256"),
        *("--global_batch_size=3", "--epochs=60", f"--encoder_weights={weights}"),
    ]
    subprocess.run(command, check=True)
    assert load_checkpoint(tmp_path / "run")[1]["score"] > 0.90

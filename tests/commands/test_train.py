import csv
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from commands import train
from model.network.checkpoints import load_checkpoint
from model.network.metrics import confusion_matrix, scores_from_confusion
from model.training.run_state import read_progress
from tests.kill_and_resume import differences, kill_repeatedly
from tests.support.small_run import two_workers

TINY = ("--image_size=32", "--encoder_weights=none", "--global_batch_size=2")
ONE_STEP = (*TINY, "--train_split=train[:2]", "--epochs=1", "--panels=1")
NEEDED = ("REAL_FRAMES", "VGG16_WEIGHTS")


def run_main(*arguments):
    """Calls train.main as if started with `arguments`; returns the exit status."""
    with flagsaver.flagsaver():
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        flags.FLAGS(["train.py", *arguments])
        try:
            return train.main(["train.py"])
        finally:
            keras.mixed_precision.set_dtype_policy("float32")


def start_script(*arguments, **environment):
    """Starts train.py in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments],
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
    dataset = train.input_pipeline.evaluation_dataset(
        train.input_pipeline.open_dataset(str(tiny_data_dir)),
        "validation",
        image_size=details["image_size"],
        mask=details["mask"],
        global_batch_size=2,
    )
    counts = 0
    for images, masks, sample_weight in dataset:
        predicted_masks = np.argmax(model(images, training=False), -1)
        counts = counts + confusion_matrix(masks, predicted_masks, sample_weight)
    scores = scores_from_confusion(counts, details["class_names"], "val_")
    assert f"-001-{scores['val_mean_iou']:.4f}.keras" in path.name
    assert details["score"] == pytest.approx(scores["val_mean_iou"], abs=1e-12)
    assert read_history(workdir)["val_mean_iou"] == details["score"]


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


def test_more_epochs_go_on_from_the_state(finished):
    arguments, workdir, _ = finished
    more = [a for a in arguments if not a.startswith("--epochs")]
    assert run_main(*more, "--epochs=2", "--strategy=one_device") == 0
    rows = (workdir / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]


def test_a_data_service_feeds_the_same_batches(tiny_data_dir, data_service, tmp_path):
    histories = []
    for extra in ((), (f"--data_service={data_service}",)):
        workdir = tmp_path / f"run{len(histories)}"
        arguments = *ONE_STEP, f"--data_dir={tiny_data_dir}", f"--workdir={workdir}"
        assert run_main(*arguments, "--strategy=one_device", *extra) == 0
        histories.append(read_history(workdir)["loss"])
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


def test_a_grey_cache_trains(tiny_data_dir, tmp_path):
    arguments = *ONE_STEP, f"--data_dir={tiny_data_dir}", f"--workdir={tmp_path}/run"
    grey = "--cache=memory", "--cache_channels=1"
    assert run_main(*arguments, "--strategy=one_device", *grey) == 0
    assert 0 < read_history(tmp_path / "run")["val_mean_iou"] < 1


def test_all_ways_of_learning_work_together(tiny_data_dir, tmp_path, monkeypatch):
    """Unfreezing, averages, class weights, early stopping, bfloat16, a disk cache."""
    trainers, build_trainer = [], train.build_trainer

    def build(*arguments):
        trainers.append(build_trainer(*arguments))
        return trainers[-1]

    monkeypatch.setattr(train, "build_trainer", build)
    encoder, workdir = tmp_path / "vgg16.weights.h5", tmp_path / "run"
    vgg16 = keras.applications.VGG16(include_top=False, weights=None)
    vgg16.save_weights(encoder)
    arguments = [
        *("--image_size=32", "--global_batch_size=2", "--train_split=train[:2]"),
        *("--strategy=one_device", f"--data_dir={tiny_data_dir}", "--panels=0"),
        *(f"--workdir={workdir}", f"--encoder_weights={encoder}", "--unfreeze_epoch=2"),
        *("--unfreeze_to=3", "--ema=0.5", "--class_balance=0.5", "--early_stopping=9"),
        *("--precision=bfloat16", "--cache=disk", f"--cache_dir={tmp_path / 'cache'}"),
    ]

    def learned(trainer, block):
        name = f"block{block}_conv1"
        kernels = (m.get_layer(name).get_weights()[0] for m in (trainer.model, vgg16))
        return np.abs(np.subtract(*kernels)).max() > 0

    assert run_main(*arguments, "--epochs=1") == 0
    (first,) = trainers
    assert [learned(first, block) for block in (3, 4, 5)] == [False, False, True]
    ground, _, small_rock, _ = first.loss.class_weights
    assert 0 < ground < small_rock
    model, details, _ = load_checkpoint(workdir)
    assert details["precision"] == "bfloat16"
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    averaged, trained = (m.get_layer("logits").kernel for m in (model, first.model))
    averages = first.averaged_weights.averages
    (average,) = [value for value in averages if value.shape == averaged.shape]
    np.testing.assert_array_equal(averaged, average)
    assert np.abs(averaged - trained).max() > 0
    assert any(path.is_file() for path in (tmp_path / "cache").rglob("*"))
    assert run_main(*arguments, "--epochs=2") == 0
    second = trainers[1]
    assert [learned(second, block) for block in (3, 4, 5)] == [False, True, True]
    rows = second.progress.history
    patience = read_progress(workdir).callbacks["EarlyStopping"]
    assert patience["best"] == max(row["val_mean_iou"] for row in rows)
    assert len(rows) == 2 and np.isfinite([row["loss"] for row in rows]).all()


def test_sigterm_exits_75_and_the_same_command_finishes(tiny_data_dir, tmp_path):
    workdir = tmp_path / "run"
    arguments = [
        *(*TINY, "--train_split=train[:4]", "--epochs=3", "--panels=0"),
        *("--strategy=one_device", f"--data_dir={tiny_data_dir}"),
        f"--workdir={workdir}",
    ]
    process = start_script(*arguments)
    while not (workdir / "state.npz").exists():
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors[-3000:]
    assert "Stopped, state saved" in errors
    assert read_progress(workdir).finished_of == 0
    assert run_main(*arguments) == 0
    assert read_progress(workdir).finished_of == 3
    assert len((workdir / "history.csv").read_text().splitlines()) == 4


def test_two_workers_train_as_one_device_and_only_the_chief_writes(
    tiny_data_dir, tmp_path
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
    alone = tmp_path / "alone"
    assert run_main(*arguments, "--strategy=one_device", f"--workdir={alone}") == 0
    outputs = [worker.communicate(timeout=240) for worker in workers]
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, errors[-3000:]
    assert "workers=2 replicas=2" in outputs[0][1]
    assert "Epoch 1/1" in outputs[0][0] and "Epoch 1/1" not in outputs[1][0]
    assert not folders[1].exists()
    one, two = read_history(alone), read_history(folders[0])
    timings = {"images_per_second", "input_wait"}
    assert one.keys() - timings == two.keys() - timings
    for name in one.keys() - timings:
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
    ],
)
def test_wrong_flags_are_refused_before_anything_starts(argument, message):
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        run_main(*argument.split())


def test_freezing_a_random_encoder_is_an_error():
    with pytest.raises(flags.IllegalFlagValueError, match="--frozen_blocks=0"):
        run_main("--encoder_weights=none", "--frozen_blocks=4")


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
    with pytest.raises(ValueError, match="nonsense"):
        one_device(tmp_path, tiny_data_dir, "--validation_split=nonsense")
    with pytest.raises(ValueError, match="--validation_split has no example. Choose"):
        one_device(tmp_path, tiny_data_dir, "--validation_split=validation[:0]")
    with pytest.raises(ValueError, match="--train_split has no example. Choose"):
        one_device(tmp_path, tiny_data_dir, "--train_split=train[:0]")
    with pytest.raises(ValueError, match="Unknown defect list 'dust'. Use one of"):
        one_device(tmp_path, tiny_data_dir, "--exclude_defects=dust")
    with pytest.raises(ValueError, match="got 2 examples for global_batch_size 64"):
        one_device(tmp_path, tiny_data_dir, "--global_batch_size=64")
    assert not (tmp_path / "run").exists()


def test_unreadable_weights_are_refused(tmp_path, tiny_data_dir):
    bad = tmp_path / "bad.weights.h5"
    bad.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable VGG16"):
        one_device(tmp_path, tiny_data_dir, f"--encoder_weights={bad}")


def test_an_unwritable_workdir_is_refused(tmp_path, tiny_data_dir):
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(OSError, match="could not write .*config.json|Not a directory"):
        one_device(tmp_path, tiny_data_dir)


def test_a_user_sees_one_line_and_status_1(tmp_path):
    result = run_script(*TINY, f"--data_dir={tmp_path}", f"--workdir={tmp_path}/run")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"no built dataset in {tmp_path}" in result.stderr


def test_a_full_disk_under_the_event_files_costs_no_checkpoint(
    tiny_data_dir, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(train.EventFiles, "on_epoch_end", full)
    with pytest.raises(OSError, match="no space left"):
        one_device(tmp_path, tiny_data_dir)
    assert load_checkpoint(tmp_path / "run")[1]["epoch"] == 1


def small_command(workdir, strategy):
    settings = {"workdir": str(workdir), "epochs": 6, "sleep": 0.05}
    settings |= {"strategy": strategy, "replicas": 2}
    return [sys.executable, "-m", "tests.support.small_run", json.dumps(settings)]


@pytest.mark.parametrize(("strategy", "kills"), [("one_device", 3), ("mirrored", 2)])
def test_killed_runs_end_as_if_undisturbed(strategy, kills, tmp_path):
    """The short form of `python -m tests.kill_and_resume`, on a small network."""
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
def test_it_learns_three_real_frames(tmp_path):
    """Measured: 0.903 after 42 epochs and 0.921 after 49."""
    folder, weights = (os.environ.get(f"LUNAR_{n}") for n in NEEDED)
    if not folder or not weights:
        pytest.skip("set LUNAR_REAL_FRAMES and LUNAR_VGG16_WEIGHTS")
    data_dir = tmp_path / "tfds"
    tfds = str(pathlib.Path(sys.executable).with_name("tfds"))
    options = [f"--data_dir={data_dir}", f"--manual_dir={folder}"]
    subprocess.run([tfds, "build", "lunar_rocks", *options], check=True)
    split = "train+validation+test"
    result = run_script(
        *(f"--data_dir={data_dir}", f"--workdir={tmp_path / 'run'}", "--noaugment"),
        *(f"--train_split={split}", f"--validation_split={split}", "--image_size=256"),
        *("--global_batch_size=3", "--epochs=150", f"--encoder_weights={weights}"),
        *("--strategy=one_device"),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert load_checkpoint(tmp_path / "run")[1]["score"] > 0.90

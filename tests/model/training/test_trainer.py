import contextlib
import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.network.checkpoints import read_index
from model.network.losses import build_loss
from model.training import run_state, strategies
from model.training.averaged_weights import BatchStatistics
from model.training.checkpoints import BestCheckpoint
from model.training.trainer import Interrupted
from model.training.unfreezing import UnfreezeEncoder, later_variables
from tests.support.small_run import (
    DETAILS,
    STEPS,
    Scored,
    arrays,
    arrays_of,
    evaluation_data,
    fit,
    make_trainer,
    network,
    real_arrays,
    training_data,
    two_workers,
    vgg16_unet,
    vgg16_unet_in_float64,
)


def values(trainer):
    return [variable.numpy() for variable in trainer.variables]


def assert_equal(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def run_small(*runs, **environment):
    """Starts tests.support.small_run in a process of its own, for one run or more."""
    arguments = [json.dumps(settings) for settings in runs]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.small_run", *arguments],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_workers(settings):
    """Starts two workers that know each other; returns their processes."""
    settings = settings | {"strategy": "multi_worker_mirrored"}
    return [run_small(settings, TF_CONFIG=config) for config in two_workers()]


def assert_succeeds(process):
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-3000:]


def ended(workdir):
    progress = run_state.read_progress(workdir)
    return progress.epoch, progress.finished_of


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __getattribute__(self, name):
        if name.startswith("on_") and "batch_begin" not in name:
            return lambda *args, **kwargs: self.calls.append((name, *args))
        return super().__getattribute__(name)


@pytest.fixture(scope="module")
def one_epoch():
    """A trainer after one epoch of plain settings, and what its callback recorded."""
    trainer, recorder = make_trainer(), Recorder()
    fit(trainer, callbacks=[recorder])
    return trainer, recorder.calls


def test_it_learns_and_reports_every_score():
    trainer = make_trainer(epochs=4)
    history = fit(trainer, 4).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]
    for name in ("mean_iou", "rock_dice", "iou_sky", "pixel_accuracy"):
        assert len(history[name]) == len(history[f"val_{name}"]) == 4
    assert trainer.progress.history[2]["epoch"] == 3
    assert 0 <= history["input_wait"][-1] < 1
    assert history["images_per_second"][-1] > 0
    assert history["learning_rate"][0] > history["learning_rate"][-1] == 0


def test_a_step_uses_the_gradient_of_the_global_mean():
    trainer = make_trainer()
    images, masks = arrays()
    model = network()
    model.set_weights(trainer.model.get_weights())
    with tf.GradientTape() as tape:
        logits = model(images[:8], training=True)
        loss = tf.reduce_mean(trainer.loss.per_example(masks[:8], logits))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    trainer.optimizer.apply(gradients, trainer.model.trainable_variables)
    expected = [v.numpy() for v in trainer.model.trainable_variables]
    other = make_trainer()
    iterator = iter(training_data(other.strategy)(0, 0))
    results, counts = other.steps.training_call(1)[0](iterator, tf.constant(0.0))
    np.testing.assert_allclose(results[0, 0], loss, rtol=1e-5)
    assert counts.sum() == masks[:8].size
    for one, variable in zip(expected, other.model.trainable_variables, strict=True):
        np.testing.assert_allclose(one, variable.numpy(), atol=1e-6)


def test_validation_leaves_padding_out():
    trainer = make_trainer()
    scores = trainer.evaluate(evaluation_data(trainer.strategy), STEPS)
    images, masks = (part[:20] for part in arrays())
    logits = trainer.model(images, training=False)
    expected = tf.reduce_mean(trainer.loss.per_example(masks, logits))
    np.testing.assert_allclose(scores["loss"], expected, rtol=1e-5)
    accuracy = np.mean(np.argmax(logits, -1) == masks)
    assert scores["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-12)


def test_callbacks_are_called_as_fit_calls_them(one_epoch):
    _, calls = one_epoch
    names = [name for name, *_ in calls]
    assert [n for n in names if n.startswith("on_")] == [
        "on_train_begin",
        "on_epoch_begin",
        *["on_train_batch_end"] * STEPS,
        "on_test_begin",
        *["on_test_batch_end"] * STEPS,
        "on_test_end",
        "on_epoch_end",
        "on_train_end",
    ]
    batches = [call[1] for call in calls if call[0] == "on_train_batch_end"]
    assert batches == [0, 1, 2]


def test_stock_callbacks_work(tmp_path):
    path = tmp_path / "{epoch:02d}.keras"
    stop = keras.callbacks.EarlyStopping("val_mean_iou", 1.0, 1, mode="max")
    csv = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    save = keras.callbacks.ModelCheckpoint(path)
    history = fit(make_trainer(epochs=4), 4, callbacks=[stop, csv, save])
    assert len(history.epoch) == 2
    assert (tmp_path / "01.keras").stat().st_size > 0
    assert "val_mean_iou" in (tmp_path / "log.csv").read_text()


def test_the_stock_progress_bar_works(capsys):
    fit(make_trainer(epochs=2), 2, callbacks=[keras.callbacks.ProgbarLogger()])
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown and "3/3" in shown and "val_mean_iou" in shown


def test_the_stock_tensorboard_callback_works(tmp_path):
    pytest.importorskip("tensorboard", reason="Keras's TensorBoard callback needs it")
    fit(make_trainer(), callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    assert (tmp_path / "train").is_dir() and (tmp_path / "validation").is_dir()


def test_several_steps_a_call_give_the_same(one_epoch):
    one, three = one_epoch[0], make_trainer(steps_per_call=2)
    recorder = Recorder()
    fit(three, callbacks=[recorder])
    assert [c[1] for c in recorder.calls if c[0] == "on_train_batch_end"] == [1, 2]
    for a, b in zip(values(one), values(three), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert one.progress.history[0]["mean_iou"] == three.progress.history[0]["mean_iou"]


def test_the_step_compiles_under_xla(one_epoch):
    plain, compiled = one_epoch[0], make_trainer(xla=True)
    fit(compiled)
    for a, b in zip(values(plain), values(compiled), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_the_whole_step_of_the_real_network_compiles_under_xla():
    """As a TPU compiles it: forward, backward, clipping, AdamW and counts in one."""
    trainer = make_trainer(build=vgg16_unet)
    variables = [
        v.value for v in (*trainer.model.variables, *trainer.optimizer.variables)
    ]
    at_first = [variable.numpy() for variable in variables]
    image, mask = (part[:2] for part in real_arrays())
    batch = image, mask, tf.constant(0.0)
    steps = trainer.steps

    def run(**options):
        for variable, value in zip(variables, at_first, strict=True):
            variable.assign(value)
        step = functools.partial(steps._replica_step, steps._gradients)
        compiled = tf.function(trainer.strategy.run, **options)
        numbers, counts = compiled(step, args=batch)
        weights = [v.numpy() for v in trainer.model.trainable_variables]
        return numbers.numpy(), counts.numpy(), weights

    first = [v.numpy() for v in trainer.model.trainable_variables]
    numbers, counts, weights = run()
    compiled_numbers, compiled_counts, compiled_weights = run(jit_compile=True)
    np.testing.assert_allclose(compiled_numbers, numbers, rtol=1e-3)
    assert compiled_counts.sum() == counts.sum() == mask.size
    for before, one, two in zip(first, weights, compiled_weights, strict=True):
        moved = np.abs(one - before).mean()
        assert moved > 0 and np.abs(two - one).mean() < 0.05 * moved


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_and_resumes(precision, tmp_path):
    trainer = make_trainer(epochs=3, precision=precision)
    history = fit(trainer, 3).history
    assert history["loss"][-1] < history["loss"][0]
    run_state.save_state(tmp_path, trainer.variables, trainer.progress)
    other = make_trainer(epochs=3, precision=precision)
    run_state.load_state(tmp_path, other.variables)
    assert_equal(values(trainer), values(other))


def test_float16_overflow_halves_the_scale_and_leaves_the_weights():
    trainer = make_trainer(precision="float16")
    before = [v.numpy() for v in trainer.model.trainable_variables]
    trainer.optimizer.dynamic_scale.assign(1e30)
    iterator = iter(training_data(trainer.strategy)(0, 0))
    trainer.steps.training_call(1)[0](iterator, tf.constant(0.0))
    assert float(trainer.optimizer.dynamic_scale) == pytest.approx(5e29)
    assert_equal(before, [v.numpy() for v in trainer.model.trainable_variables])


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["plain", "ema"])
def interrupted(request):
    """Returns a trainer to interrupt, one to resume with, and what should come out.

    The second has run its three epochs undisturbed: a resumption that left any of its
    variables alone would be seen.
    """
    first, second = (make_trainer(epochs=3, ema=request.param) for _ in range(2))
    at_first = values(first)
    fit(second, 3)
    return first, at_first, second, values(second), second.progress.history


# Asked before each step of training, 3 an epoch, of measuring the statistics of
# averaged weights, 3 too, and of validation, 3.
@pytest.mark.parametrize("stop_at", [1, 3, 4, 7, 10])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    stop_at, interrupted, tmp_path
):
    first, at_first, second, expected, expected_rows = interrupted
    for variable, value in zip(first.variables, at_first, strict=True):
        variable.assign(value)
    first.progress = run_state.Progress(confusion=np.zeros([4, 4], np.int64))
    asked = iter(range(100))
    saver = run_state.Saver(tmp_path, first, minutes=10)
    with pytest.raises(Interrupted):
        fit(
            first,
            3,
            save_state=saver.save,
            wants_stop=lambda: next(asked) >= stop_at,
        )
    second.progress = run_state.load_state(tmp_path, second.variables)
    assert second.progress.epoch < 2
    history = fit(second, 3)
    assert_equal(expected, values(second))
    assert history.epoch == [0, 1, 2]
    rows = zip(expected_rows, second.progress.history, strict=True)
    timings = {"images_per_second", "input_wait"}
    for one, other in rows:
        assert {k: v for k, v in one.items() if k not in timings} == {
            k: v for k, v in other.items() if k not in timings
        }


def test_early_stopping_keeps_its_patience(tmp_path):
    def start(epochs):
        trainer = make_trainer(epochs=9)
        progress = run_state.load_state(tmp_path, trainer.variables)
        trainer.progress = progress or trainer.progress
        saver = run_state.Saver(tmp_path, trainer, minutes=10)
        patience = keras.callbacks.EarlyStopping(
            "val_mean_iou", mode="max", patience=3, min_delta=1.0
        )
        fit(trainer, epochs, callbacks=[patience], save_state=saver.save)
        return trainer

    start(2)
    assert ended(tmp_path) == (2, 2)
    assert start(9).progress.epoch == 4
    assert ended(tmp_path) == (4, 9)


def test_a_loss_that_is_not_finite_names_the_step(tmp_path):
    def batches():
        images, masks = arrays()
        images[17] = np.nan
        return images, masks

    trainer = make_trainer(steps_per_call=3)
    saver = run_state.Saver(tmp_path, trainer, minutes=0)
    with pytest.raises(FloatingPointError, match="at step 3 of epoch 1 .*nan"):
        fit(
            trainer,
            data=training_data(trainer.strategy, batches),
            save_state=saver.save,
            wants_state=saver.is_due,
        )
    assert not (tmp_path / "state.npz").exists()


class Break(keras.callbacks.Callback):
    """Sets one number of a variable after a step of the second epoch."""

    def __init__(self, variable, value, step=STEPS - 1):
        super().__init__()
        self._variable, self._value, self._step = variable, value, step

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == (1, self._step):
            values = self._variable.numpy()
            values.flat[0] = self._value
            self._variable.assign(values)


def first_kernel(trainer):
    return trainer.model.trainable_variables[0]


def moving_variance(trainer):
    return trainer.model.layers[3].moving_variance


def moment(trainer):
    return trainer.optimizer.variables[-1]


def average(trainer):
    return trainer.averaged_weights.averages[0]


@pytest.mark.parametrize(
    ("find", "value"),
    [
        (first_kernel, np.nan),
        (moving_variance, np.inf),
        (moment, np.nan),
        (average, np.nan),
    ],
)
def test_what_is_not_finite_is_not_saved_and_the_last_good_state_stays(
    find, value, tmp_path
):
    trainer = make_trainer(epochs=3, ema=0.5 if find is average else 0.0)
    saver = run_state.Saver(tmp_path, trainer, minutes=10)
    best = BestCheckpoint(tmp_path, DETAILS, monitor="val_mean_iou", keep=9)
    with pytest.raises(FloatingPointError, match="after .* epoch 2 .*finite.*goes on"):
        fit(
            trainer,
            3,
            callbacks=[Break(find(trainer), value), best],
            save_state=saver.save,
        )
    assert [e["epoch"] for e in read_index(tmp_path / "checkpoints")] == [1]
    other = make_trainer(epochs=3, ema=0.5 if find is average else 0.0)
    progress = run_state.load_state(tmp_path, other.variables)
    assert (progress.epoch, progress.step) == (1, 0)


@pytest.mark.parametrize("asked", ["wants_state", "wants_stop"])
def test_what_is_not_finite_is_not_saved_inside_an_epoch(asked, tmp_path):
    trainer = make_trainer(epochs=2)
    saver = run_state.Saver(tmp_path, trainer, minutes=10)
    begun = lambda: trainer.progress.epoch == 1  # noqa: E731
    with pytest.raises(FloatingPointError, match="after step 1 of epoch 2"):
        fit(
            trainer,
            2,
            callbacks=[Break(moving_variance(trainer), np.nan, step=0)],
            save_state=saver.save,
            **{asked: begun},
        )
    assert run_state.read_progress(tmp_path).epoch == 1


def test_a_validation_that_is_not_finite_saves_nothing(tmp_path, monkeypatch):
    trainer = make_trainer()
    # No input will do: some processors' kernels turn nan into 0 in the activations.
    evaluate = trainer.evaluate
    monkeypatch.setattr(
        trainer, "evaluate", lambda *args: evaluate(*args) | {"loss": np.nan}
    )
    saver = run_state.Saver(tmp_path, trainer, minutes=10)
    best = BestCheckpoint(tmp_path, DETAILS, monitor="val_mean_iou", keep=1)
    with pytest.raises(FloatingPointError, match="of epoch 1 the validation's loss is"):
        fit(
            trainer,
            data=training_data(trainer.strategy),
            callbacks=[best],
            save_state=saver.save,
        )
    assert not list(tmp_path.rglob("*.*"))


def test_float16_may_skip_steps_until_scaling_is_no_remedy():
    trainer = make_trainer(precision="float16")
    losses, norms = np.ones(1), np.full(1, np.inf)
    trainer._check_finite(losses, norms, STEPS)
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        trainer._check_finite(np.full(1, np.nan), norms, STEPS)
    trainer.optimizer.dynamic_scale.assign(0.5)
    with pytest.raises(FloatingPointError, match="the gradient's norm inf"):
        trainer._check_finite(losses, norms, STEPS)


def test_averaged_weights_are_what_is_scored_and_saved():
    trainer = make_trainer(epochs=2, ema=0.5)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_weights()[0])

    first = trainer.model.get_weights()[0]
    fit(trainer, 2, callbacks=[Look()])
    trained = trainer.model.get_weights()[0]
    np.testing.assert_array_equal(seen[-1], trainer.averaged_weights.averages[0])
    assert np.abs(seen[-1] - trained).max() > 0
    assert np.abs(seen[-1] - first).max() > 0


def test_averaged_weights_have_the_statistics_of_their_own_activations():
    """Those left by training are off by more than a tenth of a standard deviation."""
    trainer = make_trainer(epochs=4, ema=0.5)
    layer = trainer.model.layers[3]
    before = keras.Model(trainer.model.input, layer.input)
    errors = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            errors.append(self.off_by())

        def off_by(self):
            features = before(arrays()[0], training=False).numpy().reshape(-1, 16)
            mean, deviation = features.mean(0), features.std(0)
            return (
                np.abs(layer.moving_mean.numpy() - mean) / deviation,
                np.abs(np.sqrt(layer.moving_variance.numpy()) / deviation - 1),
            )

    look = Look()
    fit(trainer, 4, callbacks=[look])
    assert np.max(errors) < 1e-4
    with trainer.averaged_weights.in_use():
        assert np.max(look.off_by()) > 0.1


def test_statistics_are_measured_on_so_many_examples(monkeypatch):
    monkeypatch.setattr("model.training.trainer.STATISTICS_EXAMPLES", 9)
    asked = []
    fit(make_trainer(ema=0.5), wants_stop=lambda: bool(asked.append(1)))
    assert len(asked) == STEPS + 2 + STEPS  # Training, two batches of 8, validation.


def test_statistics_of_batches_are_pooled():
    model = network()
    layer, statistics = model.layers[3], BatchStatistics(model)
    with statistics.of_one_batch():
        assert layer.momentum == 0
    assert layer.momentum == 0.9
    with statistics.kept():
        # Values 0, 2 and 4, 6: a mean of 3, and 1 within batches and 4 between them.
        statistics.pool([[np.full(16, m), np.ones(16)] for m in (1.0, 5.0)])
        np.testing.assert_array_equal(layer.moving_mean.numpy(), 3)
        np.testing.assert_array_equal(layer.moving_variance.numpy(), 1 + 4)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)
    np.testing.assert_array_equal(layer.moving_variance.numpy(), 1)


def test_the_average_follows_its_formula():
    trainer = make_trainer(ema=0.75)
    iterator = iter(training_data(trainer.strategy)(0, 0))
    expected = trainer.model.get_weights()[0]
    for _ in range(2):
        trainer.steps.training_call(1)[0](iterator, tf.constant(0.0))
        expected = 0.75 * expected + 0.25 * trainer.model.get_weights()[0]
    actual = trainer.averaged_weights.averages[0].numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_unfreezing_trains_the_encoder_from_its_epoch_on(monkeypatch):
    trainer = make_trainer(epochs=2)
    layer = trainer.model.layers[1]

    def freeze(model, blocks):
        layer.trainable = blocks == 0

    monkeypatch.setattr("model.training.unfreezing.freeze_encoder", freeze)
    assert len(later_variables(trainer.model, 1, 0)) == 7
    assert len(trainer.model.trainable_variables) == 5
    kernels = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            kernels.append(layer.get_weights()[0])

    fit(trainer, 2, callbacks=[UnfreezeEncoder(2, 1, 0), Look()])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(layer.get_weights()[0] - kernels[1]).max() > 0


def test_model_and_loss_still_work_with_plain_fit():
    model, (images, masks) = network(), arrays()
    model.compile("adam", build_loss("ce_dice", 4))
    losses = model.fit(images, masks, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_batch_that_replicas_cannot_share_is_refused():
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ValueError, match="got 8 for 3 replicas. Use 6 or 9"):
        strategies.per_replica_batch_size(8, Three())
    with pytest.raises(ValueError, match="got 2 for 3 replicas. Use 3$"):
        strategies.per_replica_batch_size(2, Three())


@pytest.fixture(scope="module")
def one_device():
    """Trained and scored weights, and scores, of one epoch, 3 steps, on one device."""
    trainer, scored = make_trainer(ema=0.9), Scored()
    fit(trainer, callbacks=[scored])
    return arrays_of(trainer, scored)


TWO = {"strategy": "mirrored", "replicas": 2}


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    """A process of the same on two devices, and where it writes its results."""
    path = tmp_path_factory.mktemp("two") / "small"
    process = run_small(TWO | {"ema": 0.9, "weights": str(path)})
    yield path.with_suffix(".npz"), process
    process.kill()
    process.communicate()


def assert_agrees(path, expected):
    other = np.load(path)
    assert set(other.files) == set(expected)
    for name, value in expected.items():
        tolerance = 1e-5 * np.abs(value).max()
        np.testing.assert_allclose(other[name], value, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(other["mean_iou"], expected["mean_iou"])


@pytest.mark.slow
def test_two_devices_equal_one_on_the_real_network(tmp_path):
    """In float64: in float32 rounding flips ReLUs and pools of the deep encoder.

    Within three steps the flips and AdamW, which gives a weight of small gradient as
    large a step as any, then part a few biases by 5 % of their largest value, 0.002.
    """
    path = tmp_path / "real"
    process = run_small(TWO | {"network": "vgg16_unet", "weights": str(path)})
    trainer, scored = make_trainer(build=vgg16_unet_in_float64), Scored()
    fit(trainer, batches=real_arrays, callbacks=[scored])
    assert_succeeds(process)
    assert_agrees(path.with_suffix(".npz"), arrays_of(trainer, scored))


def test_two_devices_equal_one(one_device, two_devices):
    path, process = two_devices
    assert_succeeds(process)
    assert_agrees(path, one_device)


def test_two_workers_equal_one_device_and_the_chief_writes(one_device, tmp_path):
    settings = {"workdir": str(tmp_path / "run"), "weights": str(tmp_path / "w")}
    for process in run_workers(settings | {"ema": 0.9, "save_minutes": 60}):
        assert_succeeds(process)
    for index in range(2):
        assert_agrees(tmp_path / f"w{index}.npz", one_device)
    files = [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()]
    assert len(files) == 2 and "index.json" in files


@pytest.mark.slow
def test_a_killed_worker_is_noticed_and_the_run_continues(tmp_path):
    settings = {"workdir": str(tmp_path / "run"), "epochs": 4, "sleep": 0.5}
    chief, other = run_workers(settings)
    state = tmp_path / "run" / "state.npz"
    while not state.exists():
        assert chief.poll() is None, chief.stderr.read()[-3000:]
        with contextlib.suppress(subprocess.TimeoutExpired):
            chief.wait(0.1)
    other.kill()
    _, errors = chief.communicate(timeout=120)
    assert chief.returncode == 75, errors[-3000:]
    other.communicate()
    for process in run_workers(settings | {"sleep": 0, "weights": str(tmp_path / "w")}):
        assert_succeeds(process)
    assert ended(tmp_path / "run") == (4, 4)
    assert_succeeds(run_small({"epochs": 4, "weights": str(tmp_path / "whole")}))
    whole, resumed = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "w0.npz")
    for name in whole.files:
        tolerance = 1e-4 * np.abs(whole[name]).max()
        np.testing.assert_allclose(resumed[name], whole[name], rtol=0, atol=tolerance)

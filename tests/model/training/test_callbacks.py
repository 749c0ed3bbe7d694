import csv
import io
import struct
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from lunar_tfds.palette import CLASS_COLORS, CLASS_NAMES
from model.training.callbacks import HistoryFile, ProgressBar, duration
from model.training.curves import draw_curves
from model.training.tensorboard import EventFiles, panel
from tests.support.small_run import network

LOGS = {"loss": 0.5, "val_mean_iou": 0.25, "val_iou_sky": float("nan")}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def events(folder):
    """Yields (tag, step, tensor) of the event file in `folder`."""
    (path,) = folder.iterdir()
    data = path.read_bytes()
    while data:
        length = struct.unpack("<Q", data[:8])[0]
        event = tf.compat.v1.Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            yield value.tag, event.step, plugin, tf.make_ndarray(value.tensor)


def test_history_is_one_row_an_epoch_and_continues(tmp_path):
    first = HistoryFile(tmp_path)
    first.on_epoch_end(0, LOGS)
    second = HistoryFile(tmp_path, first.rows)
    second.on_epoch_end(1, LOGS | {"input_wait": 0.125})
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0]["loss"] == "0.5" and rows[0]["val_iou_sky"] == ""
    assert [row["input_wait"] for row in rows] == ["", "0.125"]


def draw_bar(file):
    bar = ProgressBar(8, "val_rock_iou", file=file, log_seconds=0)
    bar._interval = 0
    bar.set_params({"epochs": 3, "steps": 4})
    bar.on_epoch_begin(1)
    for step in range(4):
        bar.on_train_batch_end(step, {"loss": 0.5})
    bar.on_test_begin()
    rates = {"images_per_second": 12.34, "input_wait": 0.05, "val_rock_iou": 0.6}
    bar.on_epoch_end(1, LOGS | rates)
    return file.getvalue()


def test_the_bar_shows_rate_time_left_and_scores():
    text = draw_bar(io.StringIO())
    assert "Epoch 2/3 [==========..........] 2/4" in text
    assert "images/s  left 0:0" in text and "loss 0.5000" in text
    last = text.splitlines()[-1]
    assert "12.3 images/s  input wait 5.0%" in last
    assert "val_mean_iou 0.2500  val_rock_iou 0.6000  left 0:0" in last
    assert "\r" not in text


def test_on_a_terminal_the_bar_moves_in_place():
    text = draw_bar(Terminal())
    assert text.count("\r") == 4 and text.count("\n") == 1


def test_durations_read_well():
    assert duration(65.4) == "1:05"
    assert duration(3 * 3600 + 7) == "3:00:07"
    assert duration(float("inf")) == "?"


def test_events_hold_scores_and_panels(tmp_path):
    images = np.random.default_rng(0).random([2, 16, 16, 3], np.float32)
    masks = np.zeros([2, 16, 16], np.int32)
    callback = EventFiles(tmp_path, images, masks)
    callback.set_model(network())
    callback.on_epoch_end(4, LOGS | {"learning_rate": 0.001, "input_wait": 0.5})
    callback.on_train_end()
    train = {tag: rest for tag, *rest in events(tmp_path / "tensorboard" / "train")}
    assert train["learning_rate"] == [5, "scalars", np.float32(0.001)]
    assert train["input_wait"][2] == 0.5
    scored = {t: rest for t, *rest in events(tmp_path / "tensorboard" / "validation")}
    assert scored["mean_iou"] == [5, "scalars", 0.25]
    width, height, first, second = scored["panels"][2]
    assert (width, height) == (b"56", b"16")
    drawn = np.asarray(Image.open(io.BytesIO(first)))
    assert drawn.shape == (16, 56, 3) and first != second


def test_a_panel_is_image_mask_prediction():
    image = np.full([2, 2, 3], 0.5, np.float32)
    drawn = panel(image, np.array([[0, 1], [2, 3]]), np.array([[3, 3], [1, 1]]))
    np.testing.assert_array_equal(drawn[:, :2], 128)
    np.testing.assert_array_equal(drawn[1, 6:8], [CLASS_COLORS[2], CLASS_COLORS[3]])
    np.testing.assert_array_equal(drawn[:, 12], [CLASS_COLORS[3], CLASS_COLORS[1]])


def test_curves_are_drawn_from_what_is_known(tmp_path):
    rows = [
        {"epoch": e, "loss": 1 / e, "val_loss": 2 / e, "val_mean_iou": 1 - 1 / e}
        for e in range(1, 8)
    ]
    for row in rows:
        row |= {f"val_iou_{name}": 0.5 for name in CLASS_NAMES}
    rows[3]["val_iou_sky"] = float("nan")
    draw_curves(tmp_path, rows, CLASS_NAMES)
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert picture.shape == (400, 1240, 3)
    blue = (np.abs(picture.astype(int) - (0, 0x72, 0xB2)) < 60).all(-1)
    assert blue[:, :620].sum() > 300 and blue[:, 620:].sum() > 300
    draw_curves(tmp_path, rows[:1], CLASS_NAMES)
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert (picture < 255).any()


def test_curves_without_matplotlib_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"needs matplotlib, .*'\.\[train\]'"):
        draw_curves(tmp_path, [{"epoch": 1, "loss": 1.0}], CLASS_NAMES)
    assert not list(tmp_path.iterdir())

import json
import math
import runpy
import sys

import numpy as np
import pytest

from lunar_tfds import command_line
from lunar_tfds.palette import CLASS_NAMES
from model.evaluation import model_card as model_card_module
from model.evaluation.model_card import CardConfig, model_card, write_card
from model.network import cost
from model.network.checkpoints import save_model
from model.network.unet import build_unet

DETAILS = {
    "image_size": 32,
    "mask": "clean",
    "class_names": list(CLASS_NAMES),
    "encoder_weights": "/home/someone/vgg16.weights.h5",
    "epoch": 7,
    "monitor": "val_mean_iou",
    "score": 0.81234,
    "precision": "bfloat16",
    "scores": {"mean_iou": 0.9, "val_mean_iou": 0.81234, "val_iou_sky": None},
    "dataset": {
        "name": "lunar_rocks",
        "version": "1.0.0",
        "source_fingerprint": "ab12",
    },
}
METRICS = {
    "mean_iou": 0.79,
    "mean_dice": 0.88,
    "rock_iou": 0.7,
    "rock_dice": 0.82,
    "pixel_accuracy": 0.97,
    "iou_per_class": {
        "ground": 0.97,
        "sky": None,
        "small_rock": 0.6,
        "large_rock": 0.8,
    },
    "num_examples": 976,
    "split": "test",
    "protocol": "lunarsite",
    "confidence_intervals_95": {"mean_iou": [0.78, 0.8]},
}


@pytest.fixture(scope="module")
def network():
    return build_unet(
        image_size=32,
        encoder_weights=None,
        frozen_blocks=0,
        decoder_filters=(8, 8, 8, 8),
    )


def test_card_states_what_it_is_its_data_licence_metrics_and_limits(network):
    total = cost.block_costs(network)[-1]
    card = model_card(DETAILS, total, METRICS)
    header, _, body = card.partition("\n---\n")
    assert header.startswith("---\nlicense: cc-by-nc-sa-4.0")
    titles = [line for line in body.splitlines() if line.startswith("#")]
    assert titles == [
        "# VGG16-UNet for lunar rocks",
        *("## Intended use", "## Training data", "## Training", "## Scores"),
        *("## Limits", "## Licence"),
    ]
    assert "float32 [N, 32, 32, 3]" in body and "3 `large_rock`" in body
    assert f"{total.parameters / 1e6:.1f} M parameters" in body
    assert "10.34740/kaggle/dsv/489236" in body and "no commercial use" in body
    assert "trained only on scenes that this project draws" in body
    assert "`clean`" in body and "source fingerprint ab12" in body
    assert "Epoch 7" in body and "`val_mean_iou`: 0.8123" in body
    assert "976 frames of `test`, protocol `lunarsite`" in body
    assert "| `mean_iou` | 0.7900 (95 % interval 0.7800 to 0.8000) |" in body
    assert "| IoU `sky` | none |" in body and "| IoU `small_rock` | 0.6000 |" in body


def test_a_path_of_the_training_machine_is_not_published():
    card = model_card(DETAILS)
    assert "vgg16.weights.h5" in card and "/home/someone" not in card


def test_without_an_evaluation_the_validation_scores_are_named_as_such():
    card = model_card(DETAILS)
    assert "On the validation split" in card and "fairer" in card
    assert "| `mean_iou` | 0.8123 |" in card  # Not the training score, 0.9.
    assert "| IoU `sky` | none |" in card and "nan" not in card


@pytest.mark.parametrize(
    ("size", "shape"),
    [(np.int64(32), "32, 32"), ([32, 48], "32, 48"), (None, "H, W")],
)
def test_a_card_names_the_input_of_every_kind_of_size(size, shape):
    assert f"float32 [N, {shape}, 3]" in model_card(DETAILS | {"image_size": size})


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_score_that_does_not_exist_is_none(value):
    card = model_card(DETAILS, metrics=METRICS | {"rock_iou": value})
    assert "| `rock_iou` | none |" in card


def test_the_least_details_make_a_card_that_says_what_is_not_known():
    names = ("image_size", "mask", "class_names")
    card = model_card({name: DETAILS[name] for name in names})
    assert "Not evaluated: run evaluate.py" in card
    assert "## Training\n" not in card


def test_bad_input_is_one_line(tmp_path, caplog):
    (tmp_path / "broken.json").write_text('{"split": ')
    (tmp_path / "other.json").write_text("[1, 2]")
    for flag, message in (
        ("--checkpoint=none", "no checkpoint at none: the file does not exist"),
        (f"--metrics={tmp_path / 'broken.json'}", "cannot read the metrics"),
        (f"--metrics={tmp_path / 'other.json'}", "is not a metrics.json"),
        ("--metric=x", "Unknown command line flag"),
    ):
        caplog.clear()
        status = command_line.run(CardConfig, write_card, ["model_card", flag])
        assert status == 1 and message in caplog.text, caplog.text


def test_command_writes_the_card_beside_the_checkpoint(network, tmp_path, monkeypatch):
    checkpoint, metrics = tmp_path / "moon.keras", tmp_path / "metrics.json"
    save_model(network, checkpoint, DETAILS)
    metrics.write_text(json.dumps(METRICS))
    flags = [f"--checkpoint={checkpoint}", f"--metrics={metrics}"]
    monkeypatch.setattr(sys, "argv", ["model_card", *flags])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(model_card_module.__file__, run_name="__main__")
    assert end.value.code == 0
    card = (tmp_path / "moon.md").read_text()
    assert card == model_card(DETAILS, cost.block_costs(network)[-1], METRICS)

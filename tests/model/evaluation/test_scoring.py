import json

import numpy as np
import pytest

from model.evaluation import bootstrap, scoring
from model.evaluation.summary import summarize
from tests.support.answers import Answers, examples, random_masks, run


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "BOOTSTRAP_RESAMPLES", 300)


def test_scores_by_hand():
    truth = np.array([[0, 0, 1, 1], [2, 2, 3, 3]])
    answer = np.array([[0, 1, 1, 1], [2, 3, 3, 3]])
    metrics = summarize(run([truth], [answer]))
    assert metrics["iou_per_class"] == pytest.approx(
        {"ground": 1 / 2, "sky": 2 / 3, "small_rock": 1 / 2, "large_rock": 2 / 3}
    )
    assert metrics["mean_iou"] == pytest.approx(7 / 12)
    assert metrics["dice_per_class"]["ground"] == pytest.approx(2 / 3)
    assert metrics["rock_iou"] == 1 and metrics["pixel_accuracy"] == 6 / 8
    assert metrics["confusion_matrix"][0] == [1, 1, 0, 0]
    assert metrics["num_examples"] == 1
    # Confidence 0.9 against accuracy 0.75.
    assert metrics["expected_calibration_error"] == pytest.approx(0.15, abs=1e-6)


def test_an_absent_class_is_null():
    ground = np.zeros((5, 6), int)
    metrics = summarize(run([ground], [ground]))
    assert metrics["iou_per_class"] == {
        "ground": 1,
        "sky": None,
        "small_rock": None,
        "large_rock": None,
    }
    assert metrics["rock_iou"] is None and metrics["mean_iou"] == 1
    assert metrics["confidence_intervals_95"]["iou_per_class"]["sky"] is None
    json.dumps(metrics, allow_nan=False)


def test_scores_are_of_the_whole_split_not_means_of_batches():
    truths, answers = random_masks(7)
    metrics = summarize(run(truths, answers))
    total = np.zeros((4, 4), int)
    np.add.at(total, (np.ravel(truths), np.ravel(answers)), 1)
    assert metrics["confusion_matrix"] == total.tolist()
    hits = np.diag(total)
    ious = hits / (total.sum(0) + total.sum(1) - hits)
    assert metrics["mean_iou"] == pytest.approx(ious.mean())
    per_frame = np.sum([f["confusion_matrix"] for f in metrics["frames"]], axis=0)
    np.testing.assert_array_equal(per_frame, total)


def test_one_frame_gives_an_interval_of_no_width():
    truths, answers = random_masks(1)
    metrics = summarize(run(truths, answers))
    low, high = metrics["confidence_intervals_95"]["mean_iou"]
    assert low == high == pytest.approx(metrics["mean_iou"])


def test_worst_and_best_frames_are_kept_once():
    truths, answers = random_masks(9)
    result = run(truths, answers, num_pictured=3)
    scores = [f["mean_iou"] for f in summarize(result)["frames"]]
    order = [f"{i:04d}" for i in np.argsort(scores)]
    assert [p.frame_id for p in result.worst] == order[:3]
    assert [p.frame_id for p in result.best] == order[:-4:-1]
    assert result.worst[0].image[0, 0, 0] == int(order[0])
    short = run(truths[:3], answers[:3], num_pictured=3)
    shown = [p.frame_id for p in short.worst + short.best]
    assert sorted(shown) == ["0000", "0001", "0002"]


def test_scores_by_defect_list():
    truths, answers = random_masks(4, wrong=0)
    answers[1] = (truths[1] + 1) % 4
    listed = {1: {"shadow": np.True_, "mismatch": np.False_}, 2: {"shadow": True}}
    result = scoring.evaluate(Answers(answers), examples(truths, listed))
    table = summarize(result)["defect_lists"]
    assert {name: row["num_examples"] for name, row in table.items()} == {
        "shadow": 2,
        "on no list": 2,
    }
    assert table["on no list"]["mean_iou"] == 1 > table["shadow"]["mean_iou"]
    assert summarize(run(truths, truths))["defect_lists"] == {}


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        run([], [])

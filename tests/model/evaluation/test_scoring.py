import copy
import json

import numpy as np
import pytest

from lunar_tfds.palette import CLASS_NAMES
from model.evaluation import scoring
from model.inference.predictor import Prediction


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(scoring, "BOOTSTRAP_RESAMPLES", 300)


def predicted(mask, confidence=0.9):
    """A prediction of `mask` that gives it `confidence` everywhere."""
    rest = (1 - confidence) / (len(CLASS_NAMES) - 1)
    probabilities = np.full((*mask.shape, len(CLASS_NAMES)), rest, np.float32)
    np.put_along_axis(probabilities, mask[..., None].astype(int), confidence, -1)
    return Prediction(mask.astype(np.uint8), probabilities)


class Answers:
    """Stands in for a Predictor: gives the answers it was made with."""

    class_names = CLASS_NAMES
    batch_size = 2

    def __init__(self, masks, confidence=0.9):
        self.left = list(masks)
        self.confidence = confidence

    def __call__(self, images, sizes):
        assert len(images) <= self.batch_size
        answers = [self.left.pop(0) for _ in images]
        assert [answer.shape for answer in answers] == list(sizes)
        return [predicted(answer, self.confidence) for answer in answers]


def examples(masks, defects=None):
    for index, mask in enumerate(masks):
        yield {
            "image": np.full((8, 8, 3), index, np.uint8),
            "mask": mask,
            "frame_id": f"{index:04d}".encode(),
            "defects": (defects or {}).get(index, {}),
        }


def random_masks(count, seed=0, shape=(12, 16), wrong=0.2):
    rng = np.random.default_rng(seed)
    truths = rng.integers(0, 4, (count, *shape))
    noise = (
        rng.random(truths.shape)
        < wrong * (0.5 + np.arange(count) / count)[:, None, None]
    )
    return list(truths), list(np.where(noise, rng.integers(0, 4, truths.shape), truths))


def run(truths, answers, confidence=0.9, **options):
    return scoring.evaluate(Answers(answers, confidence), examples(truths), **options)


def test_scores_by_hand():
    truth = np.array([[0, 0, 1, 1], [2, 2, 3, 3]])
    answer = np.array([[0, 1, 1, 1], [2, 3, 3, 3]])
    metrics = scoring.summarize(run([truth], [answer]))
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
    metrics = scoring.summarize(run([ground], [ground]))
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
    metrics = scoring.summarize(run(truths, answers))
    total = np.zeros((4, 4), int)
    np.add.at(total, (np.ravel(truths), np.ravel(answers)), 1)
    assert metrics["confusion_matrix"] == total.tolist()
    hits = np.diag(total)
    ious = hits / (total.sum(0) + total.sum(1) - hits)
    assert metrics["mean_iou"] == pytest.approx(ious.mean())
    per_frame = np.sum([f["confusion_matrix"] for f in metrics["frames"]], axis=0)
    np.testing.assert_array_equal(per_frame, total)


def test_calibration_of_a_perfectly_honest_predictor():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, (300, 400)).astype(np.float32)
    mask = rng.integers(0, 4, confidence.shape)
    probabilities = np.repeat((1 - confidence[..., None]) / 3, 4, -1)
    np.put_along_axis(probabilities, mask[..., None], confidence[..., None], -1)
    truth = np.where(rng.random(mask.shape) < confidence, mask, (mask + 1) % 4)
    counts = scoring.calibration_counts(truth, Prediction(mask, probabilities))
    assert counts[0].sum() == mask.size
    assert scoring.calibration_error(counts) < 0.01
    wrong = scoring.calibration_counts(mask + 1, Prediction(mask, probabilities))
    assert scoring.calibration_error(wrong) == pytest.approx(confidence.mean())


def test_full_confidence_is_in_the_last_bin():
    mask = np.zeros((2, 3), int)
    counts = scoring.calibration_counts(mask, predicted(mask, 1.0))
    assert counts[:, -1].tolist() == [6, 6, 6]


def test_the_interval_covers_the_true_score_about_95_times_in_100():
    rng = np.random.default_rng(0)
    # Frames of 100 pixels whose accuracy varies: population accuracy is 0.7.
    covered = 0
    for trial in range(60):
        accuracy = rng.uniform(0.5, 0.9, 40)
        right = rng.binomial(100, accuracy)
        confusions = np.zeros((40, 4, 4), np.int64)
        confusions[:, 0, 0], confusions[:, 0, 1] = right, 100 - right
        draws = scoring.bootstrap_scores(confusions, CLASS_NAMES, seed=trial)
        low, high = scoring.interval(draws["pixel_accuracy"])
        covered += low <= 0.7 <= high
    assert 50 <= covered <= 60


def test_one_frame_gives_an_interval_of_no_width():
    truths, answers = random_masks(1)
    metrics = scoring.summarize(run(truths, answers))
    low, high = metrics["confidence_intervals_95"]["mean_iou"]
    assert low == high == pytest.approx(metrics["mean_iou"])


def test_worst_and_best_frames_are_kept_once():
    truths, answers = random_masks(9)
    result = run(truths, answers, num_pictured=3)
    scores = [f["mean_iou"] for f in scoring.summarize(result)["frames"]]
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
    table = scoring.summarize(result)["defect_lists"]
    assert {name: row["num_examples"] for name, row in table.items()} == {
        "shadow": 2,
        "on no list": 2,
    }
    assert table["on no list"]["mean_iou"] == 1 > table["shadow"]["mean_iou"]
    assert scoring.summarize(run(truths, truths))["defect_lists"] == {}


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        run([], [])


@pytest.fixture
def scored():
    truths, answers = random_masks(12)
    better = [np.where(t == 0, t, a) for t, a in zip(truths, answers, strict=True)]
    return [
        scoring.summarize(run(truths, found)) | {"mask": "ground"}
        for found in (answers, better)
    ]


def test_a_clear_fall_is_worse_and_a_gain_is_not(scored):
    low, high = scored
    fall = scoring.compare(low, high)
    assert fall["worse"]
    change = fall["changes"]["mean_iou"]
    assert change["change"] == pytest.approx(low["mean_iou"] - high["mean_iou"])
    assert change["interval_95"][0] < change["change"] < change["interval_95"][1] < 0
    assert not scoring.compare(high, low)["worse"]


def test_no_change_is_not_worse_and_order_does_not_matter(scored):
    shuffled = copy.deepcopy(scored[0])
    shuffled["frames"].reverse()
    result = scoring.compare(scored[0], shuffled)
    assert not result["worse"]
    assert result["changes"]["mean_iou"] == {"change": 0, "interval_95": [0, 0]}


def test_pairing_narrows_the_interval(scored):
    result = scoring.compare(*scored)["changes"]["mean_iou"]["interval_95"]
    single = scored[0]["confidence_intervals_95"]["mean_iou"]
    assert result[1] - result[0] < single[1] - single[0]


def test_baselines_that_cannot_be_compared_are_refused(scored):
    here = scored[0]
    fewer = here | {"frames": here["frames"][:-1]}
    with pytest.raises(ValueError, match="11 against 12 here, 1 not in both"):
        scoring.compare(here, fewer)
    with pytest.raises(ValueError, match="clean masks"):
        scoring.compare(here, here | {"mask": "clean"})
    other = copy.deepcopy(here)
    other["frames"][3]["confusion_matrix"][0][0] += 1
    with pytest.raises(ValueError, match="frame 0003 has another mask"):
        scoring.compare(here, other)
    for broken in ({}, {"frames": [{}]}, {"frames": None}):
        with pytest.raises(ValueError, match="not a metrics.json"):
            scoring.compare(here, broken)

import copy

import numpy as np
import pytest

from lunar_tfds.palette import CLASS_NAMES
from model.evaluation import bootstrap
from model.evaluation.summary import summarize
from tests.support.answers import random_masks, run


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "BOOTSTRAP_RESAMPLES", 300)


def test_the_interval_covers_the_true_score_about_95_times_in_100():
    rng = np.random.default_rng(0)
    # Frames of 100 pixels whose accuracy varies: population accuracy is 0.7.
    covered = 0
    for trial in range(60):
        accuracy = rng.uniform(0.5, 0.9, 40)
        right = rng.binomial(100, accuracy)
        confusions = np.zeros((40, 4, 4), np.int64)
        confusions[:, 0, 0], confusions[:, 0, 1] = right, 100 - right
        draws = bootstrap.bootstrap_scores(confusions, CLASS_NAMES, seed=trial)
        low, high = bootstrap.interval(draws["pixel_accuracy"])
        covered += low <= 0.7 <= high
    assert 50 <= covered <= 60


@pytest.fixture
def scored():
    truths, answers = random_masks(12)
    better = [np.where(t == 0, t, a) for t, a in zip(truths, answers, strict=True)]
    return [
        summarize(run(truths, found)) | {"mask": "ground"}
        for found in (answers, better)
    ]


def test_a_clear_fall_is_worse_and_a_gain_is_not(scored):
    low, high = scored
    fall = bootstrap.compare(low, high)
    assert fall["worse"]
    change = fall["changes"]["mean_iou"]
    assert change["change"] == pytest.approx(low["mean_iou"] - high["mean_iou"])
    assert change["interval_95"][0] < change["change"] < change["interval_95"][1] < 0
    assert not bootstrap.compare(high, low)["worse"]


def test_no_change_is_not_worse_and_order_does_not_matter(scored):
    shuffled = copy.deepcopy(scored[0])
    shuffled["frames"].reverse()
    result = bootstrap.compare(scored[0], shuffled)
    assert not result["worse"]
    assert result["changes"]["mean_iou"] == {"change": 0, "interval_95": [0, 0]}


def test_pairing_narrows_the_interval(scored):
    result = bootstrap.compare(*scored)["changes"]["mean_iou"]["interval_95"]
    single = scored[0]["confidence_intervals_95"]["mean_iou"]
    assert result[1] - result[0] < single[1] - single[0]


def test_baselines_that_cannot_be_compared_are_refused(scored):
    here = scored[0]
    fewer = here | {"frames": here["frames"][:-1]}
    with pytest.raises(ValueError, match="11 against 12 here, 1 not in both"):
        bootstrap.compare(here, fewer)
    with pytest.raises(ValueError, match="clean masks"):
        bootstrap.compare(here, here | {"mask": "clean"})
    other = copy.deepcopy(here)
    other["frames"][3]["confusion_matrix"][0][0] += 1
    with pytest.raises(ValueError, match="frame 0003 has another mask"):
        bootstrap.compare(here, other)
    for broken in ({}, {"frames": [{}]}, {"frames": None}):
        with pytest.raises(ValueError, match="not a metrics.json"):
            bootstrap.compare(here, broken)

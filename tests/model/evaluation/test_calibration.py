import numpy as np
import pytest

from model.evaluation import calibration
from model.inference.predictor import Prediction
from tests.support.answers import predicted


def test_calibration_of_a_perfectly_honest_predictor():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, (300, 400)).astype(np.float32)
    mask = rng.integers(0, 4, confidence.shape)
    probabilities = np.repeat((1 - confidence[..., None]) / 3, 4, -1)
    np.put_along_axis(probabilities, mask[..., None], confidence[..., None], -1)
    truth = np.where(rng.random(mask.shape) < confidence, mask, (mask + 1) % 4)
    counts = calibration.calibration_counts(truth, Prediction(mask, probabilities))
    assert counts[0].sum() == mask.size
    assert calibration.calibration_error(counts) < 0.01
    wrong = calibration.calibration_counts(mask + 1, Prediction(mask, probabilities))
    assert calibration.calibration_error(wrong) == pytest.approx(confidence.mean())


def test_full_confidence_is_in_the_last_bin():
    mask = np.zeros((2, 3), int)
    counts = calibration.calibration_counts(mask, predicted(mask, 1.0))
    assert counts[:, -1].tolist() == [6, 6, 6]

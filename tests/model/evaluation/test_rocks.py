import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model.evaluation import rocks
from tests.lunar_tfds.test_image_arrays import flood_fill


def test_size_classes():
    # Disks of diameter 4, 8.01, 20, 63 and 100 px.
    areas = np.pi * np.array([4, 8.01, 20, 63, 100]) ** 2 / 4
    assert rocks.size_class(areas).tolist() == [0, 1, 2, 3, 4]
    assert len(rocks.size_names()) == len(rocks.SIZE_EDGES)


def test_counts_by_size_by_hand():
    truth, prediction = np.zeros((2, 40, 60), bool)
    truth[2:4, 2:4] = True  # 4 px: under 8.
    truth[10:30, 10:30] = True  # 400 px, 22.6 px across: 16 to 32.
    prediction[10:30, 10:35] = True  # All of it and 100 px too much.
    prediction[2, 50:55] = True  # 5 px of nothing.
    counts = rocks.scores_by_size(truth, prediction)
    assert counts[0].tolist() == [0, 5, 4, 1, 0]
    assert counts[2].tolist() == [400, 100, 0, 1, 1]
    assert counts.sum() == 512


@settings(max_examples=200)
@given(st.data())
def test_counts_by_size_sum_to_the_frames_own(data):
    shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    truth = data.draw(hnp.arrays(bool, shape))
    prediction = data.draw(hnp.arrays(bool, shape))
    totals = rocks.scores_by_size(truth, prediction).sum(axis=0)
    assert totals[0] == (truth & prediction).sum()
    assert totals[1] == (~truth & prediction).sum()
    assert totals[2] == (truth & ~prediction).sum()
    assert totals[4] <= totals[3] == len(flood_fill(truth)[1])


@pytest.mark.parametrize("shape", [(5, 5), (1, 1)])
def test_empty_masks_have_no_counts(shape):
    assert not rocks.scores_by_size(*np.zeros((2, *shape), bool)).any()

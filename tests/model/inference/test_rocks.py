import numpy as np

from lunar_tfds import palette
from model.inference import rocks


def test_rock_is_small_rock_and_large_rock():
    ids = np.array([[palette.GROUND, palette.SKY, palette.SMALL_ROCK, 3]])
    assert rocks.is_rock(ids).tolist() == [[False, False, True, True]]

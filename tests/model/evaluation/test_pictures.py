import numpy as np

from model.evaluation import pictures

IMAGE = np.full((40, 60, 3), 100, np.uint8)


def test_errors_have_a_colour_each():
    ground, sky, small, large = range(4)
    mask = np.array([[small, ground, small, ground, sky, large, ground]])
    predicted = np.array([[ground, small, large, sky, sky, large, ground]])
    picture = pictures.error_map(np.zeros((1, 7, 3), np.uint8), mask, predicted)[0]
    missed, invented, mixed, horizon = pictures.ERROR_COLORS.values()
    assert [tuple(c) for c in picture[:4]] == [missed, invented, mixed, horizon]
    assert picture[4].tolist() == [0, 0, 0] == picture[6].tolist()
    assert picture[5].tolist() == [0, 79, 58]  # Half its colour.


def test_a_photo_is_fitted_to_its_mask():
    assert pictures.fit_to(IMAGE, (40, 60)) is IMAGE
    assert pictures.fit_to(IMAGE, (21, 33)).shape == (21, 33, 3)

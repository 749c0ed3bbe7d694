import pytest

from tests.support import mutate_images


@pytest.mark.filterwarnings("ignore")
def test_damaged_photos_of_every_kind_give_a_picture_or_a_clear_error():
    assert mutate_images.main(mutate_images.Settings(mutations=2000)) == 0


@pytest.mark.parametrize("name", mutate_images.originals())
def test_the_whole_ones_are_read_or_refused(name):
    if "c8" in name or name == "icns":
        return  # Refused by name; too small a picture.
    assert mutate_images.decode_image(mutate_images.originals()[name]).shape[2] == 3

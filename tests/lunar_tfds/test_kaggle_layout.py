"""Names of files are made and read by the same rules."""

import pytest

from lunar_tfds import kaggle_layout as layout


@pytest.mark.parametrize("kind", layout.KINDS)
def test_what_is_named_is_read_back(kind):
    name = layout.frame_file(kind, layout.frame_id(42))
    assert name == f"images/{kind}/{kind}0042.png"
    assert layout.parse(name) == (kind, "0042")
    assert layout.is_dataset_file(name)
    assert layout.parse(layout.photo_file("PCAM5")) == (layout.PHOTO, "PCAM5")
    assert layout.parse(layout.photo_mask_file("PCAM5")) == (layout.PHOTO_MASK, "PCAM5")
    for defect in layout.DEFECTS:
        assert layout.is_dataset_file(layout.defects_file(defect))
    assert layout.is_dataset_file(layout.BOXES_FILE)


@pytest.mark.parametrize(
    "name, parsed",
    [
        ("images/render/Render42.PNG", ("render", "0042")),
        ("images/ground/ground12345.png", ("ground", "12345")),
        ("images/ground/clean0001.png", None),
        ("images/render/render.png", None),
        ("images/render/copy of render0001.png", None),
        ("images/render/deeper/render0001.png", None),
        ("render/render0001.png", None),
        ("real_moon_images/._PCAM5.png", None),
        ("real_moon_images/g_.png", ("photo", "g_")),
        ("real_moon_images/PCAM5.jpg", ("photo", "PCAM5")),
        ("real_moon_images/0001.png", ("photo", "photo_0001")),
        ("real_moon_images/g_0001.png", ("photo mask", "photo_0001")),
    ],
)
def test_other_names(name, parsed):
    assert layout.parse(name) == parsed
    assert layout.is_dataset_file(name) == (parsed is not None)


def test_text_files_lie_at_the_top():
    assert not layout.is_dataset_file("images/bounding_boxes.csv")
    assert not layout.is_dataset_file("._shadow_IDs.txt")
    assert not layout.is_dataset_file("bounding_boxes.csv.bak")

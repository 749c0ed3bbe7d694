import numpy as np
import pycocotools.mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import palette
from model.inference import coco
from model.inference.rocks import find_rocks

masks = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
    elements=st.integers(0, palette.NUM_CLASSES - 1),
)


def rocks_of(mask):
    return find_rocks(mask, np.eye(4, dtype=np.float32)[mask], 1)


@settings(max_examples=200)
@given(masks)
def test_the_instances_are_the_mask(mask):
    found = rocks_of(mask)
    entries = list(coco.annotations(found, mask.shape))
    painted = np.zeros_like(mask)
    for entry, rock in zip(entries, found, strict=True):
        run_lengths = entry["segmentation"]
        assert isinstance(run_lengths["counts"], str)
        whole = pycocotools.mask.decode(run_lengths)
        # The same text as the library makes of the whole image.
        packed = pycocotools.mask.encode(np.asfortranarray(whole))
        assert packed["counts"].decode() == run_lengths["counts"]
        assert pycocotools.mask.area(run_lengths) == entry["area"] == rock.area
        assert pycocotools.mask.toBbox(run_lengths).tolist() == entry["bbox"]
        assert entry["iscrowd"] == 0
        assert not painted[whole > 0].any()
        painted[whole > 0] = entry["category_id"]
    expected = np.where(mask >= palette.SMALL_ROCK, mask, 0)
    np.testing.assert_array_equal(painted, expected)

"""Cuts a large photo into overlapping tiles, and blends what is seen in them."""

import numpy as np

from lunar_tfds.kaggle_layout import FRAME_HEIGHT, FRAME_WIDTH

# Height and width of a tile, px: a training frame, so that rocks have the size and
# proportions that the network knows.
TILE_SIZE = (FRAME_HEIGHT, FRAME_WIDTH)
# Share of a tile that its neighbour covers too, at least.
TILE_OVERLAP = 0.25

# Rows and columns of a tile in its image.
Span = tuple[slice, slice]


class Tiling:
    """The tiles of one image, and their probabilities blended into the whole.

    Attributes:
        tile_size: (height, width), `TILE_SIZE` or less where the image is smaller.
        spans: list of (rows, columns) of each tile, evenly spread to cover the image.
    """

    def __init__(self, size: tuple[int, int], num_classes: int):
        """Plans the tiles of an image of `size` (height, width), px."""
        height, width = map(min, size, TILE_SIZE)
        self.tile_size = height, width
        self.spans: list[Span] = [
            (slice(top, top + height), slice(left, left + width))
            for top in tile_starts(size[0], height)
            for left in tile_starts(size[1], width)
        ]
        self._window = blend_window(height, width)[..., np.newaxis]
        self._total = np.zeros((*size, num_classes), np.float32)
        self._weight = np.zeros((*size, 1), np.float32)

    def add(self, span: Span, probabilities: np.ndarray) -> None:
        """Adds what was seen in the tile at `span`, float32 [height, width, C]."""
        self._total[span] += self._window * probabilities
        self._weight[span] += self._window

    def blended(self) -> np.ndarray:
        """Returns float32 [height, width, C] once every tile was added."""
        self._total /= self._weight
        return self._total


def tile_starts(length: int, tile: int) -> list[int]:
    """Returns where tiles start along one side, evenly spread to cover it all."""
    if length <= tile:
        return [0]
    step = tile * (1 - TILE_OVERLAP)
    count = int(np.ceil((length - tile) / step)) + 1
    return np.rint(np.linspace(0, length - tile, count)).astype(int).tolist()


def blend_window(height: int, width: int) -> np.ndarray:
    """Returns a tile's weights, float32 [height, width] in (0, 1], largest inside.

    A squared sine along each side (Hann), at least 0.01 so that the image's own
    border, which one tile alone covers, divides well.
    """
    sides = [
        np.maximum(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, 0.01)
        for n in (height, width)
    ]
    return np.outer(*sides).astype(np.float32)

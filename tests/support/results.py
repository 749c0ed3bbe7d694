"""Results of prediction as the network would give them, without one."""

import dataclasses

import numpy as np

from lunar_tfds import palette
from model.inference.outputs import Result
from model.inference.predictor import Prediction


@dataclasses.dataclass
class File:
    """A photo that no disk holds."""

    relative: str
    details: dict = dataclasses.field(default_factory=dict)

    @property
    def name(self):
        return self.relative.rpartition("/")[2].rpartition(".")[0]

    def __str__(self):
        return f"photos/{self.relative}"


def result(relative="a.png", size=(24, 36), seed=0, file=None):
    """Returns a result: sky above, a large rock that a small one touches, one apart."""
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (*size, 3), np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[:5] = palette.SKY
    mask[8:14, 4:12] = palette.LARGE_ROCK
    mask[14, 5:9] = palette.SMALL_ROCK
    mask[16:19, 20:23] = palette.SMALL_ROCK
    probabilities = np.full((*size, 4), 0.1, np.float32)
    np.put_along_axis(probabilities, mask[..., np.newaxis].astype(int), 0.7, axis=-1)
    return Result(file or File(relative), image, Prediction(mask, probabilities))


def write(output, results, failures=()):
    """Runs results, and pairs of a file and an error, through an output."""
    for one in results:
        output.add(one.file, output.make(one))
    for file, error in failures:
        output.fail(file, error)
    output.close()

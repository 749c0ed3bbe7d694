"""Random geometry and brightness of a training example, drawn without pixels."""

import dataclasses
import math
import typing

import tensorflow as tf

from lunar_tfds.settings import between, check, setting


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths of what is drawn; the defaults suit scenes with a horizon.

    A scene seen from a rover has its sky above: it may be mirrored left to right and
    tilt a little, but is never upside down. Every parameter but the noise is the same
    for all pixels of an example. 0 turns a strength off.

    Attributes:
        horizontal_flip: probability in [0, 1] of mirroring left to right.
        vertical_flip: probability in [0, 1] of mirroring top to bottom.
        rotation: largest angle either way, degrees, uniform. The renders' own camera
            roll spans -20 to 20 degrees.
        shift: largest shift along each axis, as a fraction of its length, uniform.
        scale: largest zoom either way: 0.2 scales by 1/1.2 to 1.2, log-uniform.
        brightness: largest amount added to [0, 1] pixels either way, uniform.
        contrast: largest relative change of the gain either way, uniform. The gain
            pivots at black, so a black sky stays black.
        color: largest relative change of a channel's own gain either way, log-uniform:
            a cast of colour. The renders are grey and real photos brownish. Off by
            default.
        gamma: pixels are raised to a power in 1/(1 + gamma) to 1 + gamma,
            log-uniform. Off by default: it costs more than all of the above.
        noise: standard deviation of Gaussian sensor noise at the largest, in units of
            [0, 1] pixels; each example draws its own, uniform. The renders have none,
            real photos do. Off by default.

    Raises:
        ValueError: a strength is outside its range.
    """

    FLAG_PREFIX: typing.ClassVar[str] = "augment_"

    horizontal_flip: float = setting(
        0.5, "Probability of mirroring left to right.", between(0, 1)
    )
    vertical_flip: float = setting(
        0.0, "Probability of mirroring top to bottom.", between(0, 1)
    )
    rotation: float = setting(
        10.0, "Largest angle either way, degrees.", between(0, 180)
    )
    shift: float = setting(
        0.05, "Largest shift, as a fraction of each side.", between(0, 1)
    )
    scale: float = setting(
        0.2, "Largest zoom: 0.2 scales by 1/1.2 to 1.2.", between(0, 10)
    )
    brightness: float = setting(
        0.1, "Largest amount added to [0, 1] pixels either way.", between(0, 1)
    )
    contrast: float = setting(
        0.2, "Largest relative change of the gain either way.", between(0, 1)
    )
    color: float = setting(
        0.0, "Largest cast: 0.2 scales each channel by 1/1.2 to 1.2.", between(0, 10)
    )
    gamma: float = setting(
        0.0, "Largest power: 0.5 raises to 1/1.5 to 1.5.", between(0, 10)
    )
    noise: float = setting(
        0.0, "Largest standard deviation of noise on [0, 1] pixels.", between(0, 1)
    )

    def __post_init__(self):
        check(self)


NUM_DRAWS = 14


def draw(
    augmentation: Augmentation | None, seed: int, step: tf.Tensor, batch_size: int
) -> dict[str, tf.Tensor]:
    """Returns the random parameters of each example of one global batch.

    The draw depends on `seed`, `step` and the example's place in the global batch
    alone, so replicas, workers and parallel calls cannot change it.

    Args:
        augmentation: an `Augmentation`, or None for none.
        seed: int.
        step: int64 scalar, steps since the start of epoch 0.
        batch_size: int, the global batch size.

    Returns:
        dict of float32 [batch_size]: `angle` (radians, counter-clockwise), `shift_x`,
        `shift_y` (fractions of the width and height, right and down), `scale` (above
        1 enlarges), `flip_x`, `flip_y` (-1 mirrored, 1 not), `gain`, `bias`, `gamma`,
        `noise` (standard deviation) and `noise_start` (in [0, 1)); and `cast` float32
        [batch_size, 3], gains of red, green and blue.
    """
    if augmentation is None:
        one, zero = tf.ones([batch_size]), tf.zeros([batch_size])
        names = ("angle", "shift_x", "shift_y", "bias", "noise", "noise_start")
        ones = ("scale", "flip_x", "flip_y", "gain", "gamma")
        drawn = dict.fromkeys(names, zero) | dict.fromkeys(ones, one)
        return drawn | {"cast": tf.ones([batch_size, 3])}
    uniform = tf.random.stateless_uniform(
        [NUM_DRAWS, batch_size], seed=tf.stack([tf.constant(seed, tf.int64), step])
    )
    signed = 2.0 * uniform - 1.0
    power, cast = math.log1p(augmentation.gamma), math.log1p(augmentation.color)
    return {
        "angle": signed[0] * math.radians(augmentation.rotation),
        "shift_x": signed[1] * augmentation.shift,
        "shift_y": signed[2] * augmentation.shift,
        "scale": tf.exp(signed[3] * math.log1p(augmentation.scale)),
        "flip_x": tf.where(uniform[4] < augmentation.horizontal_flip, -1.0, 1.0),
        "flip_y": tf.where(uniform[5] < augmentation.vertical_flip, -1.0, 1.0),
        "gain": 1.0 + signed[6] * augmentation.contrast,
        "bias": signed[7] * augmentation.brightness,
        "gamma": tf.exp(signed[8] * power),
        "noise": uniform[9] * augmentation.noise,
        "noise_start": uniform[10],
        "cast": tf.exp(tf.transpose(signed[11:14]) * cast),
    }

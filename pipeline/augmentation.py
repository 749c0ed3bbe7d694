"""Random geometry and brightness of a training example, drawn without pixels."""

import dataclasses
import math

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths of the random changes; the defaults suit scenes with a horizon.

    A scene seen from a rover has its sky above: it may be mirrored left to right and
    tilt a little, but is never upside down. Every change but the noise is the same
    for all pixels of an example. 0 (1 for probabilities: never) turns a change off.

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
        gamma: pixels are raised to a power in 1/(1 + gamma) to 1 + gamma,
            log-uniform. Off by default: it costs more than all of the above.
        noise: standard deviation of Gaussian sensor noise at the largest, in units of
            [0, 1] pixels; each example draws its own, uniform. The renders have none,
            real photos do. Off by default.

    Raises:
        ValueError: a strength is outside its range.
    """

    horizontal_flip: float = 0.5
    vertical_flip: float = 0.0
    rotation: float = 10.0
    shift: float = 0.05
    scale: float = 0.2
    brightness: float = 0.1
    contrast: float = 0.2
    gamma: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        limits = dict.fromkeys(("horizontal_flip", "vertical_flip", "shift"), 1)
        limits |= {"rotation": 180, "brightness": 1, "contrast": 1, "noise": 1}
        limits |= {"scale": 10, "gamma": 10}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ValueError(
                    f"Augmentation.{name} must lie in [0, {limit}]: got {value}. "
                    "Use 0 to turn it off."
                )


NUM_DRAWS = 11


def draw(augmentation, seed, step, batch_size):
    """Returns the random changes of each example of one global batch.

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
        `noise` (standard deviation) and `noise_start` (in [0, 1)).
    """
    if augmentation is None:
        one, zero = tf.ones([batch_size]), tf.zeros([batch_size])
        names = ("angle", "shift_x", "shift_y", "bias", "noise", "noise_start")
        ones = ("scale", "flip_x", "flip_y", "gain", "gamma")
        return dict.fromkeys(names, zero) | dict.fromkeys(ones, one)
    uniform = tf.random.stateless_uniform(
        [NUM_DRAWS, batch_size], seed=tf.stack([tf.constant(seed, tf.int64), step])
    )
    signed = 2.0 * uniform - 1.0
    power = math.log1p(augmentation.gamma)
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
    }

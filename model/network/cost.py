"""Parameters, arithmetic and memory of the network, block by block.

    python -m model.network.cost --image_size=512 --frozen_blocks=4

Counts come from the layers' shapes; nothing is run. Imports no TensorFlow.
"""

import dataclasses
import math
import sys
from collections.abc import Iterable

import keras

from lunar_tfds import command_line, settings
from lunar_tfds.settings import between, setting
from model.network.precision import POLICIES, policy
from model.network.unet import (
    DEFAULT_ENCODER,
    ENCODERS,
    IMAGE_SIZE,
    NUM_BLOCKS,
    build_unet,
    freeze_encoder,
    is_network_size,
)


@dataclasses.dataclass(frozen=True)
class CostConfig:
    """What to count."""

    encoder: str = setting(DEFAULT_ENCODER, "Encoder.", choices=tuple(ENCODERS))
    image_size: int = setting(IMAGE_SIZE, "Height and width, px.", is_network_size)
    frozen_blocks: int | None = setting(
        None,
        "Encoder blocks not trained; 4 of vgg16, 0 of efficientnet_lite0.",
        between(0, NUM_BLOCKS),
    )
    precision: str = setting(
        "float32", "Precision of the activations.", choices=tuple(POLICIES)
    )

    def __post_init__(self):
        settings.check(self)


@dataclasses.dataclass
class BlockCost:
    """What one block of the network costs for one frame.

    Attributes:
        name: of the block, for example 'block3', 'decoder1' or 'logits'.
        parameters: numbers stored, moving averages included.
        trainable: those of them that training changes.
        forward_gflop: 10^9 floating point operations of the convolutions forward, a
            multiply-add being two. Normalization, activations and pools are left out:
            below 1 % together.
        step_gflop: the same for a training step: forward, gradients by the trained
            kernels, and gradients by inputs where something before them is trained.
        activation_mib: MiB of all layer outputs, in each layer's compute type.
        kept_mib: MiB of those that a training step keeps until the backward pass.
    """

    name: str
    parameters: int = 0
    trainable: int = 0
    forward_gflop: float = 0.0
    step_gflop: float = 0.0
    activation_mib: float = 0.0
    kept_mib: float = 0.0

    def add(self, other: "BlockCost") -> None:
        """Adds another block's numbers to this one's."""
        for field in dataclasses.fields(self)[1:]:
            total = getattr(self, field.name) + getattr(other, field.name)
            setattr(self, field.name, total)


def block_costs(model: keras.Model) -> list[BlockCost]:
    """Returns the cost of each block of a model, in the order of the graph.

    Args:
        model: keras.Model of `build_unet` with a fixed image size.

    Returns:
        list of BlockCost, the last one named 'total'.

    Raises:
        ValueError: the model's image size is not fixed.
    """
    if None in model.input_shape[1:]:
        raise ValueError(
            f"costs need a fixed image size: got {model.input_shape[1:]}. Build the "
            "model with image_size=512 or another int."
        )
    blocks: dict[str, BlockCost] = {}
    gradient: set[int] = set()
    kept: set[int] = set()
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        block = layer.name.split("_")[0]
        cost = _layer_cost(layer, gradient, kept)
        blocks.setdefault(block, BlockCost(block)).add(cost)
    total = BlockCost("total")
    for cost in blocks.values():
        total.add(cost)
    return [*blocks.values(), total]


def convolution_flop(layer: keras.Layer) -> int:
    """Returns the floating point operations of a layer for one image.

    A convolution does 2 x kernel height x kernel width x input channels x filters for
    each output position; a transposed one the same for each input position; a depthwise
    one as if it had one filter; a separable one both of its parts; other layers count
    as 0.
    """
    if isinstance(layer, keras.layers.Conv2DTranspose):
        positions, kernels = layer.input.shape[1:3], [layer.kernel]
    elif isinstance(layer, keras.layers.SeparableConv2D):
        positions = layer.output.shape[1:3]
        kernels = [layer.depthwise_kernel, layer.pointwise_kernel]
    elif isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        positions, kernels = layer.output.shape[1:3], [layer.kernel]
    else:
        return 0
    return 2 * math.prod(positions) * sum(math.prod(k.shape) for k in kernels)


def format_table(costs: Iterable[BlockCost]) -> str:
    """Returns a text table of BlockCosts, one line a block."""
    header = (
        f"{'block':<11}{'parameters':>12}{'trainable':>12}{'forward':>9}{'step':>9}"
        f"{'activations':>13}{'kept':>8}"
    )
    units = f"{'':<35}{'GFLOP':>9}{'GFLOP':>9}{'MiB':>13}{'MiB':>8}"
    lines = [
        f"{c.name:<11}{c.parameters:>12,}{c.trainable:>12,}{c.forward_gflop:>9.2f}"
        f"{c.step_gflop:>9.2f}{c.activation_mib:>13.1f}{c.kept_mib:>8.1f}"
        for c in costs
    ]
    return "\n".join([header, units, *lines])


def _layer_cost(layer, gradient, kept):
    """Returns the BlockCost of one layer.

    Args:
        layer: keras.Layer of the model.
        gradient: set of ids of the tensors through which gradients flow back; this
            layer's output is added where they do.
        kept: set of ids of the tensors already counted as kept; added to likewise.
    """
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    trained = bool(layer.trainable_weights)
    passes = any(id(tensor) in gradient for tensor in inputs)
    if trained or passes:
        gradient.add(id(layer.output))
    forward = convolution_flop(layer) / 1e9
    mebibytes = 0.0
    for tensor in _kept_tensors(layer, inputs, trained, passes):
        if id(tensor) not in kept:
            kept.add(id(tensor))
            mebibytes += _mebibytes(tensor, layer.compute_dtype)
    return BlockCost(
        name="",
        parameters=layer.count_params(),
        trainable=sum(math.prod(w.shape) for w in layer.trainable_weights),
        forward_gflop=forward,
        step_gflop=forward * (1 + trained + passes),
        activation_mib=_mebibytes(layer.output, layer.compute_dtype),
        kept_mib=mebibytes,
    )


def _kept_tensors(layer, inputs, trained, passes):
    """Returns what the backward pass through `layer` reads.

    The gradient by a kernel, a normalization and a LeakyReLU read the input, a pool
    both ends, and a ReLU inside a convolution the output.
    """
    if not (trained or passes) or isinstance(layer, keras.layers.Concatenate):
        return []
    kept = list(inputs) if trained or not convolution_flop(layer) else []
    has_relu = getattr(layer, "activation", None) is keras.activations.relu
    if has_relu or isinstance(layer, keras.layers.MaxPooling2D):
        kept.append(layer.output)
    return kept


def _mebibytes(tensor, dtype):
    """Returns the size of one image's tensor of this type."""
    size = {"float32": 4, "bfloat16": 2, "float16": 2}[dtype]
    return math.prod(tensor.shape[1:]) * size / 2**20


def main(config: CostConfig) -> None:
    """Prints the table of the network that the settings describe."""
    size = config.image_size
    with policy(config.precision):
        model = build_unet(
            image_size=size, encoder_weights=None, encoder=config.encoder
        )
    frozen = config.frozen_blocks
    if frozen is None:
        frozen = ENCODERS[config.encoder].FROZEN_BLOCKS
    freeze_encoder(model, frozen)
    print(
        f"{model.name}, {size}x{size} px, {config.precision}, blocks 1 to "
        f"{frozen} frozen, for one frame:"
    )
    print(format_table(block_costs(model)))


if __name__ == "__main__":
    sys.exit(command_line.run(CostConfig, main))

import keras
import pytest

from lunar_tfds import command_line
from model.network import cost
from model.network.precision import policy
from model.network.unet import build_unet, freeze_encoder


@pytest.fixture(scope="module")
def model():
    return build_unet(image_size=512, encoder_weights=None, frozen_blocks=0)


def costs_of(model, frozen_blocks):
    freeze_encoder(model, frozen_blocks)
    return {cost.name: cost for cost in cost.block_costs(model)}


@pytest.fixture(scope="module")
def costs(model):
    return costs_of(model, frozen_blocks=4)


def test_parameters_equal_hand_arithmetic(costs):
    def conv(channels, filters):
        return 9 * channels * filters + filters

    blocks_1_to_4 = (
        conv(3, 64) + conv(64, 64)
        + conv(64, 128) + conv(128, 128)
        + conv(128, 256) + 2 * conv(256, 256)
        + conv(256, 512) + 2 * conv(512, 512)
    )  # fmt: skip
    assert blocks_1_to_4 == 7_635_264
    block5 = 3 * conv(512, 512)
    assert blocks_1_to_4 + block5 == 14_714_688  # VGG16 without top, as published.
    # Upsampling 2x2 without bias, convolution 3x3 without bias over both, two trained
    # and two moving numbers for each normalized channel.
    widths = [(512, 512, 256), (256, 256, 128), (128, 128, 64), (64, 64, 32)]
    kernels = sum(4 * i * f + 9 * (f + s) * f for i, s, f in widths)
    channels = 256 + 128 + 64 + 32 + sum(skip for _, skip, _ in widths)
    head = 32 * 4 + 4
    preprocess = 3 * 3 + 3
    total = costs["total"]
    assert total.trainable == block5 + kernels + 2 * channels + head
    assert total.parameters == (
        preprocess + blocks_1_to_4 + block5 + kernels + 4 * channels + head
    )
    assert costs["block5"].parameters == costs["block5"].trainable == block5


def test_forward_gflop_equal_hand_arithmetic(costs):
    giga = 2 * 9 / 1e9  # A multiply and an add at each of nine taps.
    blocks = {
        "block1": 512**2 * (3 * 64 + 64 * 64),
        "block2": 256**2 * (64 * 128 + 128 * 128),
        "block3": 128**2 * (128 * 256 + 2 * 256 * 256),
        "block4": 64**2 * (256 * 512 + 2 * 512 * 512),
        "block5": 32**2 * (3 * 512 * 512),
    }
    for name, products in blocks.items():
        assert costs[name].forward_gflop == pytest.approx(giga * products)
    assert sum(giga * p for p in blocks.values()) == pytest.approx(160.4, abs=0.05)
    # One tap of the transposed convolution reaches each output position.
    decoder1 = 512**2 * (2 * 64 * 32 + 18 * (32 + 64) * 32) / 1e9
    assert costs["decoder1"].forward_gflop == pytest.approx(decoder1)
    assert costs["total"].forward_gflop == pytest.approx(222.7, abs=0.05)


def test_step_gflop_equal_hand_arithmetic(costs):
    # Frozen blocks run forward only, decoder and head three times, and block 5 three
    # times less the gradient by its own input, which nothing trained waits for.
    by_input = 2 * 32**2 * 9 * 512 * 512 / 1e9
    frozen = sum(costs[f"block{block}"].forward_gflop for block in (1, 2, 3, 4))
    others = costs["total"].forward_gflop - frozen - costs["preprocess"].forward_gflop
    expected = frozen + costs["preprocess"].forward_gflop + 3 * others - by_input
    assert costs["total"].step_gflop == pytest.approx(expected)
    assert costs["total"].step_gflop == pytest.approx(372, abs=1)


def test_with_nothing_frozen_all_but_the_first_input_gradient_is_computed(model):
    total = costs_of(model, frozen_blocks=0)["total"]
    first = 2 * 512**2 * 9 * 3 * 64 / 1e9
    preprocess = 2 * 512**2 * 9 / 1e9
    expected = 3 * total.forward_gflop - first - 2 * preprocess
    assert total.step_gflop == pytest.approx(expected)


def test_activation_memory_equals_hand_arithmetic(costs):
    # Two convolutions of 64 channels and a pool, 4 bytes each.
    mib = (2 * 512**2 + 256**2) * 64 * 4 / 2**20
    assert costs["block1"].activation_mib == pytest.approx(mib)
    assert costs["block1"].kept_mib == 0  # Frozen: nothing is kept.
    # Block 5 keeps its input and its three outputs.
    assert costs["block5"].kept_mib == pytest.approx(4 * 32**2 * 512 * 4 / 2**20)
    # The finest level keeps the inputs of its five trained or following layers.
    finest = (256**2 * 64 + 512**2 * (64 + 96 + 32 + 32)) * 4 / 2**20
    assert costs["decoder1"].kept_mib == pytest.approx(finest)


def test_half_precision_halves_activations():
    with policy("bfloat16"):
        model = build_unet(image_size=32, encoder_weights=None, frozen_blocks=0)
    half = costs_of(model, frozen_blocks=0)
    assert half["decoder1"].activation_mib == pytest.approx(32**2 * (64 + 224) / 2**19)
    assert half["logits"].activation_mib == pytest.approx(32**2 * 4 / 2**18)


def test_a_dynamic_size_is_refused():
    model = build_unet(image_size=None, encoder_weights=None, frozen_blocks=0)
    with pytest.raises(ValueError, match="fixed image size"):
        cost.block_costs(model)


def test_command_prints_every_block(capsys):
    flags = ["cost", "--image_size=64", "--precision=bfloat16"]
    assert command_line.run(cost.CostConfig, cost.main, flags) == 0
    assert keras.config.dtype_policy().name == "float32"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vgg16_unet, 64x64 px, bfloat16, blocks 1 to 4 frozen")
    names = [line.split()[0] for line in lines[3:]]
    decoder = [f"decoder{level}" for level in (4, 3, 2, 1)]
    encoder = [f"block{block}" for block in (1, 2, 3, 4, 5)]
    assert names == ["preprocess", *encoder, *decoder, "logits", "total"]

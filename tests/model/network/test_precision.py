"""Which precisions a processor computes in itself, and models in another one."""

import keras
import numpy as np
import pytest

from model.network import precision
from model.network.precision import cpu_has
from model.network.unet import build_unet
from tests.support.narrow import make_narrow

X86 = "model name : one\nflags : fpu avx2 {}\n\nflags : fpu avx2\n"
ARM = "processor : 0\nFeatures : fp asimd {}\n"


@pytest.mark.parametrize(
    "text, name, has",
    [
        (X86.format("f16c"), "bfloat16", False),
        (X86.format("f16c"), "float16", False),
        (X86.format("f16c"), "float32", True),
        (X86.format("avx512_bf16"), "bfloat16", True),
        (X86.format("amx_bf16"), "float16", False),
        (ARM.format("bf16"), "bfloat16", True),
        (ARM.format("asimdhp"), "bfloat16", False),
        ("processor : 0\n", "bfloat16", None),
    ],
)
def test_what_a_processor_has_and_lacks(tmp_path, monkeypatch, text, name, has):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_has(name, tmp_path / "cpuinfo") is has
    monkeypatch.setattr(precision, "cpu_has", lambda _: has)
    assert precision.is_emulated_on_cpu(name) == (has is False)


def test_elsewhere_nothing_is_known(tmp_path):
    assert cpu_has("bfloat16", tmp_path / "none") is None


def test_a_built_model_computes_in_another_precision(monkeypatch):
    make_narrow(monkeypatch)
    model = build_unet(image_size=32, encoder_weights=None, frozen_blocks=0)
    assert precision.precision_of(model) == "float32"
    precision.set_precision(model, "bfloat16")
    assert precision.precision_of(model) == "bfloat16"
    with precision.policy("bfloat16"):
        built = build_unet(image_size=32, encoder_weights=None, frozen_blocks=0)
    # The first is the input, which computes nothing.
    for one, other in zip(model.layers[1:], built.layers[1:], strict=True):
        assert one.compute_dtype == other.compute_dtype, one.name
    built.set_weights(model.get_weights())
    image = keras.random.uniform((1, 32, 32, 3), seed=0)
    ours, theirs = model(image), built(image)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)

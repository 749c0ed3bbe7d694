"""Which precisions a processor computes in itself."""

import pytest

from model.network.precision import is_emulated_on_cpu

X86 = "model name : one\nflags : fpu avx2 {}\n\nflags : fpu avx2\n"
ARM = "processor : 0\nFeatures : fp asimd {}\n"


@pytest.mark.parametrize(
    "text, precision, emulated",
    [
        (X86.format("f16c"), "bfloat16", True),
        (X86.format("f16c"), "float16", True),
        (X86.format("f16c"), "float32", False),
        (X86.format("avx512_bf16"), "bfloat16", False),
        (X86.format("amx_bf16"), "float16", True),
        (ARM.format("bf16"), "bfloat16", False),
        (ARM.format("asimdhp"), "bfloat16", True),
        ("processor : 0\n", "bfloat16", False),  # Nothing is known.
    ],
)
def test_what_a_processor_lacks_is_emulated(tmp_path, text, precision, emulated):
    (tmp_path / "cpuinfo").write_text(text)
    assert is_emulated_on_cpu(precision, tmp_path / "cpuinfo") == emulated


def test_elsewhere_nothing_is_known(tmp_path):
    assert not is_emulated_on_cpu("bfloat16", tmp_path / "none")

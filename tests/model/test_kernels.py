"""TensorFlow takes oneDNN's kernels wherever this project is imported first."""

import os
import platform
import subprocess
import sys

import pytest

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def has_onednn(import_statement, **variables):
    """Returns whether a fresh process runs oneDNN's kernels after an import."""
    code = (
        f"{import_statement}\n"
        "from tensorflow.python.framework import test_util\n"
        "print(test_util.IsMklEnabled())"
    )
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        text=True,
        capture_output=True,
        check=True,
    )
    return result.stdout.split()[-1] == "True"


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is asked for on x86"
)
@pytest.mark.parametrize("package", ["model", "commands.predict"])
def test_kernels_are_onednns_unless_the_user_says_otherwise(package):
    assert has_onednn(f"import {package}")
    assert not has_onednn(f"import {package}", **{VARIABLE: "0"})

import os
import pathlib
import subprocess
import sys

import pytest

from model.network import extras

ROOT = pathlib.Path(__file__).parents[3]


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    extras.need("numpy", "this test")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ValueError, match=r"It needs jinja2.*pip install -e '\.\[train"):
        extras.need("jinja2", "It")


def test_every_command_starts_without_the_extras():
    program = """
import sys
for name in ("matplotlib", "jinja2", "onnx", "onnxruntime", "tf2onnx"):
    sys.modules[name] = None
from commands import demo, evaluate, export, predict, train
"""
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=300,
    )

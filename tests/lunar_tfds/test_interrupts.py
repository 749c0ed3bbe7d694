import os
import pathlib
import signal
import subprocess
import sys

import pytest

from lunar_tfds import interrupts

ROOT = pathlib.Path(__file__).parents[2]
# In place of an import that takes seconds.
SLOW = "import time; print('importing', flush=True); time.sleep(60)"


def commands():
    """Returns the arguments of Python that start each command of the project."""
    found = [[f"{name}.py"] for name in ("train", "evaluate", "predict", "export")]
    found.append(["demo.py"])
    for floor in ("model", "pipeline", "lunar_tfds"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            if '\nif __name__ == "__main__":' in path.read_text():
                module = path.relative_to(ROOT).with_suffix("").as_posix()
                name = module.replace("/", ".").removesuffix(".__main__")
                found.append(["-m", name])
    return found


def test_every_command_is_found():
    names = [arguments[-1] for arguments in commands()]
    assert {"lunar_tfds.synthetic", "pipeline.preview"} < set(names)
    assert len(names) >= 14


@pytest.mark.parametrize("arguments", commands(), ids=lambda a: a[-1])
def test_ctrl_c_while_a_command_starts_is_one_line(arguments, tmp_path):
    for name in ("tensorflow", "tensorflow_datasets", "keras"):
        (tmp_path / f"{name}.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == interrupts.EXIT_INTERRUPTED
    assert errors.split("\n") == ["", interrupts.MESSAGE, ""]


def test_another_program_keeps_its_own_handler():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    interrupts.end_in_one_line()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_inside_a_command_ctrl_c_is_raised_and_afterwards_it_ends():
    code = """
import os, signal
from lunar_tfds import interrupts
interrupts._is_command = lambda: True
interrupts.end_in_one_line()
try:
    with interrupts.raised():
        os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("raised", flush=True)
os.kill(os.getpid(), signal.SIGINT)
print("not reached", flush=True)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (130, "raised\n")
    assert result.stderr.endswith(f"\n{interrupts.MESSAGE}\n")

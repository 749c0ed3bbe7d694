"""Ctrl-C ends a command in one line; a closed stdout does not end it."""

import io
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from lunar_tfds import terminal
from lunar_tfds.terminal import lossy

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
    assert process.returncode == terminal.EXIT_INTERRUPTED
    assert errors.split("\n") == ["", terminal.MESSAGE, ""]


def test_another_program_keeps_its_own_handler():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    terminal.end_on_interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_inside_a_command_ctrl_c_is_raised_and_afterwards_it_ends():
    code = """
import os, signal
from lunar_tfds import terminal
terminal.is_command = lambda: True
terminal.end_on_interrupt()
try:
    with terminal.interrupts_raised():
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
    assert result.stderr.endswith(f"\n{terminal.MESSAGE}\n")


PRINTING = """
import dataclasses, os, pathlib, sys
from lunar_tfds import command_line
from lunar_tfds.settings import setting

@dataclasses.dataclass
class Lines:
    file: str = setting("", "What to write at the end.")

def main(lines):
    sys.stdin.read()
    for number in range(5000):
        print("a line of the progress", number, flush=True)
        print("and one of the log", file=sys.stderr)
        os.write(1, b"and one of compiled code")
    pathlib.Path(lines.file).write_text("done")

sys.exit(command_line.run(Lines, main))
"""


def test_a_closed_pipe_ends_no_command(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTING, f"--file={tmp_path / 'file'}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "file").read_text() == "done"


def test_text_comes_out_as_before_and_is_lost_when_nobody_reads():
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as stream:
        out = lossy(stream)
        assert not out.isatty() and out.encoding == "utf-8"
        print("é", file=out, flush=True)
        assert os.read(reader, 9) == "é\n".encode()
        os.close(reader)
        for _ in range(3):
            print("lost", file=out, flush=True)
        os.write(writer, b"lost, too")


def test_a_full_disk_under_the_output_is_no_error():
    with open("/dev/full", "w") as stream:
        out = lossy(stream)
        print("x" * 2 * io.DEFAULT_BUFFER_SIZE, file=out, flush=True)

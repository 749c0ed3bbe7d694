import io
import os
import subprocess
import sys

from lunar_tfds.lasting_output import lasting

SCRIPT = """
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
        [sys.executable, "-c", SCRIPT, f"--file={tmp_path / 'file'}"],
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
        out = lasting(stream)
        assert not out.isatty() and out.encoding == "utf-8"
        print("é", file=out, flush=True)
        assert os.read(reader, 9) == "é\n".encode()
        os.close(reader)
        for _ in range(3):
            print("lost", file=out, flush=True)
        os.write(writer, b"lost, too")


def test_a_full_disk_under_the_output_is_no_error():
    with open("/dev/full", "w") as stream:
        out = lasting(stream)
        print("x" * 2 * io.DEFAULT_BUFFER_SIZE, file=out, flush=True)

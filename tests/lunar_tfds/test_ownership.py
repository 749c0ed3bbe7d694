import errno
import os
import signal
import socket
import subprocess
import sys

import filelock
import pytest

from lunar_tfds.ownership import owned

HOLD = """
import sys
from lunar_tfds.ownership import owned
with owned(sys.argv[1], "--workdir", inside=sys.argv[2] == "True"):
    print("owned", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Returns a function that has another process own a path; returns the process."""
    started = []

    def start(path, inside):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), str(inside)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )
        started.append(process)
        assert process.stdout.readline() == "owned\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("inside", [True, False])
def test_the_second_is_told_of_the_first_and_takes_over_after_a_kill(
    inside, hold, tmp_path
):
    path = tmp_path / "run"
    first = hold(path, inside)
    with pytest.raises(ValueError) as refused:
        with owned(path, "--workdir", inside=inside):
            raise AssertionError
    message = str(refused.value)
    assert f"process {first.pid} on {socket.gethostname()}, started 20" in message
    assert "choose another --workdir" in message and "\n" not in message
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(list(tmp_path.rglob(".*lock*"))) == 2  # What the killed one left.
    with owned(path, "--workdir", inside=inside):
        pass
    assert not list(tmp_path.rglob(".*"))


def test_two_in_one_process_are_two(tmp_path):
    with owned(tmp_path, "--workdir", inside=True):
        with pytest.raises(ValueError, match=f"process {os.getpid()} "):
            with owned(tmp_path, "--workdir", inside=True):
                raise AssertionError
        # That refusal has not freed it.
        with pytest.raises(ValueError, match="being written by process"):
            with owned(tmp_path, "--workdir", inside=True):
                raise AssertionError
    with owned(tmp_path, "--workdir", inside=True):
        pass


def test_two_files_of_one_folder_have_two_owners(tmp_path):
    with owned(tmp_path / "m.onnx", "--output"), owned(tmp_path / "m.h5", "--output"):
        assert len(list(tmp_path.iterdir())) == 4
    assert not list(tmp_path.iterdir())


def test_an_owner_that_fails_leaves_no_lock_and_keeps_what_it_wrote(tmp_path):
    for name in ("kept", None):
        with pytest.raises(KeyboardInterrupt):
            with owned(tmp_path / "run", "--workdir", inside=True):
                if name:
                    (tmp_path / "run" / name).touch()
                raise KeyboardInterrupt
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.ENOSYS, "Function not implemented"),
        NotImplementedError("no locks here"),
    ],
)
def test_where_locking_fails_it_warns_and_goes_on(error, tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with owned(tmp_path, "--workdir", inside=True):
        pass
    assert f"{tmp_path} cannot be locked ({error})" in caplog.text


def test_an_object_store_is_not_locked(caplog):
    with owned("gs://bucket/run", "--workdir", inside=True):
        pass
    assert "gs://bucket/run cannot be locked (it lies in an object" in caplog.text


@pytest.mark.parametrize("below", [".", "deeper/run"])
def test_a_file_in_the_way_is_said(below, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="--workdir needs a folder, and a file lies at"):
        with owned(tmp_path / "file" / below, "--workdir", inside=True):
            raise AssertionError


def test_a_note_that_cannot_be_read_is_no_traceback(tmp_path):
    with owned(tmp_path, "--workdir", inside=True):
        (tmp_path / ".lock.json").write_text("[")
        with pytest.raises(ValueError, match="is being written by another process"):
            with owned(tmp_path, "--workdir", inside=True):
                raise AssertionError

"""Kills training runs at random moments and checks that nothing of them is lost.

    python -m tests.support.kill_and_resume --kills=20

For one device and for two virtual ones: a run that is never disturbed, and one that is
killed with SIGKILL `--kills` times, every other time while it writes a file or right
after; the count says how often a half-written file was left. With `--deterministic`
both must end with the same bits in every variable, the same scores and the same list of
checkpoints.
"""

import dataclasses
import functools
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

from lunar_tfds import command_line
from lunar_tfds.settings import at_least, check, setting
from tests.support.tiny_frames import write_kaggle_folder

STRATEGIES = ("one_device", "mirrored")
# Longest wait for a start to write its next file, s.
PATIENCE = 240
TIMINGS = ("images_per_second", "input_wait")


def kill_repeatedly(command, workdir, kills, seed=0, say=print):
    """Starts `command` until it succeeds, killing its first `kills` starts.

    Every other kill waits for a temporary file and up to 30 ms more, so it falls into
    a write or right after it; the others fall at a random moment after a first file has
    changed, so that a run that can only be killed early still moves on.

    Args:
        command: list of str that trains in `workdir`.
        workdir: pathlib.Path.
        kills: how many starts to kill. A start that ends before its kill is the last.
        seed: of the moments.
        say: called with a line about each kill.

    Returns:
        (kills made, how many of them left a temporary file behind).
    """
    rng = random.Random(seed)
    made = during_writes = 0
    for number in range(kills):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = _state_time(workdir)
        _wait(process, lambda before=before: _state_time(workdir) != before)
        if number % 2:
            _wait(process, lambda: _temporary_files(workdir))
            time.sleep(rng.uniform(0, 0.03))
        else:
            time.sleep(rng.uniform(0, 0.5))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        made += 1
        left = _temporary_files(workdir)
        during_writes += bool(left)
        say(f"kill {made}: {'while writing ' + left[0] if left else 'between writes'}")
    last = subprocess.run(command, capture_output=True, text=True)
    if last.returncode:
        raise RuntimeError(f"the run failed after {made} kills: {last.stderr[-3000:]}")
    return made, during_writes


def differences(workdir, other):
    """Returns what differs between two runs, a list of lines; empty if nothing."""
    found = []
    one, two = (np.load(folder / "state.npz") for folder in (workdir, other))
    for name in set(one.files) | set(two.files):
        if name != "progress" and not np.array_equal(one[name], two[name]):
            found.append(f"{name} of state.npz differs")
    rows = [json.loads(str(state["progress"]))["history"] for state in (one, two)]
    for first, second in zip(*rows, strict=True):
        for name in first.keys() | second.keys():
            if name not in TIMINGS and repr(first.get(name)) != repr(second.get(name)):
                found.append(f"{name} of epoch {first['epoch']} differs")
    names = [
        sorted(path.name for path in (folder / "checkpoints").iterdir())
        for folder in (workdir, other)
    ]
    if names[0] != names[1]:
        found.append(f"checkpoints: {names[0]} and {names[1]}")
    indices = [(f / "checkpoints" / "index.json").read_text() for f in (workdir, other)]
    if indices[0] != indices[1]:
        found.append("index.json differs")
    return found


def _wait(process, condition):
    """Waits until `condition()` holds or the process has ended."""
    end = time.monotonic() + PATIENCE
    while not condition() and process.poll() is None:
        if time.monotonic() > end:
            process.kill()
            raise TimeoutError("the run writes nothing")
        time.sleep(0.002)


def _state_time(workdir):
    path = workdir / "state.npz"
    return path.stat().st_mtime_ns if path.exists() else None


def _temporary_files(workdir):
    return [str(path.relative_to(workdir)) for path in workdir.rglob(".tmp-*")]


def _build_dataset(folder):
    """Builds lunar_rocks from drawn frames; returns its data_dir."""
    source, data_dir = folder / "kaggle", folder / "tfds"
    source.mkdir()
    source = write_kaggle_folder(source, num_frames=24)
    tfds = str(pathlib.Path(sys.executable).with_name("tfds"))
    options = [f"--data_dir={data_dir}", f"--manual_dir={source}"]
    subprocess.run([tfds, "build", "lunar_rocks", *options], check=True)
    return data_dir


def _train_commands(folder, epochs):
    """Returns {name: function of a workdir} giving commands of train.py."""
    common = [sys.executable, "train.py", "--deterministic", "--image_size=32"]
    common += [f"--data_dir={_build_dataset(folder)}", f"--epochs={epochs}"]
    common += ["--encoder_weights=none", "--global_batch_size=4", "--save_minutes=0"]
    one, two = ["--strategy=one_device"], ["--virtual_devices=2"]
    return {
        "one_device": lambda workdir: [*common, *one, f"--workdir={workdir}"],
        "mirrored": lambda workdir: [*common, *two, f"--workdir={workdir}"],
    }


def _small_commands(epochs):
    """Returns the same for the small network of tests.support.small_run."""

    def command(strategy, workdir):
        settings = {"workdir": str(workdir), "epochs": epochs, "sleep": 0.05}
        settings |= {"strategy": strategy, "replicas": 2}
        return [sys.executable, "-m", "tests.support.small_run", json.dumps(settings)]

    return {name: functools.partial(command, name) for name in STRATEGIES}


@dataclasses.dataclass(frozen=True)
class Kills:
    """Settings of the check."""

    kills: int = setting(20, "Kills for each strategy.", at_least(1))
    epochs: int = setting(12, "Epochs of 3 or 4 steps.", at_least(1))
    seed: int = setting(0, "Seed of the moments.")
    small: bool = setting(False, "A small network, not train.py.")
    strategy: tuple[str, ...] = setting(STRATEGIES, "Strategies to check.")

    def __post_init__(self):
        check(self)
        if unknown := set(self.strategy) - set(STRATEGIES):
            raise ValueError(
                f"--strategy must be of {', '.join(STRATEGIES)}: "
                f"got {', '.join(sorted(unknown))}"
            )


def main(settings: Kills) -> int:
    """Runs the check for each strategy; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kill_and_resume_"))
    commands = (
        _small_commands(settings.epochs)
        if settings.small
        else _train_commands(folder, settings.epochs)
    )
    failed = False
    for name in settings.strategy:
        whole, killed = folder / "whole", folder / "killed"
        subprocess.run(commands[name](whole), check=True)
        started = time.monotonic()
        made, during_writes = kill_repeatedly(
            commands[name](killed), killed, settings.kills, settings.seed
        )
        found = differences(whole, killed)
        failed = failed or bool(found) or made < settings.kills
        print(
            f"{name}: {made} kills, {during_writes} of them during a write, "
            f"{time.monotonic() - started:.0f} s: "
            + ("; ".join(found) or "the same bits, scores and checkpoints")
        )
        shutil.rmtree(whole)
        shutil.rmtree(killed)
    shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(command_line.run(Kills, main))

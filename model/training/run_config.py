"""What a run was started with, and whether a workdir's run may be continued."""

import contextlib
import json
import pathlib
import platform

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds.atomic_files import write_json
from lunar_tfds.opening import identity
from lunar_tfds.settings import as_dict, from_dict
from model.network import starter
from model.training.checkpoints import new_run
from model.training.config import TrainConfig
from model.training.run_state import STATE_FILE

CONFIG_FILE = "config.json"
# Settings that do not decide what is learned: a restart may give others.
MAY_CHANGE = frozenset(
    """workdir data_dir cache cache_dir data_service strategy tpu virtual_devices
    keep_checkpoints steps_per_call save_minutes panels epochs""".split()
)
# Weights to start from that are no paths.
_NAMES = {None, "none", "imagenet", *starter.FILES}
# Settings that do, but that a run which broke down must be able to change to go on.
_CALMER = frozenset(("learning_rate", "clip_norm"))


def run_config(config: TrainConfig, builder: tfds.core.DatasetBuilder) -> dict:
    """Returns what config.json holds, but for the numbers that follow from it.

    Args:
        config: the run's settings.
        builder: of the built dataset.
    """
    versions = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
    return {
        "flags": as_dict(config),
        "dataset": identity(builder),
        "versions": versions,
    }


def check_config(workdir: str, described: dict) -> int | None:
    """Checks that the run in `workdir`, if there is one, may be continued.

    Args:
        workdir: folder of the run.
        described: what `run_config` returned for what is asked for now.

    Returns:
        The earlier number of epochs, or None where no run has saved its state: a start
        that failed before leaves nothing to continue.

    Raises:
        ValueError: the run in `workdir` was started with other settings.
    """
    path = pathlib.Path(workdir) / CONFIG_FILE
    if not path.with_name(STATE_FILE).exists():
        return None
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        flags = earlier["flags"]
        if isinstance(flags.get("cache_channels"), str):  # As first versions had it.
            flags["cache_channels"] = int(flags["cache_channels"])
        # A setting that the earlier version did not have was at its default.
        old = as_dict(from_dict(TrainConfig, flags))
        dataset = earlier["dataset"].items()
    except (
        FileNotFoundError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"{path} is not the configuration of a run ({error!r}). Use another "
            "--workdir"
        ) from error
    new = described["flags"] | _named(described["dataset"].items())
    old |= _named(dataset)
    changes = {
        name: f"{name} was {old.get(name)!r} and is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in MAY_CHANGE and old.get(name) != new.get(name)
    }
    for name in ("encoder_weights", "initial_checkpoint"):
        # A file that was moved: the state holds all that was read from it.
        if not _NAMES & {old.get(name), new.get(name)}:
            changes.pop(name, None)
    differences = [says for name, says in changes.items() if name not in _CALMER]
    if new["epochs"] < old["epochs"]:
        differences.append(
            f"epochs may only grow: was {old['epochs']} and is {new['epochs']}"
        )
    if differences:
        raise ValueError(
            f"{workdir} holds a run that differs: {'; '.join(differences)}. Use the "
            "same flags to continue it, or another --workdir for a new run"
        )
    for name in sorted(_CALMER & changes.keys()):
        logging.warning("%s from here on.", changes[name])
    return old["epochs"]


def _named(dataset):
    return {f"dataset {key}": value for key, value in dataset}


def run_name(workdir: str) -> str:
    """Returns what tells the files of the run in `workdir` from those of another one.

    A run bears one name through all its restarts; without a saved state it is new.
    """
    path = pathlib.Path(workdir) / CONFIG_FILE
    if path.with_name(STATE_FILE).exists():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            earlier = json.loads(path.read_text(encoding="utf-8")).get("run")
            if isinstance(earlier, str):
                return earlier
    return new_run()


def write_config(workdir: str, config: dict) -> None:
    """Writes `WORKDIR/config.json`; OSError where the folder cannot be written."""
    write_json(pathlib.Path(workdir) / CONFIG_FILE, config)

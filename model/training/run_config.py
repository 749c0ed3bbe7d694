"""What a run was started with, and whether a workdir's run may be continued."""

import json
import pathlib
import platform

import keras
import numpy as np
import tensorflow as tf

from lunar_tfds.atomic_files import write_json
from model.training.run_state import STATE_FILE

CONFIG_FILE = "config.json"
# Flags that do not decide what is learned: a restart may give others.
MAY_CHANGE = frozenset(
    """workdir data_dir cache cache_dir data_service strategy tpu virtual_devices
    keep_checkpoints steps_per_call save_minutes panels traceback epochs""".split()
)


def run_config(flags, dataset):
    """Returns what config.json holds.

    Args:
        flags: dict of every flag's value.
        dataset: dict with name, version, config and source_fingerprint.
    """
    versions = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
    return {"flags": flags, "dataset": dataset, "versions": versions}


def check_config(workdir, config):
    """Checks that the run in `workdir`, if there is one, may be continued as `config`.

    Returns:
        The earlier number of epochs, or None where no run has saved its state: a start
        that failed before leaves nothing to continue.

    Raises:
        ValueError: the run in `workdir` was started with another configuration.
    """
    path = pathlib.Path(workdir) / CONFIG_FILE
    if not path.with_name(STATE_FILE).exists():
        return None
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        old, new = (
            {**c["flags"], **{f"dataset {k}": v for k, v in c["dataset"].items()}}
            for c in (earlier, config)
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not the configuration of a run ({error!r}). Use another "
            "--workdir"
        ) from error
    new = json.loads(json.dumps(new))
    differences = [
        f"{name} was {old.get(name)!r} and is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in MAY_CHANGE and old.get(name) != new.get(name)
    ]
    if new["epochs"] < old["epochs"]:
        differences.append(
            f"epochs may only grow: was {old['epochs']} and is {new['epochs']}"
        )
    if differences:
        raise ValueError(
            f"{workdir} holds a run that differs: {'; '.join(differences)}. Use the "
            "same flags to continue it, or another --workdir for a new run"
        )
    return old["epochs"]


def write_config(workdir, config):
    """Writes `WORKDIR/config.json`; OSError where the folder cannot be written."""
    write_json(pathlib.Path(workdir) / CONFIG_FILE, config)

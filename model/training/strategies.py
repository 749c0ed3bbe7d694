"""The distribution strategies that training offers, each behind one name."""

import json
import os

import tensorflow as tf

from pipeline import batching

STRATEGY_NAMES = ("one_device", "mirrored", "multi_worker_mirrored", "tpu")

# Jobs of a cluster whose tasks train.
_TRAINING_JOBS = ("worker", "chief")

# What TensorFlow raises in the other workers when one of them is gone.
LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def build_strategy(
    name: str, *, tpu: str = "", virtual_devices: int = 0
) -> tf.distribute.Strategy:
    """Returns the `tf.distribute.Strategy` called `name`.

    Call it before anything else touches a device: logical devices and the collectives
    of several workers cannot be set up later.

    Args:
        name: one of `STRATEGY_NAMES`. `mirrored` uses every GPU, or the CPU.
        tpu: name or address of the TPU for `tpu`; empty finds the local one.
        virtual_devices: N > 0 splits the CPU into N logical devices.

    Raises:
        ValueError: an unknown name, no cluster described in TF_CONFIG, no TPU, or
            `virtual_devices` where it has no meaning.
    """
    if name not in STRATEGY_NAMES:
        raise ValueError(
            f"strategy must be one of {', '.join(STRATEGY_NAMES)}: got {name!r}"
        )
    if virtual_devices < 0 or (virtual_devices and name != "mirrored"):
        raise ValueError(
            "virtual_devices must be 0 or more and needs the mirrored strategy: got "
            f"{virtual_devices} with {name}. Use --strategy=mirrored"
        )
    if name == "tpu":
        return _tpu_strategy(tpu)
    if name == "multi_worker_mirrored":
        check_cluster()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "one_device":
        device = "/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0"
        return tf.distribute.OneDeviceStrategy(device)
    if virtual_devices:
        split_cpu(virtual_devices)
        return tf.distribute.MirroredStrategy(
            [f"/cpu:{index}" for index in range(virtual_devices)]
        )
    return tf.distribute.MirroredStrategy()


def split_cpu(virtual_devices: int) -> None:
    """Splits the CPU into `virtual_devices` logical devices; before any TensorFlow op.

    Raises:
        ValueError: TensorFlow has set the CPU up otherwise already.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * virtual_devices
        )
    except RuntimeError as error:
        found = len(tf.config.list_logical_devices("CPU"))
        if found != virtual_devices:
            raise ValueError(
                f"virtual_devices={virtual_devices} cannot be set: the CPU was already "
                f"set up as {found}. Choose it before TensorFlow runs anything"
            ) from error


def check_cluster() -> None:
    """Checks TF_CONFIG, which tells each worker of a cluster who the others are.

    Raises:
        ValueError: it is missing or does not describe a cluster and this task.
    """
    example = (
        '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        cluster = tf.train.ClusterSpec(config["cluster"])
        job, index = config["task"]["type"], int(config["task"]["index"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(
            "strategy multi_worker_mirrored reads the cluster from the environment "
            f"variable TF_CONFIG: got {text or 'nothing'!r}. Set on each host, with "
            f"its own index, for example TF_CONFIG='{example}'"
        ) from None
    if job not in _TRAINING_JOBS or job not in cluster.jobs:
        raise ValueError(
            f"TF_CONFIG's task type must be {' or '.join(_TRAINING_JOBS)}, and one of "
            f"its cluster's ({', '.join(cluster.jobs) or 'none'}): got {job!r}"
        )
    if index not in cluster.task_indices(job):
        raise ValueError(
            f"TF_CONFIG's task index must be below its {cluster.num_tasks(job)} "
            f"{job}s: got {index}"
        )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes the files of the run."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    return _is_chief(strategy.cluster_resolver)


def will_be_chief(name: str) -> bool:
    """Returns `is_chief` of the strategy called `name`, before it takes any device.

    Raises:
        ValueError: TF_CONFIG describes no cluster.
    """
    if name != "multi_worker_mirrored":
        return True
    check_cluster()
    return _is_chief(tf.distribute.cluster_resolver.TFConfigClusterResolver())


def _is_chief(resolver):
    return resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Returns how many processes train together."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        spec = strategy.cluster_resolver.cluster_spec()
        return sum(spec.num_tasks(job) for job in spec.jobs if job != "evaluator")
    return 1


def per_replica_batch_size(
    global_batch_size: int, strategy: tf.distribute.Strategy
) -> int:
    """Returns the examples of a step that one replica takes.

    For the check before any data is opened, and for the log.

    Raises:
        ValueError: the replicas cannot share the batch equally.
    """
    return batching.per_replica_batch_size(
        global_batch_size, strategy.num_replicas_in_sync
    )


def check_xla(strategy: tf.distribute.Strategy) -> None:
    """Checks that the step can be compiled with XLA under `strategy`.

    Raises:
        ValueError: this process has several replicas: a compiled function holds the
            variables of one. (A TPU compiles the whole step without being asked.)
    """
    replicas = len(strategy.extended.worker_devices)
    if replicas > 1 and not isinstance(strategy, tf.distribute.TPUStrategy):
        raise ValueError(
            f"xla works with one replica a process: got {replicas}. Leave --xla off, "
            "use --strategy=one_device, or start one worker per device with "
            "--strategy=multi_worker_mirrored"
        )


def _tpu_strategy(tpu: str) -> tf.distribute.TPUStrategy:
    """Returns a TPUStrategy on the TPU called `tpu`; ValueError where none is."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"no TPU found for --tpu={tpu!r}: {error}. On a TPU VM install "
            "tensorflow-tpu in place of tensorflow and pass --tpu=local; elsewhere use "
            "--strategy=mirrored"
        ) from error
    return tf.distribute.TPUStrategy(resolver)

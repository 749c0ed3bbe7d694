import json

import pytest
import tensorflow as tf

from model.training import strategies


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="must be one of one_device, mirrored"):
        strategies.build_strategy("parallel")


def test_virtual_devices_need_mirrored():
    with pytest.raises(ValueError, match="needs the mirrored strategy: got 2"):
        strategies.build_strategy("one_device", virtual_devices=2)


WORKERS = {"worker": ["a:1", "b:1"]}


def set_cluster(monkeypatch, cluster, **task):
    text = json.dumps({"cluster": cluster, "task": task})
    monkeypatch.setenv("TF_CONFIG", text)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}}',
        *(
            json.dumps({"cluster": cluster, "task": task})
            for cluster, task in (
                (WORKERS, None),
                (WORKERS, "worker"),
                (WORKERS, {"index": 0}),
                (WORKERS, {"type": "worker"}),
                (WORKERS, {"type": "worker", "index": None}),
                (WORKERS, {"type": "worker", "index": "first"}),
                (WORKERS, {"type": "worker", "index": float("inf")}),
                (None, {"type": "worker", "index": 0}),
                (["a:1"], {"type": "worker", "index": 0}),
                ({"worker": "a:1"}, {"type": "worker", "index": 0}),
                ({"worker": [1, 2]}, {"type": "worker", "index": 0}),
                ({"worker": {"first": "a:1"}}, {"type": "worker", "index": 0}),
            )
        ),
    ],
)
def test_a_cluster_must_be_described(config, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="TF_CONFIG: got .*host0:2222"):
        strategies.build_strategy("multi_worker_mirrored")


@pytest.mark.parametrize("index", [2, -1, "2"])
def test_a_task_outside_its_cluster_is_refused(index, monkeypatch):
    set_cluster(monkeypatch, WORKERS, type="worker", index=index)
    with pytest.raises(ValueError, match=f"below its 2 workers: got {index}"):
        strategies.build_strategy("multi_worker_mirrored")


@pytest.mark.parametrize("job", ["chief", "wroker", "evaluator", ["worker"]])
def test_a_task_that_does_not_train_is_refused(job, monkeypatch):
    set_cluster(monkeypatch, WORKERS | {"evaluator": ["c:1"]}, type=job, index=0)
    with pytest.raises(ValueError, match="task type must be worker or chief"):
        strategies.build_strategy("multi_worker_mirrored")


def test_an_index_may_be_a_string_as_tensorflow_has_it(monkeypatch):
    set_cluster(monkeypatch, WORKERS | {"chief": ["c:1"]}, type="worker", index="1")
    strategies.check_cluster()
    assert tf.distribute.cluster_resolver.TFConfigClusterResolver().task_id == 1
    set_cluster(monkeypatch, WORKERS | {"chief": ["c:1"]}, type="chief", index="0")
    strategies.check_cluster()


def test_one_process_is_its_own_chief():
    strategy = strategies.build_strategy("one_device")
    assert strategies.is_chief(strategy)
    assert strategies.num_workers(strategy) == 1


def test_xla_needs_one_replica_a_process():
    class Two:
        class extended:
            worker_devices = ("/cpu:0", "/cpu:1")

    with pytest.raises(ValueError, match="one replica a process: got 2"):
        strategies.check_xla(Two())
    strategies.check_xla(strategies.build_strategy("one_device"))


def test_a_missing_tpu_is_said():
    with pytest.raises(ValueError, match="no TPU found .*tensorflow-tpu"):
        strategies.build_strategy("tpu")


def test_a_tpu_is_connected_initialized_and_used(monkeypatch):
    calls = []

    def record(name):
        return lambda argument=None, **named: (
            calls.append((name, argument, named)) or name
        )

    resolver = tf.distribute.cluster_resolver
    monkeypatch.setattr(resolver, "TPUClusterResolver", record("resolver"))
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", record("connect"))
    initialize = record("initialize")
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", initialize)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", record("strategy"))
    assert strategies.build_strategy("tpu", tpu="local") == "strategy"
    assert calls == [
        ("resolver", None, {"tpu": "local"}),
        ("connect", "resolver", {}),
        ("initialize", "resolver", {}),
        ("strategy", "resolver", {}),
    ]

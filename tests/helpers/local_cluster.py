"""A cluster whose workers and servers are threads of this process, for tests in one process.

TensorFlow renames the devices of a process that connects to a cluster: to be used in processes of
their own, such as `drive`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def connect(workers=2, servers=2):
    """Starts servers in this process and returns the strategy that is connected to them."""
    import tensorflow as tf

    from lmn_tf.distribute.cluster import cluster as clusters

    # As in `conftest.py`: what is traced runs a few times.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    ports = [f"127.0.0.1:{port}" for port in clusters.free_ports(workers + servers)]
    cluster = clusters.Cluster(tuple(ports[:workers]), tuple(ports[workers:]))
    config = tf.compat.v1.ConfigProto()
    config.inter_op_parallelism_threads = 2 + workers
    addresses = {"worker": list(cluster.workers), "ps": list(cluster.servers)}
    connect.servers = [
        tf.distribute.Server(
            tf.train.ClusterSpec(addresses),
            job_name=role,
            task_index=index,
            protocol="grpc",
            config=config,
        )
        for role, index in cluster.tasks()
    ]
    return clusters.connect(cluster, wait=60.0)


def drive(script, *arguments, timeout=400, environment=None):
    """Runs a script of this folder in a process of its own; returns the JSON it ends with."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / script), *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def finish(result):
    """Ends a driven script without waiting for the servers' threads."""
    print(json.dumps(result), flush=True)
    os._exit(0)

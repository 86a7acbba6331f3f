import contextlib
import json
import socket
from pathlib import Path

import pytest
import tensorflow as tf
import yaml

from lmn_tf.distribute.cluster import cluster as clusters
from lmn_tf.distribute.cluster.cluster import Cluster, ClusterError, cluster_errors
from lmn_tf.distribute.cluster.loopback import listening_sockets
from lmn_tf.specs.errors import UserError


def config(task=None, **cluster):
    cluster = cluster or {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, **({"task": task} if task else {})})}


def test_reads_the_environment():
    assert Cluster.from_environment({}) is None
    cluster = Cluster.from_environment(config({"type": "worker", "index": 1}))
    assert cluster.workers == ("b:1", "c:1") and cluster.servers == ("d:1",)
    assert (cluster.name(), cluster.address()) == ("worker 1", "c:1")
    assert cluster.name("ps", 0) == "parameter server 0"
    assert Cluster.from_environment({"TF_CONFIG": cluster.to_environment()}) == cluster
    chief = Cluster.from_environment(config())
    assert (chief.role, chief.index, chief.address()) == ("chief", 0, "a:1")
    bare = Cluster.from_environment(config(worker=["b:1"], ps=["d:1"]))
    assert bare.address() is None and bare.name() == "coordinator"
    assert Cluster.from_environment({"TF_CONFIG": bare.to_environment()}) == bare


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"TF_CONFIG": "{"}, "must be JSON such as"),
        ({"TF_CONFIG": "[1]"}, "must be JSON such as"),
        (config(worker=["b:1"]), "at least one worker and one ps"),
        (config(worker=["b:1"], ps=["d:1"], evaluator=["e:1"]), "chief, worker and ps"),
        (config({"type": "evaluator", "index": 0}), "chief, worker and ps"),
        (config({"type": "worker", "index": 2}), "one of its 2 of type worker"),
        (config({"type": "chief", "index": 1}), "one of its 1 of type chief"),
    ],
)
def test_refuses_what_is_no_cluster(environment, message):
    with pytest.raises(UserError, match=message):
        Cluster.from_environment(environment)


def test_waits_for_servers_and_names_those_that_are_missing(monkeypatch):
    there = {"a:1": 0, "b:1": 2}  # address → how often it stays silent first

    def answers(place):
        there[place] = there.get(place, 10**6) - 1
        return there[place] < 0

    monkeypatch.setattr(clusters, "answers", answers)
    clusters.wait_for_servers(Cluster(("a:1",), ("b:1",)), wait=30.0)
    with pytest.raises(ClusterError, match="no answer from parameter server 1 at c:1. Start"):
        clusters.wait_for_servers(Cluster(("a:1",), ("b:1", "c:1")), wait=0.3)


def test_a_server_answers_and_one_that_only_listens_does_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        assert not clusters.answers(place, patience=0.2)
    assert not clusters.answers(place) and not clusters.answers("nonsense")
    (port,) = clusters.free_ports(1)
    cluster = Cluster((f"127.0.0.1:{port}",), ("127.0.0.1:1",), role="worker")
    before = listening_sockets()
    said = []
    clusters.serve(cluster, said.append, wait=lambda: None)
    assert said == [f"worker 0 serves at 127.0.0.1:{port}."]
    assert port in [new for name, new in listening_sockets().items() if name not in before]
    assert clusters.answers(f"127.0.0.1:{port}", patience=30.0)


def test_a_server_of_several_machines_says_that_it_is_open(monkeypatch):
    class Server:
        def __init__(self, *arguments, **options):
            assert not options["start"]
            self.socket = socket.create_server(("127.0.0.1", 0))

        def start(self):
            self.socket.close()

    monkeypatch.setattr(tf.distribute, "Server", Server)
    said = []
    cluster = Cluster(("10.0.0.1:2222",), ("10.0.0.2:2222",), role="ps")
    clusters.serve(cluster, said.append, wait=lambda: None)
    assert said[0].startswith("parameter server 0 serves at port 2222 of every interface. It asks")
    # The same where the system can not keep a local one to this machine.
    monkeypatch.setattr(clusters, "keep_to_loopback", lambda names: False)
    cluster = Cluster(("127.0.0.1:2222",), ("127.0.0.1:2223",), role="worker")
    clusters.serve(cluster, said.append, wait=lambda: None)
    assert said[1].startswith("worker 0 serves at port 2222 of every interface. It asks for no")


def test_who_connects_while_a_server_starts_is_cut_off(monkeypatch, own_address):
    (port,) = clusters.free_ports(1)
    others = []

    def connect_first(names, keep=clusters.keep_to_loopback):
        for _ in range(2):
            others.append(socket.create_connection((own_address, port), timeout=10))
        others[0].sendall(clusters._HELLO)
        return keep(names)

    monkeypatch.setattr(clusters, "keep_to_loopback", connect_first)
    cluster = Cluster((f"127.0.0.1:{port}",), ("127.0.0.1:1",), role="worker")
    _, warning = clusters.start_server(cluster)
    assert not warning
    assert clusters.answers(f"127.0.0.1:{port}", patience=30.0)
    for other in others:
        with other, contextlib.suppress(ConnectionResetError):
            while other.recv(1000):  # What was sent before; then the end.
                pass


def test_ports_are_different():
    assert len(set(clusters.free_ports(5))) == 5


def test_the_manifest_lets_its_own_pods_alone_reach_them():
    file = Path(__file__).parents[3] / "pipelines" / "kubernetes" / "parameter_server.yaml"
    documents = list(yaml.safe_load_all(file.read_text()))
    [policy] = [one["spec"] for one in documents if one["kind"] == "NetworkPolicy"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [{"from": [{"podSelector": policy["podSelector"]}]}]
    pods = [one["spec"]["template"] for one in documents if "template" in one.get("spec", {})]
    assert len(pods) == 3
    wanted = policy["podSelector"]["matchLabels"].items()
    assert all(wanted <= pod["metadata"]["labels"].items() for pod in pods)


LOST = "Additional GRPC error information from remote target /job:ps/replica:0/task:1 : closed"


def test_a_lost_server_is_named():
    with pytest.raises(ClusterError, match="Parameter server 1 at b:2 .* with --resume"):
        with cluster_errors(["a:1", "b:2"]):
            raise tf.errors.UnavailableError(None, None, LOST)


def test_a_server_that_came_back_empty_counts_as_lost():
    with pytest.raises(ClusterError, match="Parameter server 0 no longer answers"):
        with cluster_errors():
            raise tf.errors.NotFoundError(None, None, "Resource x does not exist on /job:ps/task:0")


def test_other_errors_pass():
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        with cluster_errors():
            raise tf.errors.InvalidArgumentError(None, None, "wrong shape on /job:ps/task:0")
    with pytest.raises(tf.errors.UnavailableError, match="worker"):
        with cluster_errors():
            raise tf.errors.UnavailableError(None, None, "/job:worker/task:0 is gone")

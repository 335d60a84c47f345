"""Who may talk to whom: everything that the programs need, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import pytest

from tests.deploy.environment import router_settings
from tests.deploy.manifests import Manifests
from tests.deploy.network import Network, Peer

NAMESPACES: Mapping[str, Mapping[str, str]] = {
    "shop": {"ekiben/clients": "yes"},
    "ingress-nginx": {"ekiben/clients": "yes"},
    "kube-system": {},
    "monitoring": {},
    "elsewhere": {},
}
PORTS = (22, 53, 80, 443, 3000, 3100, 6379, 6380, 8080)
REDIS = Peer("managed Redis", address="10.20.0.7")
STORE = Peer("object store", address="52.218.1.1")
OUTSIDE = (
    REDIS,
    STORE,
    Peer("the cloud's metadata", address="169.254.169.254"),
    Peer("another managed thing", address="10.30.0.7"),
)
ROUTER_LABELS = {"app.kubernetes.io/part-of": "ekiben", "app.kubernetes.io/component": "router"}
DNS = Peer("names", "kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS = Peer("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
OTHERS = (
    DNS,
    PROMETHEUS,
    Peer("grafana", "monitoring", {"app.kubernetes.io/name": "grafana"}),
    Peer("a client", "shop", {"app": "shop"}),
    Peer("the ingress controller", "ingress-nginx"),
    Peer("a stranger", "elsewhere"),
    Peer("a router of somebody else's", "elsewhere", ROUTER_LABELS),
    Peer("the API server's neighbour", "kube-system"),
    # Whoever has been put into our namespace by mistake.
    Peer("a guest", "HOME", {"app": "guest"}),
)


class Cluster:
    """One overlay in a cluster with neighbours."""

    def __init__(self, manifests: Manifests) -> None:
        home = manifests.namespace()
        self.home = home
        self.network = Network(manifests.of("NetworkPolicy"), NAMESPACES)
        self.ours = {
            each.name: Peer(
                each.name,
                home,
                each.labels,
                {port["name"]: port["containerPort"] for port in each.main["ports"]},
            )
            for each in manifests.workloads()
        }
        others = (Peer(each.name, home, each.labels) if each.namespace == "HOME" else each for each in OTHERS)
        self.everyone = (*self.ours.values(), *others, *OUTSIDE)

    def allowed(self) -> set[tuple[str, str, int]]:
        """Every connection, with an end that is ours, that the policies let through."""
        return {
            (source.name, target.name, port)
            for source, target, port in product(self.everyone, self.everyone, PORTS)
            if self.home in (source.namespace, target.namespace) and self.network.allows(source, target, port)
        }


def all_of(sources: Iterable[str], targets: Iterable[str], *ports: int) -> set[tuple[str, str, int]]:
    return set(product(sources, targets, ports))


def needed(manifests: Manifests, cluster: Cluster) -> set[tuple[str, str, int]]:
    """Who may reach whom, as `docs/architecture.md` says."""
    router, controller = ["ekiben-router"], ["ekiben-controller"]
    versions = [each.name for each in manifests.workloads("version")]
    clients = ["a client", "the ingress controller"]
    found = all_of(clients, router, 3000)
    found |= all_of(router, versions, 3000)
    found |= all_of(cluster.ours, ["names"], 53)
    found |= all_of(["prometheus"], [*router, *versions], 3000) | all_of(["prometheus"], controller, 3100)
    if any(name.startswith("ekiben-redis") for name in cluster.ours):
        found |= all_of(router, ["ekiben-redis-cache", "ekiben-redis-state"], 6379)
        found |= all_of(controller, ["ekiben-redis-state"], 6379)
    else:
        found |= all_of([*router, *controller], [REDIS.name], 6379)
        found |= all_of(controller, [STORE.name], 443)
    return found


def test_the_policies_let_through_what_is_needed_and_nothing_else(manifests: Manifests) -> None:
    cluster = Cluster(manifests)
    allowed, wanted = cluster.allowed(), needed(manifests, cluster)
    assert allowed - wanted == set(), "more than is needed"
    assert wanted - allowed == set(), "somebody would wait in vain"


def test_each_side_alone_lets_through_no_more_than_is_needed(manifests: Manifests) -> None:
    """One mistake, on either side, opens nothing."""
    cluster = Cluster(manifests)
    wanted = needed(manifests, cluster)
    for source, target, port in product(cluster.everyone, cluster.everyone, PORTS):
        connection = (source.name, target.name, port)
        if source.name in cluster.ours and connection not in wanted:
            assert not cluster.network.lets_out(source, target, port), connection
        if target.name in cluster.ours and connection not in wanted:
            assert not cluster.network.lets_in(source, target, port), connection


def test_names_are_resolved_by_both_protocols_and_by_nobody_elses_name_server(manifests: Manifests) -> None:
    cluster = Cluster(manifests)
    for ours in cluster.ours.values():
        assert cluster.network.allows(ours, DNS, 53, "UDP")
        assert not cluster.network.allows(ours, Peer("theirs", "elsewhere", DNS.labels), 53, "UDP")


def test_the_ports_that_are_let_through_are_those_that_are_used(manifests: Manifests) -> None:
    cluster = Cluster(manifests)
    assert cluster.ours["ekiben-router"].ports["http"] == router_settings(manifests).port == 3000
    assert cluster.ours["ekiben-controller"].ports["http"] == 3100


def policy(spec: dict[str, object]) -> dict[str, object]:
    return {"metadata": {"namespace": "home"}, "spec": spec}


A, B = Peer("a", "home", {"app": "a"}), Peer("b", "home", {"app": "b"}, {"web": 80})
FAR = Peer("far", "away", {"app": "a"})


@pytest.mark.parametrize(
    ("spec", "source", "target", "port", "expected"),
    [
        ({"podSelector": {}, "policyTypes": ["Ingress"]}, A, B, 80, False),
        ({"podSelector": {"matchLabels": {"app": "c"}}, "policyTypes": ["Ingress"]}, A, B, 80, True),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, A, B, 80, False),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, FAR, B, 80, True),
        ({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}, FAR, B, 80, True),
        (
            {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": "web"}]}]},
            A,
            B,
            80,
            True,
        ),
        (
            {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": "web"}]}]},
            A,
            B,
            81,
            False,
        ),
        (  # a pod selector alone means pods at home
            {
                "podSelector": {},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}],
            },
            FAR,
            B,
            80,
            False,
        ),
        (
            {
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
            },
            A,
            REDIS,
            6379,
            False,
        ),
        (
            {
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
            },
            A,
            STORE,
            443,
            True,
        ),
    ],
)
def test_policies_are_read_as_a_cluster_reads_them(
    spec: dict[str, object], source: Peer, target: Peer, port: int, expected: bool
) -> None:
    assert Network([policy(spec)]).allows(source, target, port) is expected

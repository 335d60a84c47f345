"""NetworkPolicies, evaluated as a cluster's network does: who may open a connection to whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.deploy.manifests import Object, matches


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod in a namespace, or an address outside the cluster."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""
    """Of what is outside; a pod's own is not matched by address blocks here, as most networks have it."""


class Network:
    """The policies of a cluster. Namespaces have labels, and the one that all have: their name."""

    def __init__(
        self, policies: Sequence[Object], namespaces: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._policies = policies
        self._namespaces = namespaces or {}

    def allows(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether `source` may connect to `port` of `target`: its own policies and the target's let it."""
        return self.lets_out(source, target, port, protocol) and self.lets_in(source, target, port, protocol)

    def lets_out(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether the policies of the source's own side let it."""
        return self._direction("Egress", source, target, port, protocol)

    def lets_in(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether the policies of the target's side let it."""
        return self._direction("Ingress", target, source, port, protocol)

    def _direction(self, way: str, subject: Peer, other: Peer, port: int, protocol: str) -> bool:
        if subject.address:
            return True  # no policy of the cluster's speaks of what is outside
        found = [
            policy["spec"]
            for policy in self._policies
            if policy["metadata"]["namespace"] == subject.namespace
            and way in policy["spec"]["policyTypes"]
            and matches(policy["spec"]["podSelector"], subject.labels)
        ]
        if not found:
            return True
        # The port is the target's, whoever's policy it is.
        ports = subject.ports if way == "Ingress" else other.ports
        peers = "from" if way == "Ingress" else "to"
        return any(
            self._is_one_of(other, rule.get(peers), subject.namespace)
            and _has_port(rule.get("ports"), port, protocol, ports)
            for spec in found
            for rule in spec.get(way.lower(), [])
        )

    def _is_one_of(self, peer: Peer, selectors: Sequence[Any] | None, home: str) -> bool:
        return not selectors or any(self._is(peer, each, home) for each in selectors)

    def _is(self, peer: Peer, selector: Mapping[str, Any], home: str) -> bool:
        if "ipBlock" in selector:
            block = selector["ipBlock"]
            return bool(peer.address) and _inside(peer.address, block["cidr"], block.get("except", []))
        if peer.address:
            return False
        if "namespaceSelector" in selector:
            labels = {
                "kubernetes.io/metadata.name": peer.namespace,
                **self._namespaces.get(peer.namespace, {}),
            }
            if not matches(selector["namespaceSelector"], labels):
                return False
        elif peer.namespace != home:
            return False
        return matches(selector.get("podSelector"), peer.labels)


def _inside(address: str, block: str, excepted: Sequence[str]) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block) and not any(
        found in ipaddress.ip_network(each) for each in excepted
    )


def _has_port(
    rules: Sequence[Mapping[str, Any]] | None, port: int, protocol: str, names: Mapping[str, int]
) -> bool:
    if not rules:
        return True
    return any(
        rule.get("protocol", "TCP") == protocol and names.get(str(rule["port"]), rule["port"]) == port
        for rule in rules
    )

"""What is stated of a pod from what the API server says of it: who is at which address, since when, until when. Pure.

A pod is at its addresses from when its network was ready, in whole seconds as kubelet writes it, until it is heard that
it is gone. That end comes late, and does no harm: the next pod at an address begins before, and the one that began last
counts. No runtime takes an address from a pod and has another one answer there within the same second. Where
nobody listened meanwhile, the next one may be gone as well: then it ends when pods were last known, `Statements.lose`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from fluentd.kubernetes.facts import Pod
from fluentd.kubernetes.naming import Names
from pipeline.podstatement import MOST_ADDRESSES, MOST_PORTS, PodStatement, plain_address

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_HAS_ADDRESS: Final = "PodReadyToStartContainers"  # Source: Kubernetes, Pod lifecycle, "Pod network readiness"
_SECOND_NS: Final = 1_000_000_000
_RECENT_NS: Final = 900 * _SECOND_NS  # a pod that ended longer ago, and was never stated, is of no use to anybody
_PORTS: Final = range(1, 2**16)


def restate(
    before: PodStatement | None, pod: Pod, names: Names, rules: str, *, heard_ns: int
) -> tuple[PodStatement | None, tuple[PodStatement, ...]]:
    """What holds of a pod now, and what has to be said of it.

    Args:
        before: What held so far; `None` for nothing.
        pod: As the server has it.
        names: Whose it is.
        rules: Text of its app's own rules; empty for none.
        heard_ns: When that was heard, nanoseconds since the epoch.
    """
    here = _statement(pod, names, rules, heard_ns=heard_ns)
    if pod.status.phase in _ENDED:
        to_ns = _ended_ns(pod, heard_ns)
        if before is not None:
            return None, (end(before, to_ns),)
        return None, (end(here, to_ns),) if here is not None and heard_ns - to_ns < _RECENT_NS else ()
    if here is None:
        return None, () if before is None else (end(before, heard_ns),)
    if before is None:
        return here, (here,)
    if _facts(before) == _facts(here):
        here = msgspec.structs.replace(here, from_ns=before.from_ns)
        return here, () if here == before else (here,)
    moved = before.ips != here.ips and before.from_ns < here.from_ns
    here = msgspec.structs.replace(here, from_ns=here.from_ns if moved else max(heard_ns, before.from_ns))
    return here, (end(before, here.from_ns), here)


def end(statement: PodStatement, to_ns: int) -> PodStatement:
    """The same, until a time."""
    return msgspec.structs.replace(statement, to_ns=max(to_ns, statement.from_ns), rules=None)


def _statement(pod: Pod, names: Names, rules: str, *, heard_ns: int) -> PodStatement | None:
    """What is true of it while it lasts; `None` when it has no address that is told apart from others'."""
    ips, ports = _addresses(pod), tuple(_ports(pod))[:MOST_PORTS] if pod.spec.host_network else ()
    if not ips or (pod.spec.host_network and not ports):
        return None
    facts = pod.metadata  # its uid is the server's: the annotation of static pods may be anybody's
    return PodStatement(
        facts.namespace,
        facts.name,
        facts.uid,
        names.app,
        names.process,
        names.release,
        ips,
        ports,
        _began_ns(pod, heard_ns),
        rules=rules,
    )


def _facts(statement: PodStatement) -> PodStatement:
    """What makes another statement of it when it changes."""
    return msgspec.structs.replace(statement, from_ns=0, to_ns=0, rules=None)


def _addresses(pod: Pod) -> tuple[str, ...]:
    told = (pod.status.pod_ip, *(one.ip for one in pod.status.pod_ips or ()))
    plain = (plain_address(ip) for ip in told if ip)
    return tuple(dict.fromkeys(ip for ip in plain if ip is not None))[:MOST_ADDRESSES]


def _ports(pod: Pod) -> Iterator[int]:
    found = {
        port.container_port
        for container in (*(pod.spec.containers or ()), *(pod.spec.init_containers or ()))
        for port in container.ports or ()
        if port.protocol == "TCP" and port.container_port in _PORTS
    }
    yield from sorted(found)


def _began_ns(pod: Pod, heard_ns: int) -> int:
    """Since when it has its addresses."""
    conditions = pod.status.conditions or ()
    network = [one.last_transition_time for one in conditions if one.type == _HAS_ADDRESS and one.status == "True"]
    seconds = _seconds(network) or _seconds(_started(pod))
    return min(heard_ns, min(seconds) * _SECOND_NS) if seconds else heard_ns


def _started(pod: Pod) -> Iterator[str | None]:
    for container in pod.status.container_statuses or ():
        for state in (container.state, container.last_state):
            for ran in (state.running, state.terminated):
                if ran is not None:
                    yield ran.started_at


def _ended_ns(pod: Pod, heard_ns: int) -> int:
    ran = [one.state.terminated for one in pod.status.container_statuses or ()]
    seconds = _seconds(one.finished_at for one in ran if one is not None)
    return min(heard_ns, max(seconds) * _SECOND_NS + _SECOND_NS - 1) if seconds else heard_ns


def _seconds(times: Iterable[str | None]) -> list[int]:
    """Seconds since the epoch of those that are times."""
    found = []
    for text in times:
        try:
            seconds = int(datetime.fromisoformat(text).timestamp()) if text else 0
        except (ValueError, OverflowError):
            continue
        if seconds > 0:
            found.append(seconds)
    return found

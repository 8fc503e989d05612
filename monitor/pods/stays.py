"""What is kept of who was at an address: stays, and all of them as they are kept.

A *stay* is one pod at its addresses under one set of labels, from a time to a time.
"""

from typing import Final

import msgspec

EVER: Final = 2**63 - 1
"""After all times."""


class Served(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The pod that was at an address.

    Attributes:
        namespace: Its namespace.
        app: The app.
        process: Process type, empty when unknown.
        release: Release, empty when its labels name none.
        pod: Its name.
    """

    namespace: str
    app: str
    process: str
    release: str
    pod: str


class Stay(msgspec.Struct, array_like=True):
    """See the module. `to_ns` is 0 while it lasts, other names are as in `PodStatement`."""

    node: str
    uid: str
    served: Served
    ips: tuple[str, ...]
    ports: tuple[int, ...]
    from_ns: int
    to_ns: int = 0

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Stays ascend by this: by when they began, then by when they ended."""
        return self.from_ns, self.to_ns or EVER, self.node, self.uid

    def same(self, other: "Stay") -> bool:
        """Whether they differ in nothing but their times."""
        return (self.served, self.ips, self.ports) == (other.served, other.ips, other.ports)


class EndpointsState(msgspec.Struct, frozen=True, array_like=True):
    """All that is known, to be kept: in an order that depends on nothing but its content.

    Attributes:
        nodes: Up to when each node has spoken of its pods, by its name; where statements may be missing, also up to
            when they are known all the same.
        stays: By when they began.
        rules: Texts of apps' own rules, and the pods (node, uid) that hold each.
        rules_version: See `Endpoints`.
    """

    nodes: dict[str, int | tuple[int, int]] = {}
    stays: tuple[Stay, ...] = ()
    rules: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    rules_version: int = 0


def find_stay(stays: list[Stay], said: Stay) -> Stay | None:
    """The stay of its pod that a statement is about; `None` when it is another one."""
    if not stays:
        return None
    last = stays[-1]
    for stay in stays:
        if stay.from_ns == said.from_ns and stay.same(said) and (said.to_ns or stay is last):
            return stay
    # Under the same labels and still there: an agent that was started anew may have it begin at another time.
    return last if last.same(said) and _overlap(last, said) else None


def _overlap(one: Stay, other: Stay) -> bool:
    return one.from_ns < (other.to_ns or EVER) and other.from_ns < (one.to_ns or EVER)

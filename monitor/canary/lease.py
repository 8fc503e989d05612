"""Who of several monitors acts: `kubernetes.aio.leaderelection` on a Lease.

It only spares double work. That nothing is done twice rests on the status, which is written at the version that was
read before anything is done.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import structlog
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from monitor.canary.kube import ConflictError, Kube, RefusedError
from monitor.canary.world import Json
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 10
RETRY_SECONDS: Final = 2

_FAILED: Final = (KubernetesUnavailableError, RefusedError, ConflictError)


class Lease(BaseLock):
    """A Lease as the election's lock, in plain JSON: the library's own loads every model of the API.

    Args:
        kube: The API server.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Who we are: another for each process.
    """

    def __init__(self, kube: Kube, *, namespace: str, name: str, identity: str) -> None:
        super().__init__(name, namespace, identity)
        self._kube = kube
        self._read: Json | None = None

    async def get(self, name: str, namespace: str) -> tuple[bool, LeaderElectionRecord | Exception]:  # type: ignore[override]
        """See `BaseLock`."""
        try:
            self._read = await self._kube.lease(namespace, name)
        except _FAILED as error:
            return False, ApiException(status=0, reason=str(error))
        if self._read is None:
            missing = ApiException(status=HTTPStatus.NOT_FOUND, reason="NotFound")
            missing.body = '{"code": 404}'
            return False, missing
        return True, _record_of(self._read.get("spec") or {})

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """See `BaseLock`."""
        body = {"metadata": {"name": name, "namespace": namespace}, "spec": _spec_of(election_record)}
        return await self._put("POST", body)

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:  # noqa: ARG002 - the library's form
        """See `BaseLock`."""
        if self._read is None:
            return False
        return await self._put("PUT", {**self._read, "spec": _spec_of(updated_record)})

    async def release(self) -> None:
        """Let another have it at once, if it is ours."""
        held, record = await self.get(self.name, self.namespace)
        if held and isinstance(record, LeaderElectionRecord) and record.holder_identity == self.identity:
            spec = {**(self._read or {}).get("spec", {}), "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._put("PUT", {**(self._read or {}), "spec": spec})

    async def _put(self, method: str, body: Json) -> bool:
        try:
            self._read = await self._kube.put_lease(method, body)
        except _FAILED:
            return False
        return True


def _spec_of(record: LeaderElectionRecord) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "holderIdentity": record.holder_identity,
        "leaseDurationSeconds": int(float(record.lease_duration or LEASE_SECONDS)),
        "acquireTime": now,
        "renewTime": now,
    }


def _record_of(spec: Json) -> LeaderElectionRecord:
    """The record; without a holder it is empty, and anybody may take it."""
    if not spec.get("holderIdentity"):
        return LeaderElectionRecord(None, None, None, None)
    duration = str(spec.get("leaseDurationSeconds", LEASE_SECONDS))
    return LeaderElectionRecord(spec["holderIdentity"], duration, spec.get("acquireTime"), spec.get("renewTime"))


async def while_leading(lease: Lease, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Run `work` whenever the Lease is ours, and cancel it when it no longer is, until `stopping` is set."""
    try:
        async with asyncio.TaskGroup() as group:
            terms = group.create_task(_terms(lease, work), name="canary terms")
            await stopping.wait()
            terms.cancel()
    finally:
        await lease.release()


async def _terms(lease: Lease, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        leading = asyncio.Event()

        async def led(leading: asyncio.Event = leading) -> None:
            leading.set()

        election = LeaderElection(Config(lease, LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, led, _nothing))
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(_after(leading, work), name="canary work")
            await election.run()
            worker.cancel()
        log.warning("canaries are another monitor's now")


async def _nothing() -> None:
    """What is to be done at a term's end: `_terms` does it."""


async def _after(leading: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    await leading.wait()
    log.info("canaries are ours")
    await work()

"""A member is sure of its partitions for a while after each heartbeat that was answered, and else not."""

from pipeline.queue.kafka.lease import NEVER, Lease


class Coordinator:
    """Answers heartbeats as it is told to, after `seconds`."""

    def __init__(self, clock: list[float]) -> None:
        self._clock = clock
        self.is_known = True
        self.seconds = 0.0

    async def _do_heartbeat(self) -> bool:
        self._clock[0] += self.seconds
        return self.is_known


def watched() -> tuple[Lease, Coordinator, list[float]]:
    clock = [100.0]
    lease, coordinator = Lease(seconds=6.0, clock=lambda: clock[0]), Coordinator(clock)
    lease.watch(coordinator)
    return lease, coordinator, clock


async def test_nothing_is_sure_before_the_first_heartbeat_of_an_assignment() -> None:
    lease, coordinator, _ = watched()
    await coordinator._do_heartbeat()
    assert lease.until == NEVER
    lease.assign()
    assert lease.until == NEVER
    await coordinator._do_heartbeat()
    assert lease.until == 106.0


async def test_certainty_counts_from_when_a_heartbeat_was_sent_however_late_its_answer_is_seen() -> None:
    lease, coordinator, clock = watched()
    lease.assign()
    coordinator.seconds = 30.0  # the process was stopped meanwhile
    await coordinator._do_heartbeat()
    assert (lease.until, clock[0]) == (106.0, 130.0)


async def test_a_heartbeat_that_fails_adds_nothing_and_one_while_all_is_given_out_anew_neither() -> None:
    lease, coordinator, clock = watched()
    lease.assign()
    await coordinator._do_heartbeat()
    clock[0], coordinator.is_known = 103.0, False
    assert not await coordinator._do_heartbeat()
    assert lease.until == 106.0
    lease.revoke()
    coordinator.is_known = True
    assert await coordinator._do_heartbeat()
    assert lease.until == NEVER

"""A recorder that publishes the run in shared memory, for readers in other processes, and never waits for them.

A step is copied while it is proposed and published when it is committed; a proposal that is not committed is
overwritten. The policy's whole state is published before the first step, after the last step, and in between at the
first chunk boundary after `STATE_S` seconds - or at any step if no boundary comes - so that a replay can start near any
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

from dmh_edge.clock import NS_PER_S, Clock
from dmh_edge.contract import PolicyContract
from dmh_edge.runtime.records.layout import COUNTS, EVENT, NUMBERS, SLOT, TICK, Entry, group, slot_dtype, state_dtype
from dmh_edge.runtime.records.reader import Reader
from dmh_edge.runtime.report.events import EventKind
from dmh_edge.runtime.report.tally import FIGURES, SlotKind, Tally
from dmh_edge.runtime.sessions.session import Arrays, Session
from dmh_edge.shared_memory import Ring

#: Time after which a state is due at the next chunk boundary, and after which it is due at any step.
STATE_S: Final = 5.0
_STATE_AT_LAST_S: Final = 9.0
#: How far readers can fall behind before they lose records, within the bounds below.
_RING_S: Final = 8.0
_FEWEST_SLOTS, _LARGEST_BYTES = 1024, 1 << 26
_STATES: Final = 4


class SharedRecorder:
    """A recorder whose records go to other processes.

    Args:
        contract: contract of the policy, which says what a step consists of.
        rate_hz: rate of the loop in Hz; the ring of slots has room for the records of some seconds.
        clock: clock of the loop.

    Attributes:
        slots: the ring of slots.
        states: the ring of states.
        readers: the processes that read; `start` starts them, and `begin` waits for them.
        keeper: the reader that keeps the records; None where no reader does.
    """

    def __init__(self, contract: PolicyContract, rate_hz: float, clock: Clock) -> None:
        self._clock = clock
        slot, state = slot_dtype(contract), state_dtype(contract)
        capacity = min(max(_FEWEST_SLOTS, round(_RING_S * rate_hz)), _LARGEST_BYTES // slot.itemsize)
        self._contract = contract
        self.slots = Ring.create(slot.itemsize, capacity, "slots")
        self.states = Ring.create(state.itemsize, _STATES, "states")
        self.readers: list[Reader] = []
        self.keeper: Reader | None = None
        self._tick, self._slot, self._event = Entry(slot), Entry(slot), Entry(slot)
        for entry, kind in ((self._tick, TICK), (self._slot, SLOT), (self._event, EVENT)):
            entry.fields["kind"][0] = kind
        fields = self._tick.fields
        self._world = [(name, fields[f"world/{name}"][0]) for name in group(slot, "world")]
        self._outputs = [(name, fields[f"outputs/{name}"][0]) for name in group(slot, "outputs")]
        self._small = {name: fields[f"state/{name}"][0] for name in group(slot, "state")}
        self._applied, self._boundary = fields["applied"][0, 0, ...], fields["boundary"]
        self._state = Entry(state)
        self._whole = {name: self._state.fields[f"state/{name}"][0] for name in group(state, "state")}
        self._session: Session | None = None
        self._ticks = 0
        self._kept = 0  # ticks that the keeper kept; known once it has ended
        self._state_ns = 0  # when the last state was published
        self._counts: tuple[int, ...] = (0,) * len(COUNTS)
        self._episode_return = 0.0

    @property
    def ticks(self) -> int:
        """Number of ticks published so far."""
        return self._ticks

    @property
    def unrecorded(self) -> int:
        """Number of ticks that the keeper did not keep; correct once the keeper has ended. 0 without a keeper."""
        return 0 if self.keeper is None else self._ticks - self._kept

    def start(self, name: str, module: str, settings: dict[str, Any]) -> Reader:
        """Start a reader; see `Reader`."""
        reader = Reader(name, module, len(self.readers), self._contract, (self.slots, self.states), settings)
        self.readers.append(reader)
        return reader

    def begin(self, session: Session) -> None:
        """Wait until every reader reads, and publish the state before the first tick.

        Raises:
            ArtifactError: a reader could not start; the error says why.
        """
        for reader in self.readers:
            reader.wait_until_ready()
        self._session = session
        self._publish_state(session)

    def propose(self, world: Arrays, outputs: Arrays, boundary: bool, session: Session) -> None:
        """Copy the inputs and outputs of a step; the committed state is still the one before the step."""
        for name, field in self._world:
            field[...] = world[name]
        for name, field in self._outputs:
            field[...] = outputs[name]
        self._boundary[0] = boundary
        since_ns = self._clock.now_ns() - self._state_ns
        if since_ns > (STATE_S if boundary else _STATE_AT_LAST_S) * NS_PER_S:
            self._publish_state(session)

    def commit(self, figures: Sequence[int], applied: NDArray[Any]) -> None:
        """Publish the proposal as a step."""
        self._applied[...] = applied
        if self._boundary[0] and self._session is not None:
            self._session.copy_state(self._small)
        self._publish(self._tick, self._clock.now_ns(), figures)
        self._ticks += 1

    def slot(self, now_ns: int, kind: SlotKind, figures: Sequence[int], tally: Tally) -> None:
        """Copy the counters, and publish the slot if it has no step."""
        self._counts = (
            tally.slots,
            tally.ticks,
            tally.held_slots,
            tally.overruns,
            tally.skipped_slots,
            len(tally.returns),
        )
        self._episode_return = tally.unfinished_return
        if kind == "no_step":
            self._publish(self._slot, now_ns, figures)

    def event(self, kind: EventKind, detail: str) -> None:
        """Publish an event."""
        self._event.fields["name"][0] = kind.encode()
        self._event.fields["detail"][0] = detail.encode()
        self._publish(self._event, self._clock.now_ns(), (0,) * len(FIGURES))

    def end(self, now_ns: int) -> None:  # noqa: ARG002 (a state has a time of its own)
        """Publish the state after the last step."""
        if self._session is not None:
            self._publish_state(self._session)

    def close(self) -> list[str]:
        """Let the readers finish. Idempotent.

        Returns:
            what went wrong with the keeper, in words; no record is lost with another reader.
        """
        finished = [(reader, reader.finish()) for reader in self.readers]
        failures = [failure for reader, failure in finished if failure and reader is self.keeper]
        if self.keeper:
            self._kept = self.slots.progress(self.keeper.number)
        return failures

    def _publish(self, entry: Entry, now_ns: int, figures: Sequence[int]) -> None:
        # One call for all numbers: an assignment to each field would cost more than everything else here.
        NUMBERS.pack_into(entry.buffer, 0, now_ns, self._ticks, *figures, *self._counts, self._episode_return)
        self.slots.publish(entry.buffer)

    def _publish_state(self, session: Session) -> None:
        session.copy_state(self._whole)
        self._state_ns = self._clock.now_ns()
        self._state.fields["time_ns"][0] = self._state_ns
        self._state.fields["tick"][0] = self._ticks
        self.states.publish(self._state.buffer)

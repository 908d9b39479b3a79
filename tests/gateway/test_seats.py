"""The line is fair, no seat is given twice, none stays empty while somebody waits for it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eke.gateway.seats import Guest, QueueFullError, Seats, Table
from eke.runtime.state import Endpoint

NAMES = ("m", "n", "chat", "code")
ENDPOINTS = [
    Endpoint("a", "http://a", "m", "chat", "mock", 1),
    Endpoint("b", "http://b", "m", "code", "mock", 2),
    Endpoint("c", "http://c", "n", "code", "mock", 2),
    Endpoint("d", "http://d", "n", "n", "mock", 1),
]


def names(table: Table) -> tuple[str, ...]:
    return table.names


def test_first_come_first_served_over_both_names() -> None:
    """A seat goes to who came first, whether it asked for the model or the workload."""
    seats, called = Seats(9), []
    seats.refresh(ENDPOINTS[:1], 0.0)
    table = seats.take("m", 0.0)
    assert table
    for i, name in enumerate(["chat", "m", "chat"]):
        seats.wait(name, seats.ticket(), 0.0, lambda _t, i=i: called.append(i))
    for _ in range(3):
        seats.release(table, 1.0)
    assert called == [0, 1, 2]


def test_a_returning_guest_keeps_its_place() -> None:
    """Who must wait a second time stands before those who came later."""
    seats, called = Seats(9), []
    seats.refresh(ENDPOINTS[:1], 0.0)
    early = seats.ticket()
    table = seats.take("m", 0.0)
    assert table
    seats.wait("m", seats.ticket(), 0.0, lambda _: called.append("late"))
    seats.wait("m", early, 0.0, lambda _: called.append("early"))
    seats.release(table, 0.0)
    assert called == ["early"]


def test_room_is_bounded() -> None:
    """Nobody is added to a full line; who leaves makes room."""
    seats = Seats(1)
    guest = seats.wait("m", seats.ticket(), 0.0, print)
    with pytest.raises(QueueFullError):
        seats.wait("m", seats.ticket(), 0.0, print)
    seats.leave(guest, 0.0)
    seats.wait("m", seats.ticket(), 0.0, print)
    assert seats.waiting == 1


def test_a_failing_table_closes_longer_each_time() -> None:
    """The first failure may be chance; after more the table rests, at most two seconds; success forgets them."""
    seats = Seats(9)
    seats.refresh(ENDPOINTS[:1], 0.0)
    rests = []
    for _ in range(7):
        table = seats.take("m", 100.0)
        assert table
        seats.failed(table, 0.0)
        seats.release(table, 0.0)
        rests.append(table.closed_until)
    assert rests == [0.0, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    seats.worked(table, 0.0)
    assert seats.take("m", 0.0) is table


class Restaurant(RuleBasedStateMachine):
    """Any order of coming, waiting, leaving, standing up, failing, opening and closing."""

    def __init__(self) -> None:
        super().__init__()
        self.seats, self.now = Seats(room=5), 0.0
        self.seated: list[tuple[str, Table]] = []
        self.waiting: list[Guest] = []

    def _called(self, name: str, ticket: int):
        def called(table: Table) -> None:
            guest = next(g for g in self.waiting if g.ticket == ticket)
            earlier = [g for g in self.waiting if g.ticket < ticket and g.name in table.names]
            assert not earlier, "somebody was overtaken"
            self.waiting.remove(guest)
            self.seated.append((name, table))

        return called

    @rule(name=st.sampled_from(NAMES))
    def come(self, name: str) -> None:
        ticket = self.seats.ticket()
        suits = [g.name for g in self.waiting]
        table = self.seats.take(name, self.now)
        if table:
            assert name in table.names
            assert name not in suits or name not in [g.name for g in self.waiting], "overtaken by a newcomer"
            self.seated.append((name, table))
            return
        if self.seats.waiting == self.seats.room:
            with pytest.raises(QueueFullError):
                self.seats.wait(name, ticket, self.now, print)
            return
        self.waiting.append(self.seats.wait(name, ticket, self.now, self._called(name, ticket)))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(guest)
        self.seats.leave(guest, self.now)

    @precondition(lambda self: self.seated)
    @rule(data=st.data(), fails=st.booleans())
    def stand_up(self, data: st.DataObject, fails: bool) -> None:
        name, table = self.seated.pop(data.draw(st.integers(0, len(self.seated) - 1)))
        assert name in NAMES
        if fails:
            self.seats.failed(table, self.now)
        else:
            self.seats.worked(table, self.now)
        self.seats.release(table, self.now)

    @rule(endpoints=st.sets(st.sampled_from(ENDPOINTS)))
    def refresh(self, endpoints: set[Endpoint]) -> None:
        self.seats.refresh(endpoints, self.now)

    @rule(seconds=st.floats(0.01, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.seats.seat(self.now)

    @invariant()
    def counts_agree(self) -> None:
        assert self.seats.waiting == len(self.waiting) <= self.seats.room
        for table in self.seats.tables():
            assert table.taken == sum(t is table for _, t in self.seated) <= table.endpoint.slots
        assert self.seats.oldest(self.now) == (self.now - min((g.since for g in self.waiting), default=self.now))

    @invariant()
    def nobody_waits_beside_a_free_seat(self) -> None:
        for table in self.seats.tables():
            if table.free(self.now):
                assert not [g for g in self.waiting if g.name in table.names]


Restaurant.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRestaurant = Restaurant.TestCase

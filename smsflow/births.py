"""Births and citizens: what the wards record begins conversations, what the base of numbers says suspends them.

Called inside a transaction of the store, like the engine that it moves conversations with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from smsflow.core.conversation import Status
from smsflow.core.dialog import Dialog
from smsflow.core.events import Ended, Suspended
from smsflow.engine import Engine, Refused
from smsflow.store.people import Birth
from smsflow.store.store import Store

__all__ = ["Births"]


@dataclass(slots=True)  # not frozen: it follows what is recorded
class _Known:
    """What is known of some births and their mothers."""

    births: dict[str, tuple[Birth, int]]  # by birth_id: those that were recorded, and their first cases
    msisdns: dict[str, str]  # of citizens, by IIN; of those whose births name no number
    iins: dict[str, str]  # of the owners of numbers, by number
    stopped: frozenset[str]  # numbers and IINs of those who have said STOP
    forgotten_before: datetime | None
    dialog: Dialog | None  # that a birth begins

    def msisdn_of(self, birth: Birth) -> str | None:
        """The mother's number, None when none is known."""
        return birth.msisdn or self.msisdns.get(birth.mother_iin)


class Births:
    """Records births and bindings. `on_births` is told (case, result) of those that are new and on the disk."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        on_births: Callable[[Sequence[tuple[int, str]]], object] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._on_births = on_births

    def record_birth(self, birth: Birth, at: datetime) -> int:
        """As `record_births`, for one. Raises: Refused."""
        (recorded,) = self.record_births((birth,), at)
        if isinstance(recorded, Refused):
            raise recorded
        return recorded

    def record_births(self, births: Sequence[Birth], at: datetime) -> list[int | Refused]:
        """Record births, one after the other, and begin their conversations: of each the case, or why it has none.

        The second time it is the case of the first. Refused are: `differs`, when this birth was recorded with
        other facts; a child that does not live after all is the one correction that is taken, whatever else
        differs, and ends everything. `too_many_open_cases`, when the mother's replies could no longer be told
        apart, `no_dialog`, when no dialog starts at a birth, `too_old`, when it may have been recorded before and
        forgotten since.
        """
        known = self._look_up(births)
        new: list[tuple[int, str]] = []
        self._store.after_commit(lambda: self._on_births(new))
        recorded: list[int | Refused] = []
        for birth in births:
            try:
                recorded.append(self._record(birth, known, new, at))
            except Refused as refused:
                recorded.append(refused)
        return recorded

    def _look_up(self, births: Sequence[Birth]) -> _Known:
        """What is known, all at once."""
        people = self._store.people
        msisdns = people.find_msisdns({birth.mother_iin for birth in births if not birth.msisdn})
        phones = {birth.msisdn or msisdns.get(birth.mother_iin, "") for birth in births} - {""}
        self._store.conversations.load_phones(phones)
        return _Known(
            births=people.find_births({birth.birth_id for birth in births}),
            msisdns=msisdns,
            iins=people.find_iins(phones),
            stopped=people.find_stopped(phones, {birth.mother_iin for birth in births}),
            forgotten_before=self._store.retention.forgotten_before(),
            dialog=self._engine.birth_dialog,
        )

    def _record(self, birth: Birth, known: _Known, new: list[tuple[int, str]], at: datetime) -> int:
        if birth.birth_id in known.births:
            return self._recorded_before(birth, known, at)
        if known.forgotten_before and datetime.fromisoformat(birth.born_at) < known.forgotten_before:
            raise Refused("too_old")
        if known.dialog is None:
            raise Refused("no_dialog")
        msisdn, result = known.msisdn_of(birth), _why_not(birth, known)
        conversation = self._engine.open(known.dialog, birth.birth_id, msisdn or "", _birth_facts(birth), at)
        self._store.people.add_birth(birth, conversation.case, at)
        known.births[birth.birth_id] = birth, conversation.case
        new.append((conversation.case, result))
        self._engine.begin(conversation, at, result=result)
        if result == "no_phone":
            self._store.flags.add(conversation.case, result, at)  # for the service centre
        return conversation.case

    def _recorded_before(self, birth: Birth, known: _Known, at: datetime) -> int:
        before, case = known.births[birth.birth_id]
        same_mother = before.mother_iin == birth.mother_iin
        if _is_same(before, birth) or (same_mother and not before.alive and not birth.alive):
            return case
        if not (same_mother and before.alive and not birth.alive):
            raise Refused("differs")
        self._store.people.mark_not_alive(birth.birth_id)
        known.births[birth.birth_id] = replace(before, alive=False), case
        for conversation in self._store.conversations.load_birth(birth.birth_id):
            self._engine.move(conversation, Ended(at, "stillbirth"))
        return case

    def bind_citizen(self, iin: str, msisdn: str, bound_at: datetime, at: datetime) -> None:
        """Tie a number to a citizen. What was going on with the number's, or her, old binding waits for a person.

        A binding that is older than the one that is known changes nothing.
        """
        owner, former = self._store.people.find_iin(msisdn), self._store.people.find_msisdn(iin)
        known = (self._store.people.binding_time(each) for each in {iin, owner or iin})
        if any(since and since > bound_at for since in known):
            return
        self._store.people.bind_citizen(iin, msisdn, bound_at)
        if owner not in (None, iin):
            self._suspend(msisdn, at, keep_iin=iin)
        if former not in (None, msisdn):
            self._suspend(former or "", at, keep_iin="")
        if owner is None:
            self._suspend(msisdn, at, keep_iin=iin)

    def _suspend(self, msisdn: str, at: datetime, *, keep_iin: str) -> None:
        for conversation in self._store.conversations.load_phone(msisdn):
            if conversation.status is Status.OPEN and conversation.facts.get("mother_iin") != keep_iin:
                self._engine.move(conversation, Suspended(at, "number_changed_hands"))


def _why_not(birth: Birth, known: _Known) -> str:
    """The result with which a case is closed before anything is sent, "" when it may begin."""
    if not birth.alive:
        return "stillbirth"
    msisdn = known.msisdn_of(birth)
    if msisdn is None or known.iins.get(msisdn) not in (None, birth.mother_iin):
        return "no_phone"  # none is known, or it is somebody else's
    return "" if known.stopped.isdisjoint((msisdn, birth.mother_iin)) else "stopped"


def _is_same(before: Birth, birth: Birth) -> bool:
    """Whether two records say the same; one moment may be written with different offsets."""
    same_moment = datetime.fromisoformat(before.born_at) == datetime.fromisoformat(birth.born_at)
    return same_moment and replace(before, born_at=birth.born_at) == birth


def _birth_facts(birth: Birth) -> dict[str, str]:
    facts = {
        "birth_id": birth.birth_id,
        "mother_iin": birth.mother_iin,
        "born_at": birth.born_at,
        "sex": birth.sex,
        "birth_order": str(birth.birth_order),
        "account": birth.account,
        "address_kato": birth.address_kato,
    }
    return {name: value for name, value in facts.items() if value}

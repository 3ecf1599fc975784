"""Births and citizens: what the wards record begins conversations, what the base of numbers says suspends them.

Called inside a transaction of the store, like the engine that it moves conversations with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from smsflow.core.conversation import Status
from smsflow.core.events import Ended, Suspended
from smsflow.engine import Engine, Refused
from smsflow.store.people import Birth
from smsflow.store.store import Store

__all__ = ["Births"]


class Births:
    """Records births and bindings. `on_birth(case, result)` is told of each that is new and on the disk."""

    def __init__(
        self, engine: Engine, store: Store, *, on_birth: Callable[[int, str], object] = lambda *_: None
    ) -> None:
        self._engine = engine
        self._store = store
        self._on_birth = on_birth

    def record_birth(self, birth: Birth, at: datetime) -> int:
        """Record a birth and begin its conversation; the case. The second time, the case of the first.

        Raises: Refused `differs` when this birth was recorded with other facts; a child that does not live
        after all is the one correction that is taken, whatever else differs, and ends everything. Refused
        `too_many_open_cases` when the mother's replies could no longer be told apart, `no_dialog` when no
        dialog starts at a birth, `too_old` when it may have been recorded before and forgotten since.
        """
        known = self._store.people.find_birth(birth.birth_id)
        if known:
            return self._recorded_before(birth, *known, at)
        if self._store.retention.may_have_forgotten(datetime.fromisoformat(birth.born_at)):
            raise Refused("too_old")
        dialog = self._engine.birth_dialog
        if dialog is None:
            raise Refused("no_dialog")
        msisdn = birth.msisdn or self._store.people.find_msisdn(birth.mother_iin)
        result = self._why_not(birth, msisdn)
        conversation = self._engine.open(dialog, birth.birth_id, msisdn or "", _birth_facts(birth), at)
        self._store.people.add_birth(birth, conversation.case, at)
        self._store.after_commit(lambda: self._on_birth(conversation.case, result))
        if result:
            self._engine.move(conversation, Ended(at, result))
        else:
            self._engine.begin(conversation, at)
        if result == "no_phone":
            self._store.add_flag(conversation.case, result, at)  # for the service centre
        return conversation.case

    def _recorded_before(self, birth: Birth, before: Birth, case: int, at: datetime) -> int:
        same_mother = before.mother_iin == birth.mother_iin
        if _is_same(before, birth) or (same_mother and not before.alive and not birth.alive):
            return case
        if not (same_mother and before.alive and not birth.alive):
            raise Refused("differs")
        self._store.people.mark_not_alive(birth.birth_id)
        for conversation in self._store.load_birth(birth.birth_id):
            self._engine.move(conversation, Ended(at, "stillbirth"))
        return case

    def _why_not(self, birth: Birth, msisdn: str | None) -> str:
        """The result with which a case is closed before anything is sent, "" when it may begin."""
        if not birth.alive:
            return "stillbirth"
        if msisdn is None or self._store.people.find_iin(msisdn) not in (None, birth.mother_iin):
            return "no_phone"  # none is known, or it is somebody else's
        return "stopped" if self._store.people.is_stopped(msisdn, birth.mother_iin) else ""

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
        for conversation in self._store.load_phone(msisdn):
            if conversation.status is Status.OPEN and conversation.facts.get("mother_iin") != keep_iin:
                self._engine.move(conversation, Suspended(at, "number_changed_hands"))


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

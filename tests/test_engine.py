"""The engine on a real store: births, replies, silence, bodies, and what must never happen."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from world import DIALOGS, NOON, PHONE, QUIET, ZONE, World, a_world

from smsflow.core.conversation import Status
from smsflow.core.errors import StaleConversation
from smsflow.core.events import Ended
from smsflow.engine import Refused
from smsflow.store.rows import utc

NAME = "Ахметов Нурлан Ерболулы"
HOUR = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world
        assert world.flaws() == []


@pytest.fixture
def quiet_world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, QUIET) as world:
        yield world
        assert world.flaws() == []


def to_education(world: World, **facts: object) -> int:
    case = world.birth(**facts)
    world.reply("R 1 1 2")
    world.reply(f"R 1 1 2 {NAME}")
    world.sent()
    return case


def to_application(world: World, **facts: object) -> int:
    case = to_education(world, **facts)
    world.reply("R 1 1 2 1")
    world.reply("R 1 1 2 1 2")
    world.reply("R 1 1 2 1 2 1")
    world.sent()
    return case


# --- births ------------------------------------------------------------------------------------------


def test_birth_is_greeted_once_however_often_it_is_recorded(world: World) -> None:
    """Births are idempotent by birth_id."""
    case = world.birth()

    assert world.birth() == case
    assert world.sent() == ["greeting R 1 1 1 R 1 1 2"]


def test_birth_with_other_facts_is_refused(world: World) -> None:
    """A birth_id that comes again with other facts is an error of the sender, not a new birth."""
    world.birth()

    with pytest.raises(Refused, match="differs"):
        world.birth(sex="male")


def test_stillbirth_is_never_greeted(world: World) -> None:
    """No text, ever; the case is closed at once."""
    case = world.birth(alive=False)

    assert world.sent() == []
    assert (world.case(case).status, world.case(case).result) == (Status.CLOSED, "stillbirth")


def test_child_that_does_not_live_after_all_ends_everything(quiet_world: World) -> None:
    """The one correction of a birth: what was queued is dropped, and nothing follows."""
    world = quiet_world
    world.now = NOON.replace(hour=22)
    case = world.birth()

    assert world.birth(alive=False) == case

    world.wait(100 * HOUR)
    assert world.sent() == []
    assert world.case(case).result == "stillbirth"


def test_child_that_does_not_live_is_believed_whatever_else_differs(world: World) -> None:
    """Another account, another way to write the moment: the correction still counts."""
    case = world.birth(account="KZ86125KZT5004100100")
    world.sent()

    assert world.birth(alive=False, born_at="2026-11-18T03:00:00+00:00") == case
    assert world.case(case).result == "stillbirth"
    with pytest.raises(Refused, match="differs"):  # the correction is kept: the first record is not true any more
        world.birth(account="KZ86125KZT5004100100")
    assert world.birth("b2", born_at="2026-11-18T08:00:00+05:00") == world.birth(
        "b2", born_at="2026-11-18T03:00:00+00:00"
    )


def test_mother_without_a_phone_is_listed_for_the_service_centre(world: World) -> None:
    """Closed as no_phone, and flagged."""
    case = world.birth(msisdn=None)

    assert world.case(case).result == "no_phone"
    assert world.flags() == ["no_phone"]


def test_base_of_mobile_citizens_decides_without_a_number(world: World) -> None:
    """A birth without msisdn goes to the number that is tied to the mother."""
    with world.store.transaction():
        world.births.bind_citizen("950101200109", PHONE, NOON, NOON)
    case = world.birth(msisdn=None)

    assert world.case(case).msisdn == PHONE


def test_number_of_somebody_else_is_not_written_to(world: World) -> None:
    """The ward's number is tied to another citizen: nobody is congratulated."""
    with world.store.transaction():
        world.births.bind_citizen("950101200002", PHONE, NOON, NOON)
    case = world.birth()

    assert world.sent() == []
    assert world.case(case).result == "no_phone"


def test_twins_are_told_apart_by_the_child_digit(world: World) -> None:
    """Two cases, two addresses; a bare answer is not guessed."""
    first, second = world.birth("b1"), world.birth("b2", birth_order=2)
    assert world.sent() == ["greeting R 1 1 1 R 1 1 2", "greeting R 1 2 1 R 1 2 2"]

    assert world.reply("2").outcome == "not_understood"
    assert world.reply("R 1 2 2").case == second
    assert world.case(first).state == "greeting"
    assert world.case(second).state == "child_name"


def test_a_tenth_open_case_is_refused(world: World) -> None:
    """Nine children have a digit; a tenth could not be told apart."""
    for number in range(9):
        world.birth(f"b{number}")

    with pytest.raises(Refused, match="too_many_open_cases"):
        world.birth("b10")


# --- replies ------------------------------------------------------------------------------------------


def test_answers_lead_to_the_application(world: World) -> None:
    """The whole registration: each answer brings the next question, the last one the application."""
    case = world.birth()
    texts = [world.sent()]
    for reply in ("R 1 1 2", f"R 1 1 2 {NAME}", "R 1 1 2 1", "R 1 1 2 1 2", "R 1 1 2 1 2 1"):
        assert world.reply(reply).outcome == "answered"
        texts.append(world.sent())

    assert texts == [
        ["greeting R 1 1 1 R 1 1 2"],
        ["name R 1 1 2"],
        ["education 1 a 2 b 3 c R 1 1 2 1"],
        ["office 1 r1 2 r2 3 r3 4 r4 5 r5 6 r6 7 r7 8 r8 9 ещё R 1 1 2 1 1"],
        [f"check {NAME} R 1 1 2 1 2 1"],
        [],
    ]
    assert world.case(case).state == "apply"
    content = {"birth_id": "b1", "child_name": NAME, "education": "1", "education_text": "a"}
    assert world.applications() == [
        ("registration", content | {"office": "2", "office_text": "k2", "office_id": "o2"})
    ]


def test_same_answer_again_changes_nothing(world: World) -> None:
    """Outcome repeated: no second step, no second text."""
    case = to_education(world)
    before = world.case(case)

    assert world.reply("R 1 1 2").outcome == "repeated"
    assert world.sent() == []
    assert world.case(case) == before


def test_reply_delivered_again_on_another_link_changes_nothing(world: World) -> None:
    """A reply whose response was lost comes again in another session; even one that was not understood."""
    case = world.birth()
    world.sent()
    world.reply("чепуха")
    assert len(world.sent()) == 1

    world.session = "two"
    assert world.reply("чепуха").reason == "delivered_again"
    assert world.sent() == []
    assert world.case(case).misread == 1


@pytest.mark.parametrize(
    ("after", "reason"), [(timedelta(minutes=10), "delivered_again"), (timedelta(minutes=10, seconds=1), "no_r")]
)
def test_reply_delivered_again_is_known_for_ten_minutes(world: World, after: timedelta, reason: str) -> None:
    """What comes later in another session is a reply of its own: she has written the same again."""
    world.birth()
    world.reply("чепуха")
    world.session = "two"
    world.now += after

    assert world.reply("чепуха").reason == reason


def to_education_again(world: World) -> int:
    """She has found a mistake and named the child once more; then the link has gone and come."""
    case = to_education(world)
    for text in ("R 1 1 2 1", "R 1 1 2 1 2", "R 1 1 2 1 2 2"):
        world.reply(text)
        world.sent()
    assert world.case(case).state == "child_name"
    assert world.reply("R 1 1 2 Ким Анна").outcome == "answered"
    assert world.case(case).state == "education"
    world.session = "two"
    return case


def test_the_same_answer_to_a_question_that_is_asked_once_more_counts_when_she_repeats_it(world: World) -> None:
    """It may be the first one, delivered again: she is asked. Nobody is left without a word."""
    case = to_education_again(world)
    world.sent()

    assert world.reply("R 1 1 2 1", sequence=800).reason == "delivered_again"
    assert len(world.sent()) == 1
    assert world.reply("R 1 1 2 1", sequence=800).reason == "delivered_again"
    assert world.case(case).state == "education"
    world.sent()
    assert world.reply("R 1 1 2 1", sequence=801).outcome == "answered"
    assert world.case(case).state == "office"


def test_reply_delivered_again_before_its_question_is_asked_once_more_moves_nothing(world: World) -> None:
    """The question has not gone out again: it cannot be an answer to it."""
    case = to_education_again(world)

    assert world.reply("R 1 1 2 1").outcome == "repeated"
    assert world.case(case).state == "education"


def test_answer_that_she_takes_back_over_a_new_connection_counts_when_she_repeats_it(world: World) -> None:
    """The first time it may be the first one, delivered again; in one session only she repeats it."""
    case = to_education(world)
    world.reply("R 1 1 2 1")
    world.session = "two"
    world.reply("R 1 1 2 2")

    assert world.reply("R 1 1 2 1").reason == "delivered_again"
    assert world.case(case).answers["education"] == "2"
    assert world.reply("R 1 1 2 1", sequence=900).outcome == "amended"
    assert world.case(case).answers["education"] == "1"
    world.reply("R 1 1 2 2", sequence=901)
    world.reply("R 1 1 2 1", sequence=902)
    world.reply("R 1 1 2 2", sequence=903)
    assert world.reply("R 1 1 2 1", sequence=900).reason == "delivered_again"
    assert world.case(case).answers["education"] == "2"


def test_same_pdu_again_in_its_session_changes_nothing(world: World) -> None:
    """The same sequence number and octets: the centre saw no response. No step, no hint, no undone correction."""
    case = to_education(world)
    world.reply("R 1 1 2 Ким Анна", sequence=700)
    world.reply("R 1 1 2 Ким Айна", sequence=701)
    before = world.case(case)
    world.sent()

    assert world.reply("R 1 1 2 Ким Анна", sequence=700).reason == "delivered_again"
    assert world.case(case) == before
    assert world.sent() == []


def test_bare_answer_counts_only_for_a_question_that_has_gone_out(world: World) -> None:
    """Twice the same digit at once: she cannot have read the second question yet."""
    case = to_education(world)

    assert world.reply("1").outcome == "answered"
    assert world.reply("1").reason == "question_not_sent"
    assert world.case(case).state == "office"
    world.sent()
    assert world.reply("1").outcome == "answered"


def test_bare_answer_to_a_question_on_its_way_is_asked_for_in_full(world: World) -> None:
    """The centre is slow to say that it has taken the question: she may have read it, or this comes again."""
    case = to_education(world)
    assert world.reply("1").outcome == "answered"
    world.sending()
    handled = world.reply("1")
    assert (handled.outcome, handled.reason) == ("not_understood", "question_on_its_way")
    assert world.case(case).state == "office"
    assert [text for text in world.sent() if "R 1 1 2 1" in text]


def test_bare_answer_to_a_question_in_doubt_is_asked_for_in_full(world: World) -> None:
    """It is queued to be sent again; she has read it the first time, perhaps."""
    case = to_education(world)
    assert world.reply("1").outcome == "answered"
    world.sending()
    with world.store.transaction():
        world.store.outbox.doubt_all(world.now, {})
    assert world.reply("1").reason == "question_on_its_way"
    assert world.case(case).state == "office"


def test_bare_answer_while_a_reminder_is_queued_is_asked_for_in_full(world: World) -> None:
    """The question itself was taken long ago: her answer is not lost without a word."""
    case = to_education(world)
    due = world.case(case).due
    assert due
    with world.store.transaction():
        world.engine.fire_timer(case, due.at)
    handled = world.reply("1")
    assert (handled.outcome, handled.reason) == ("not_understood", "question_on_its_way")


def test_bare_answer_that_may_be_a_second_delivery_is_asked_for_in_full(world: World) -> None:
    """The same digit on another link: a second delivery, or an answer to the next question. Nobody guesses."""
    case = to_education(world)
    world.reply("1")
    world.sent()

    world.session = "two"
    assert world.reply("1").outcome == "not_understood"
    assert world.sent() == ["hint form R 1 1 2 1 1"]
    assert world.case(case).state == "office"


def test_corrected_name_costs_nothing_else(world: World) -> None:
    """A name may be amended until the application is sent; the answers after it stand."""
    case = to_education(world)
    world.reply("R 1 1 2 3")
    world.sent()

    assert world.reply("R 1 1 2 Ахметова Айгуль").outcome == "amended"
    assert world.case(case).answers["child_name"] == "Ахметова Айгуль"
    assert world.case(case).state == "office"
    assert len(world.sent()) == 1


def test_corrected_choice_asks_again_what_follows_from_it(world: World) -> None:
    """The path has changed, so the question after it is asked again at its new address."""
    case = to_education(world)
    world.reply("R 1 1 2 1")
    world.reply("R 1 1 2 1 2")
    world.sent()

    assert world.reply("R 1 1 2 3").outcome == "amended"
    assert world.case(case).state == "office"
    assert world.sent()[0].endswith("R 1 1 2 3 1")


def test_corrected_language_keeps_the_name(world: World) -> None:
    """What she typed stands; what she chose is asked again in the other language."""
    case = to_education(world)
    assert world.reply("R 1 1 1").outcome == "amended"

    assert (world.case(case).language, world.case(case).state) == ("kk", "education")
    assert world.case(case).answers["child_name"] == NAME


def test_reply_by_an_earlier_address_still_counts(world: World) -> None:
    """A question that was asked again is answered by every address that was ever printed for it."""
    case = to_education(world)
    world.reply("R 1 1 2 1")
    world.reply("R 1 1 2 3")  # amended: office is now at R 1 1 2 3

    assert world.reply("R 1 1 2 1 2").outcome == "answered"
    assert world.case(case).answers["office"] == "2"


def test_long_list_is_read_page_by_page(world: World) -> None:
    """9 turns the page; codes of the first page are still taken, and the second page has its own address."""
    case = to_education(world)
    world.reply("R 1 1 2 1")
    world.sent()
    world.reply("R 1 1 2 1 9")
    assert world.sent() == ["office 1 r9 2 r10 9 другой R 1 1 2 1 9 1"]
    assert world.reply("R 1 1 2 1 9").outcome == "repeated"
    assert world.sent() == []

    assert world.reply("R 1 1 2 1 9 2").outcome == "answered"
    assert world.case(case).answers["office"] == "92"
    assert world.sent() == [f"check {NAME} R 1 1 2 1 9 2 1"]


def test_way_out_of_a_list_is_a_step_of_its_own(world: World) -> None:
    """9 behind the last page is part of the addresses that follow: sent twice, it counts once."""
    case = to_education(world)
    for reply in ("R 1 1 2 1", "R 1 1 2 1 9", "R 1 1 2 1 9 9"):
        assert world.reply(reply).outcome == "answered"
    assert world.case(case).state == "check"
    assert world.sent()[-1] == f"check {NAME} R 1 1 2 1 9 9 1"

    assert world.reply("R 1 1 2 1 9 9").outcome == "repeated"
    assert world.reply("R 1 1 2 1 9").outcome == "repeated"
    assert world.reply("R 1 1 2 1 3").outcome == "amended"
    assert world.case(case).answers["office"] == "3"


def test_answer_that_leads_back_counts_once(world: World) -> None:
    """No at the check leads back to the name; the same reply delivered again is known for what it is."""
    case = to_education(world)
    for reply in ("R 1 1 2 1", "R 1 1 2 1 2", "R 1 1 2 1 2 2"):
        world.reply(reply)
    assert world.case(case).state == "child_name"
    world.sent()

    assert world.reply("R 1 1 2 1 2 2").outcome == "repeated"
    assert world.reply("R 1 1 2 1 2 1").outcome == "not_understood"
    assert world.sent() == ["hint form R 1 1 2"]


def test_half_a_reply_later_on_brings_the_question_again(world: World) -> None:
    """R 1 1 2 without the name is the answer before; she is asked again, but not within the same minute."""
    world.birth()
    world.reply("R 1 1 2")
    world.sent()
    assert world.reply("R 1 1 2").outcome == "repeated"
    assert world.sent() == []

    world.now += timedelta(minutes=2)
    assert [world.reply("R 1 1 2").outcome for _ in range(5)] == ["repeated"] * 5
    assert world.sent() == ["name R 1 1 2"] * 3


def test_correction_after_the_application_is_late(world: World) -> None:
    """Sending seals; she is told, but not for ever."""
    case = to_application(world)
    for number in range(5):
        assert world.reply(f"R 1 1 2 Ахметов Имя{'аб'[number % 2]}").outcome == "late"

    assert world.sent() == ["sealed"] * 3
    assert world.case(case).state == "apply"
    assert len(world.applications()) == 1


def test_word_of_a_body_starts_the_ladder_over(world: World) -> None:
    """She has heard something new, and may ask again."""
    case = to_application(world)
    for number in range(5):
        world.reply(f"R 1 1 2 Ахметов Имя{'аб'[number % 2]}")
    assert world.sent() == ["sealed"] * 3

    world.body(case, "accepted", number="1")
    world.reply("R 1 1 2 Ахметов Серик")
    assert world.sent() == ["sent 1", "sealed"]


def test_ladder_ends_in_silence_until_she_is_understood(world: World) -> None:
    """Hint, question, desk with a flag, silence; a valid reply starts over."""
    world.birth()
    world.sent()
    texts = []
    for _ in range(5):
        assert world.reply("что это?").outcome == "not_understood"
        texts += world.sent()

    assert texts == ["hint form R 1 1 1", "greeting R 1 1 1 R 1 1 2", "desk"]
    assert world.flags() == ["not_understood"]
    world.reply("R 1 1 2")
    world.sent()
    world.reply("R 1 1 2 Nurlan")
    assert world.sent() == ["hint name R 1 1 2"]


def test_help_repeats_the_question(world: World) -> None:
    """HELP and R ? bring the current question, and do not climb the ladder."""
    case = world.birth()
    world.sent()

    assert world.reply("R ?").outcome == "help"
    assert world.sent() == ["greeting R 1 1 1 R 1 1 2"]
    assert world.case(case).misread == 0


def test_help_repeats_the_question_of_every_child(world: World) -> None:
    """Nobody can tell which of the twins she means."""
    world.birth("b1")
    world.birth("b2", birth_order=2)
    both = world.sent()

    assert world.reply("HELP").outcome == "help"
    assert world.sent() == both == ["greeting R 1 1 1 R 1 1 2", "greeting R 1 2 1 R 1 2 2"]


def test_stop_ends_everything_and_stays(world: World) -> None:
    """Every case of the phone closes, one text confirms it, nothing ever follows: not even another birth."""
    first, second = world.birth("b1"), world.birth("b2")
    world.sent()
    assert world.reply("Стоп").outcome == "stopped"
    assert world.sent() == ["stopped"]
    assert {world.case(first).result, world.case(second).result} == {"stopped"}

    assert world.reply("R 1 1 2").outcome == "late"
    third = world.birth("b3")
    world.reply("STOP")
    assert world.sent() == []
    assert world.case(third).result == "stopped"


def test_stop_goes_with_her_to_another_number(world: World) -> None:
    """She has said it, not her telephone."""
    world.birth()
    world.reply("STOP")
    world.sent()
    with world.store.transaction():
        world.births.bind_citizen("950101200109", "77017654321", NOON, NOON)
    case = world.birth("b2", msisdn=None)

    assert world.case(case).result == "stopped"
    assert world.sent() == []


def test_stop_keeps_back_what_no_body_has_taken(world: World) -> None:
    """An application that waits for a body, and a text that is tried again, do not go out after STOP."""
    case = to_application(world)
    world.body(case, "accepted", number="1")
    (notice,) = world.sending()
    world.reply("STOP")
    with world.store.transaction():
        world.store.outbox.retry(notice.id, "ESME_RTHROTTLED", world.now, world.now)

    assert world.sent() == ["stopped"]
    assert world.applications() == []


def test_stop_drops_what_is_queued(quiet_world: World) -> None:
    """A greeting that waits for the morning is not sent to a mother who has said STOP at night."""
    world = quiet_world
    world.now = NOON.replace(hour=22)
    world.birth()
    world.reply("STOP")
    world.sent()

    world.wait(24 * HOUR)
    assert world.sent() == []


def test_stranger_is_told_once_a_day(world: World) -> None:
    """A number without a case gets one short explanation a day."""
    for _ in range(3):
        assert world.reply("привет").outcome == "not_understood"
    assert world.sent() == ["unknown"]

    world.now += 25 * HOUR
    world.reply("привет")
    assert world.sent() == ["unknown"]


def test_reply_to_a_closed_case_is_late(world: World) -> None:
    """It does not move the case; she is told once."""
    case = world.birth()
    world.wait(73 * HOUR)
    world.sent()

    assert world.reply("R 1 1 2").outcome == "late"
    assert world.reply("R 1 1 1").outcome == "late"
    assert world.sent() == ["closed"]
    assert world.case(case).result == "expired"


@pytest.mark.parametrize(
    "text", ["", " ", "\0\x01\x02", "R " * 5000, "й" * 10_000, "\ufffd", "😀", "R", "R 1 1 2\0"]
)
def test_odd_texts_cost_nothing(world: World, text: str) -> None:
    """Stored, answered or ignored by rule; never an exception."""
    world.birth()

    assert world.reply(text).outcome in {"not_understood", "answered"}


def test_sender_that_is_no_phone_is_kept_and_ignored(world: World) -> None:
    """An alphanumeric sender gets no text."""
    assert world.reply("R 1 1 2", phone="").reason == "not_a_phone"
    assert world.sent() == []


# --- time ------------------------------------------------------------------------------------------


def test_silence_brings_two_reminders_and_the_end(world: World) -> None:
    """24 h, 48 h, 72 h."""
    case = world.birth()
    world.sent()
    seen = []
    for _ in range(4):
        world.wait(24 * HOUR)
        seen.append(world.sent())

    deadline = "21.11.2026 12:00"
    assert seen == [[f"remind R 1 1 1 {deadline}"], [f"remind R 1 1 1 {deadline}"], ["expired"], []]
    assert world.case(case).result == "expired"


def test_greeting_at_night_waits_for_the_morning(quiet_world: World) -> None:
    """Nothing that the engine starts by itself goes out between 21:00 and 09:00; its clock starts then."""
    world = quiet_world
    world.now = NOON.replace(hour=23)
    case = world.birth()
    assert world.sent() == []

    world.wait(10 * HOUR)
    assert world.sent() == ["greeting R 1 1 1 R 1 1 2"]
    assert world.case(case).asked_at == NOON.replace(day=19, hour=9)


def test_answer_at_night_goes_at_once(quiet_world: World) -> None:
    """She has just written: she is awake."""
    world = quiet_world
    world.birth()
    world.sent()
    world.now = NOON.replace(hour=23)
    world.reply("R 1 1 2")

    assert world.sent() == ["name R 1 1 2"]


def test_question_that_was_answered_overnight_is_not_sent(quiet_world: World) -> None:
    """A text that would be untrue by morning is dropped."""
    world = quiet_world
    world.now = NOON.replace(hour=23)
    world.birth()
    world.reply("R 1 1 2")  # she knows the form from her first child
    world.sent()

    world.wait(12 * HOUR)
    assert world.sent() == []


def test_weekend_does_not_cost_her_a_chance(quiet_world: World) -> None:
    """Asked on Friday, silent until Monday: one reminder, not two, and a day to answer after it."""
    world = quiet_world
    world.now = datetime(2026, 11, 20, 18, tzinfo=ZONE)  # Friday
    case = world.birth()
    world.sent()

    world.wait(64 * HOUR)  # Monday 10:00
    assert world.sent() == ["remind R 1 1 1 23.11.2026 18:00"]
    world.wait(20 * HOUR)
    assert world.case(case).status is Status.OPEN
    world.wait(10 * HOUR)
    assert world.case(case).result == "expired"


def test_body_that_is_late_is_flagged_and_she_is_not_told(world: World) -> None:
    """3 working days over a weekend."""
    case = to_application(world)
    world.wait(timedelta(days=4, hours=23))
    assert world.flags() == []

    world.wait(2 * HOUR)
    assert world.flags() == ["body_is_late"]
    assert world.sent() == []
    assert world.case(case).status is Status.OPEN


def test_timer_that_cannot_be_carried_out_is_flagged_and_tried_in_an_hour(world: World) -> None:
    """Our bug must not be tried twice a second, nor strand anybody."""
    case = world.birth()
    world.sent()
    world.now += 24 * HOUR
    stale = world.case(case)
    with world.store.transaction():
        world.engine.set_aside(case, world.now)

    assert world.flags() == ["timer_failed"]
    assert world.engine.find_due(world.now + HOUR - timedelta(seconds=1), 10) == ()
    assert world.engine.find_due(world.now + HOUR, 10) == (case,)
    with pytest.raises(StaleConversation), world.store.transaction():
        world.engine.move(stale, Ended(world.now, "x"))  # whoever loaded it before does not undo that


def test_moment_of_the_end_is_kept(world: World) -> None:
    """None while a case is open; then when it ended."""
    case = world.birth()

    def closed_at() -> str | None:
        row = world.store._connection.execute("SELECT closed_at FROM conversation WHERE id=?", (case,)).fetchone()
        return row[0] and str(row[0])

    assert closed_at() is None
    world.now += HOUR
    world.reply("STOP")
    assert closed_at() == utc(NOON + HOUR)
    world.now += HOUR
    world.reply("R 1 1 2")
    assert closed_at() == utc(NOON + HOUR)


# --- bodies ------------------------------------------------------------------------------------------


def test_body_registers_and_the_next_dialog_begins(world: World) -> None:
    """The notice first, then the next service's question in her language, with her child's digit."""
    world.birth("b0")
    case = world.birth("b1", account="KZ86125KZT5004100100")
    for reply in ("R 1 2 2", f"R 1 2 2 {NAME}", "R 1 2 2 1", "R 1 2 2 1 1", "R 1 2 2 1 1 1"):
        world.reply(reply)
    world.sent()

    assert world.body(case, "accepted", number="104512") == "moved"
    assert world.sent() == ["sent 104512"]
    assert world.body(case, "registered", place="Төле би 155") == "moved"
    assert world.sent() == ["registered Төле би 155", "account *0100 1 да 2 другой R 3 2 1"]
    assert world.case(case).result == "done"


def test_body_event_counts_once(world: World) -> None:
    """Idempotent by the body's own id."""
    case = to_application(world)
    world.body(case, "accepted", "e1", number="1")
    world.sent()

    assert world.body(case, "accepted", "e1", number="1") == "moved"
    assert world.sent() == []


def test_body_event_out_of_place_does_nothing(world: World) -> None:
    """Before the application, and after the end: recorded, harmless."""
    case = world.birth()
    world.sent()

    assert world.body(case, "registered", place="x") == "stale"
    assert world.case(case).state == "greeting"
    with pytest.raises(Refused, match="unknown_event"):
        world.body(case, "exploded")
    with pytest.raises(Refused, match="unknown_case"):
        world.body(4711, "registered")


def test_other_account_in_one_reply_is_echoed_before_it_is_sent(world: World) -> None:
    """R 3 1 2 KZ… answers two questions; the account is confirmed by its last digits."""
    case = to_application(world, account="KZ86125KZT5004100100")
    world.body(case, "registered", place="x")
    world.sent()
    money = world.store.conversations.load_phone(PHONE)[-1].case

    assert world.reply("R 3 1 2 KZ86125KZT5004100100").outcome == "answered"
    assert world.sent() == ["check *0100 R 3 1 2 1"]
    assert world.reply("R 3 1 2 KZ86125KZT5004100101").outcome == "not_understood"
    assert world.sent() == ["hint iban R 3 1 2 1"]
    world.reply("R 3 1 2 1")
    assert world.applications()[-1] == ("allowance", {"birth_id": "b1", "account": "KZ86125KZT5004100100"})
    assert world.body(money, "granted", amount="164350") == "moved"
    assert world.case(money).result == "done"


# --- numbers that change hands ------------------------------------------------------------------------


def test_number_that_changes_hands_suspends_its_cases(world: World) -> None:
    """Nothing goes to the new owner; a person looks, and may resume."""
    case = world.birth()
    with world.store.transaction():
        world.births.bind_citizen("950101200002", PHONE, NOON, NOON)

    assert world.sent() == []
    assert world.case(case).status is Status.SUSPENDED
    assert world.flags() == ["number_changed_hands"]
    world.reply("R 1 1 2")
    world.wait(100 * HOUR)
    assert world.sent() == []
    with world.store.transaction():
        world.engine.operate(case, "resume", world.now)
    assert world.sent() == ["greeting R 1 1 1 R 1 1 2"]


def test_what_a_body_says_of_a_suspended_case_counts_when_it_is_resumed(world: World) -> None:
    """Nothing goes out while a person has not looked, and nothing is lost; she is written to at her own number."""
    case = to_application(world)
    with world.store.transaction():
        world.births.bind_citizen("950101200002", PHONE, NOON, NOON)
        world.births.bind_citizen("950101200109", "77017654321", NOON, NOON)
    assert world.body(case, "registered", place="x") == "held"
    assert world.sent() == []

    with world.store.transaction():
        world.engine.operate(case, "resume", world.now)
    assert world.case(case).result == "done"
    assert world.sent()[0] == "registered x"
    assert world.case(case).msisdn == "77017654321"


def test_resumed_wait_for_a_body_has_its_term_again(world: World) -> None:
    """A body that is late is flagged also after a suspension."""
    case = to_application(world)
    with world.store.transaction():
        world.births.bind_citizen("950101200002", PHONE, NOON, NOON)
        world.engine.operate(case, "resume", world.now)
    world.wait(timedelta(days=6))

    assert "body_is_late" in world.flags()


def test_older_binding_of_a_number_changes_nothing(world: World) -> None:
    """Nor does one that is older than the number's own: two citizens, sent out of order."""
    with world.store.transaction():
        world.births.bind_citizen("950101200109", PHONE, NOON, NOON)
        world.births.bind_citizen("950101200002", PHONE, NOON - HOUR, NOON)

        assert world.store.people.find_iin(PHONE) == "950101200109"


def test_older_binding_changes_nothing(world: World) -> None:
    """The base may be sent again, out of order."""
    with world.store.transaction():
        world.births.bind_citizen("950101200109", PHONE, NOON, NOON)
        world.births.bind_citizen("950101200109", "77017654321", NOON - HOUR, NOON)

        assert world.store.people.find_msisdn("950101200109") == PHONE


# --- the journal ------------------------------------------------------------------------------------


def test_journal_alone_rebuilds_every_conversation(world: World) -> None:
    """Replaying the events from the beginning gives the stored state."""
    case = to_application(world, account="KZ86125KZT5004100100")
    world.reply("R 1 1 2 Другое Имя")
    world.body(case, "registered", place="x")
    world.reply("R 3 1 2 KZ86125KZT5004100100")
    world.wait(100 * HOUR)

    for stored in world.store.conversations.load_phone(PHONE):
        assert world.replay(stored.case) == stored


def test_edit_of_a_dialog_moves_nobody(tmp_path: Path) -> None:
    """A conversation keeps the revision that it began with; the next one begins the new."""
    folder = tmp_path / "dialogs"
    shutil.copytree(DIALOGS, folder)
    with a_world(tmp_path, dialogs=folder) as world:
        old = world.birth()
        world.reply("R 1 1 2")
        world.sent()
    file = folder / "registration.yaml"
    file.write_text(file.read_text().replace("education", "schooling").replace("greeting {", "welcome {"))
    with a_world(tmp_path, dialogs=folder) as world:
        new = world.birth("b2", msisdn="77017654321", mother_iin="950101200002")
        world.reply(f"R 1 1 2 {NAME}")

        assert world.case(old).state == "education"
        assert world.case(new).revision != world.case(old).revision
        assert world.sent() == ["education 1 a 2 b 3 c R 1 1 2 1", "welcome R 1 1 1 R 1 1 2"]


def test_birth_is_refused_where_no_dialog_starts_at_one(tmp_path: Path) -> None:
    """Nobody is greeted by the first dialog that comes to hand."""
    folder = tmp_path / "dialogs"
    shutil.copytree(DIALOGS, folder)
    file = folder / "registration.yaml"
    file.write_text(file.read_text().replace("starts: birth\n", ""))

    with a_world(tmp_path, dialogs=folder) as world, pytest.raises(Refused, match="no_dialog"):
        world.birth()


def test_timers_rest_at_night(quiet_world: World) -> None:
    """A reminder that falls due at night waits for the morning; a held text stays held."""
    world = quiet_world
    world.now = NOON.replace(hour=20)
    world.birth()
    world.sent()
    night = NOON.replace(day=19, hour=22)

    assert world.engine.find_due(night, 10) == ()
    assert world.engine.find_due(NOON.replace(day=20, hour=9), 10) != ()
    world.now = night
    world.birth("b2", msisdn="77017654321", mother_iin="950101200002")
    with world.store.transaction():
        assert world.store.outbox.release_held(night + HOUR, 10) == 0


def test_stop_drops_a_notice_that_waits_for_the_morning(quiet_world: World) -> None:
    """A result that came at night is not told to a mother who has said STOP since."""
    world = quiet_world
    case = to_application(world)
    world.now = NOON.replace(hour=22)
    world.body(case, "accepted", number="1")
    world.reply("STOP")
    world.sent()

    world.wait(24 * HOUR)
    assert world.sent() == []


def test_stop_drops_what_a_closed_case_had_still_to_say(quiet_world: World) -> None:
    """The last word of a case, held until the morning, is not said to a mother who has said STOP since."""
    world = quiet_world
    case = to_application(world)
    world.now = NOON.replace(hour=22)
    world.body(case, "refused", reason="r")
    assert world.case(case).status is Status.CLOSED
    world.reply("STOP")
    world.reply("STOP")

    assert world.sent() == ["stopped"]
    world.wait(24 * HOUR)
    assert world.sent() == []


def test_new_owner_of_a_number_has_not_said_stop(world: World) -> None:
    """STOP belongs to the one who said it."""
    with world.store.transaction():
        world.births.bind_citizen("950101200002", PHONE, NOON - HOUR, NOON)
    world.reply("STOP")
    world.sent()
    with world.store.transaction():
        world.births.bind_citizen("950101200109", PHONE, NOON, NOON)
    world.birth()

    assert world.sent() == ["greeting R 1 1 1 R 1 1 2"]

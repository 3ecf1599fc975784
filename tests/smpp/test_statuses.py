"""Statuses: names by the specification, verdicts by practice."""

from __future__ import annotations

import pytest
from smpplib import consts

from smsflow.smpp.statuses import Rule, Status, Verdict, find_status, status_name, submit_rule, submit_verdict


def test_names_and_values_agree_with_smpplib():
    """Two independent readings of SMPP v3.4 §5.1.3 give the same table."""
    theirs = {name.removeprefix("SMPP_"): value for name, value in vars(consts).items() if "ESME_" in name}
    assert {status_name(status): status.value for status in Status} == theirs


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x00, Verdict.SENT),
        (0x58, Verdict.PAUSE),
        (0x14, Verdict.PAUSE),
        (0x04, Verdict.REBIND),
        (0x08, Verdict.RETRY),
        (0x64, Verdict.RETRY),
        (0x0B, Verdict.FINAL),
        (0x66, Verdict.FINAL),
        (0x0401, Verdict.RETRY),
    ],
)
def test_verdicts(status, verdict):
    """What each kind of status means for the text."""
    assert submit_verdict(status) is verdict


def test_a_vendor_status_is_named_by_its_number():
    """What the specification does not name is still readable."""
    assert status_name(0x401) == "0x00000401"


def test_a_link_can_say_what_follows_from_a_status():
    """Its own rule comes first, by any number, a vendor's too (smsc-behaviours §4, 21 and 22)."""
    rules = {0x400: Rule(Verdict.FINAL), 0x58: Rule(Verdict.RETRY, times=2, pause_s=5)}
    assert submit_rule(0x400, rules).then is Verdict.FINAL
    assert submit_rule(0x58, rules) == Rule(Verdict.RETRY, times=2, pause_s=5)
    assert submit_rule(0x401, rules) == submit_rule(0x08) == Rule(Verdict.RETRY, times=5, pause_s=30)
    assert submit_rule(0x58) == submit_rule(0x14) == Rule(Verdict.PAUSE)
    assert submit_rule(0x0B).then is Verdict.FINAL


@pytest.mark.parametrize(
    ("word", "status"), [("ESME_RTHROTTLED", 0x58), ("esme_rmsgqful", 0x14), ("0x400", 0x400), ("88", 88)]
)
def test_a_status_is_found_by_name_and_by_number(word, status):
    """As operators write them."""
    assert find_status(word) == status


@pytest.mark.parametrize("word", ["RTHROTTLED", "", "0x", "-1", "0", "0x100000000", "08"])
def test_what_names_no_status_is_told(word):
    """Never guessed."""
    with pytest.raises(ValueError, match="expected a status"):
        find_status(word)

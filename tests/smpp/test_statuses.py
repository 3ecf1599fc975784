"""Statuses: names by the specification, verdicts by practice."""

from __future__ import annotations

import pytest
from smpplib import consts

from smsflow.smpp.statuses import Status, Verdict, status_name, submit_verdict


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

"""The dialogs that come with smsflow keep their promises."""

from __future__ import annotations

import pytest

from smsflow.core.check import check_dialog
from smsflow.core.dialog import MORE, PAGE, UNHEARD, Ask, Wait
from smsflow.core.encoding import is_gsm, segments
from smsflow.core.longest import longest_texts

NAMES = ("birth-registration", "birth-kindergarten", "birth-allowance")
KATO_REGIONS = {
    "10", "11", "15", "19", "23", "27", "31", "33", "35", "39",
    "43", "47", "55", "59", "61", "62", "63", "71", "75", "79",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_shipped_dialog_has_no_flaws(name, shipped):
    """`smsflow check` is silent about them."""
    assert [str(flaw) for flaw in check_dialog(shipped[name])] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_text_in_kazakh_or_russian_takes_more_than_two_sms(name, shipped):
    """With the longest address, labels, names and values of bodies filled in."""
    too_long = [
        (long.segments, long.text)
        for long in longest_texts(shipped[name])
        if long.segments > 2 and long.language in ("kk", "ru")
    ]

    assert too_long == []


@pytest.mark.parametrize("name", NAMES)
def test_every_text_stands_in_all_three_languages(name, shipped):
    """Kazakh, Russian and English, in the questions, the texts and the lists."""
    dialog = shipped[name]
    texts = [*dialog.texts.values(), *(ask.text for ask in dialog.questions())]
    labels = [
        option.label
        for ask in dialog.questions()
        for group in (ask.options.groups.values() if ask.options else ())
        for option in group
    ]

    assert dialog.languages == ("kk", "ru", "en")
    assert all(set(words) == {"kk", "ru", "en"} for words in [*texts, *labels])


@pytest.mark.parametrize("name", NAMES)
def test_english_fits_the_alphabet_of_gsm_but_for_names(name, shipped):
    """What we write ourselves in English costs half of what Cyrillic does."""
    written_once = {"greeting", "choose_language", "unknown"}
    dialog = shipped[name]
    texts = {ask.name: ask.text["en"] for ask in dialog.questions()}
    texts |= {text: words["en"] for text, words in dialog.texts.items()}
    plain = {text: "".join(part for part in words if isinstance(part, str)) for text, words in texts.items()}

    for text, words in plain.items():
        assert is_gsm(words) or text in written_once or text.endswith(UNHEARD), text


def test_only_the_registration_starts_at_a_birth(shipped):
    """The others are begun by it, one after another, or alone."""
    assert [dialog.name for dialog in shipped.values() if dialog.starts_at_birth] == ["birth-registration"]
    assert {dialog.service for dialog in shipped.values()} == {"1", "2", "3"}


def test_regions_offices_and_localities_belong_together(shipped):
    """Each region has its offices and localities, and each of these lies in the region of its group or beside."""
    registration, kindergarten = shipped["birth-registration"], shipped["birth-kindergarten"]
    regions = registration.states["region"]
    assert isinstance(regions, Ask)
    assert regions.options is not None

    ids = {option.id for option in regions.options.group("")}
    assert ids == KATO_REGIONS
    for dialog, state in ((registration, "office"), (kindergarten, "locality")):
        ask = dialog.states[state]
        assert isinstance(ask, Ask)
        assert ask.options is not None
        assert set(ask.options.groups) == KATO_REGIONS
        for region, options in ask.options.groups.items():
            assert options[0].id.startswith(region)
            assert all(len(option.id) == 9 and option.id.isdigit() for option in options)
            assert len({option.id for option in options}) == len(options) <= PAGE
            assert all(option.code != MORE for option in options)


def test_each_dialog_sends_one_application_with_what_a_body_needs(shipped):
    """One kind of application each, and it says whose birth it is about."""
    for name, kind in zip(NAMES, ("registration", "kindergarten", "allowance"), strict=True):
        waits = [state for state in shipped[name].states.values() if isinstance(state, Wait)]
        assert [wait.send for wait in waits] == [kind]
        assert {"birth_id", "mother_iin", "born_at", "sex"} <= set(waits[0].content)
        assert waits[0].late is not None


def test_longest_texts_are_counted_as_they_are_sent(shipped):
    """The figure is that of the encoder."""
    for long in longest_texts(shipped["birth-registration"]):
        assert long.segments == segments(long.text)

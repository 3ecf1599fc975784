"""What a mother reads: a text of the dialog in her language, filled with what is known when it goes out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, tzinfo

from smsflow.core.conversation import Conversation
from smsflow.core.dialog import MORE, UNHEARD, Dialog, Texts
from smsflow.core.encoding import segments
from smsflow.core.identity import mask_iban
from smsflow.core.questions import (
    address_of,
    chosen,
    has_more,
    options_of,
    page_of,
    print_reply,
    question_of,
)
from smsflow.core.reply import Kind
from smsflow.core.text import fill, fill_within

__all__ = ["example_of", "find_text", "open_address", "render", "shown_options"]


def find_text(dialog: Dialog, conversation: Conversation, name: str) -> Texts:
    """The text called `name`; in a dialog that asks for the language, `name_unheard` until she has chosen one."""
    if dialog.asks_language and not conversation.known("language"):
        return dialog.texts.get(f"{name}{UNHEARD}") or dialog.texts[name]
    return dialog.texts[name]


def render(dialog: Dialog, conversation: Conversation, texts: Texts, at: datetime) -> str:
    """`texts` in her language, filled; within the dialog's budget unless her own words are too long for it."""

    def value_of(name: str, argument: str) -> str:
        return _value(dialog, conversation, name, argument, at)

    template = texts[conversation.language]
    return fill_within(template, value_of, lambda text: segments(text) <= dialog.budget)


def open_address(dialog: Dialog, conversation: Conversation) -> str:
    """The joined digits that the open question prints, its page included; "" when none is open."""
    ask = question_of(dialog, conversation)
    return address_of(dialog, conversation, ask) + MORE * conversation.page if ask else ""


def shown_options(dialog: Dialog, conversation: Conversation) -> tuple[tuple[str, str], ...]:
    """(code, words) of each choice that the open question shows, the way on to more of them at the end."""
    ask = question_of(dialog, conversation)
    if ask is None:
        return ()
    options, page, language = options_of(dialog, conversation, ask), conversation.page, conversation.language
    shown = [(option.code[page:], option.label[language]) for option in page_of(ask, options, page)]
    if has_more(ask, options, page):
        shown.append((MORE, _plain(dialog, "more", language)))
    elif ask.other:
        shown.append((MORE, _plain(dialog, "other", language)))
    return tuple(shown)


def example_of(dialog: Dialog, conversation: Conversation) -> str:
    """A right reply to the open question, or its beginning where she has to type; "" when none is open."""
    ask = question_of(dialog, conversation)
    if ask is None:
        return ""
    address = open_address(dialog, conversation)
    shown = shown_options(dialog, conversation)
    if shown:
        return print_reply(address + shown[0][0])
    return print_reply(address) + (" " + "0" * ask.length[0] if ask.kind is Kind.DIGITS else "")


def _value(dialog: Dialog, conversation: Conversation, name: str, argument: str, at: datetime) -> str:
    ways: dict[str, Callable[[], str]] = {
        "reply": lambda: print_reply(open_address(dialog, conversation) + argument),
        "options": lambda: " ".join(f"{code} {label}" for code, label in shown_options(dialog, conversation)),
        "example": lambda: example_of(dialog, conversation),
        "deadline": lambda: _deadline(dialog, conversation, at.tzinfo),
        "account": lambda: mask_iban(conversation.known("account")),
        "date": lambda: _date(conversation.known("date")),
    }
    if name in ways:
        return ways[name]()
    option = chosen(dialog, conversation, name)
    if option:
        return option.label[conversation.language]
    return conversation.known(f"{name}.{conversation.language}") or conversation.known(name)


def _deadline(dialog: Dialog, conversation: Conversation, zone: tzinfo | None) -> str:
    ask = question_of(dialog, conversation)
    if ask is None or conversation.asked_at is None:
        return ""
    return ask.silence.give_up.after(conversation.asked_at).astimezone(zone).strftime("%d.%m.%Y %H:%M")


def _date(iso: str) -> str:
    return date.fromisoformat(iso[:10]).strftime("%d.%m.%Y") if iso else ""


def _plain(dialog: Dialog, name: str, language: str) -> str:
    return fill(dialog.texts[name][language], lambda *_: "")

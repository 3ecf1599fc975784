"""What a mother reads: a text of the dialog in her language, filled with what is known when it goes out."""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple

from smsflow.core.conversation import Conversation
from smsflow.core.dialog import MORE, UNHEARD, Ask, Dialog, Texts
from smsflow.core.encoding import segments
from smsflow.core.identity import mask_iban
from smsflow.core.questions import (
    address_of,
    chosen,
    group_of,
    has_more,
    page_of,
    print_reply,
    question_of,
)
from smsflow.core.reply import Kind
from smsflow.core.text import Placeholder, Template, fill, fill_within

__all__ = ["example_of", "find_text", "open_address", "render", "render_question", "shown_options"]


def find_text(dialog: Dialog, conversation: Conversation, name: str) -> Texts:
    """The text called `name`; in a dialog that asks for the language, `name_unheard` until she has chosen one."""
    if dialog.asks_language and not conversation.known("language"):
        return dialog.texts.get(f"{name}{UNHEARD}") or dialog.texts[name]
    return dialog.texts[name]


def render(dialog: Dialog, conversation: Conversation, texts: Texts, at: datetime) -> str:
    """`texts` in her language, filled; within the dialog's budget unless her own words are too long for it."""
    ask = question_of(dialog, conversation)
    if ask is not None and texts is ask.text:
        return render_question(dialog, conversation, ask, address_of(dialog, conversation, ask), at)
    return _fill_slowly(dialog, conversation, texts[conversation.language], at)


def render_question(dialog: Dialog, conversation: Conversation, ask: Ask, address: str, at: datetime) -> str:
    """The text of the open question, which is asked under `address`, as `render` gives it."""
    group, page = group_of(dialog, conversation, ask), conversation.page
    words = _words_of(dialog, ask.name, group, page, conversation.language)
    reply = print_reply(address + MORE * page)
    return reply.join(words.around) if words.around else _fill(dialog, conversation, words.template, at, reply)


def _fill_slowly(dialog: Dialog, conversation: Conversation, template: Template, at: datetime) -> str:
    """Return any text, filled with what is known of the conversation."""
    return _fill(dialog, conversation, template, at, None)


def _fill(dialog: Dialog, conversation: Conversation, template: Template, at: datetime, reply: str | None) -> str:
    """Return the text of a template; `reply` stands for `{reply}`, where it is known already."""

    def value_of(name: str, argument: str) -> str:
        if name == "reply" and reply is not None:
            return reply
        return _value(dialog, conversation, name, argument, at)

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
    group = group_of(dialog, conversation, ask)
    return _shown(dialog, ask.name, group, conversation.page, conversation.language)


def example_of(dialog: Dialog, conversation: Conversation) -> str:
    """A right reply to the open question, or its beginning where she has to type; "" when none is open."""
    ask = question_of(dialog, conversation)
    if ask is None:
        return ""
    return _example(ask, open_address(dialog, conversation), shown_options(dialog, conversation))


@lru_cache(maxsize=2048)
def _shown(dialog: Dialog, state: str, group: str, page: int, language: str) -> tuple[tuple[str, str], ...]:
    ask = dialog.states[state]
    assert isinstance(ask, Ask)  # noqa: S101 - only questions have options
    options = ask.options.group(group) if ask.options else ()
    shown = [(option.code[page:], option.label[language]) for option in page_of(ask, options, page)]
    if has_more(ask, options, page):
        shown.append((MORE, _plain(dialog, "more", language)))
    elif ask.other:
        shown.append((MORE, _plain(dialog, "other", language)))
    return tuple(shown)


def _example(ask: Ask, address: str, shown: tuple[tuple[str, str], ...]) -> str:
    if shown:
        return print_reply(address + shown[0][0])
    return print_reply(address) + (" " + "0" * ask.length[0] if ask.kind is Kind.DIGITS else "")


def _in_words(shown: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f"{code} {label}" for code, label in shown)


class _Words(NamedTuple):
    """The text of a question, filled with all that follows from the question: what to choose from, how to reply.

    In `template` there are still `{reply}`, for the digits that led here, and whatever tells something of her.
    Where nothing does, `around` are the texts between the replies, at least one; else it is empty.
    """

    template: Template
    around: tuple[str, ...]


@lru_cache(maxsize=2048)
def _words_of(dialog: Dialog, state: str, group: str, page: int, language: str) -> _Words:
    ask = dialog.states[state]
    assert isinstance(ask, Ask)  # noqa: S101 - whoever calls has looked
    shown = _shown(dialog, state, group, page, language)

    def filled(part: str | Placeholder) -> tuple[str | Placeholder, ...]:
        match part:
            case Placeholder("options"):
                return (_in_words(shown),)
            case Placeholder("reply", argument):
                return _REPLY, print_reply(argument).removeprefix("R")
            case Placeholder("example"):
                return _REPLY, _example(ask, "", shown).removeprefix("R")
        return (part,)

    template = tuple(each for part in ask.text[language] for each in filled(part))
    if any(isinstance(part, Placeholder) and part != _REPLY for part in template):
        return _Words(template, ())
    around = [""]
    for part in template:
        if isinstance(part, str):
            around[-1] += part
        else:
            around.append("")
    return _Words(template, tuple(around))


_REPLY = Placeholder("reply")


def _value(dialog: Dialog, conversation: Conversation, name: str, argument: str, at: datetime) -> str:
    match name:
        case "reply":
            return print_reply(open_address(dialog, conversation) + argument)
        case "options":
            return _in_words(shown_options(dialog, conversation))
        case "example":
            return example_of(dialog, conversation)
        case "deadline":
            return _deadline(dialog, conversation, at.tzinfo)
        case "account":
            return mask_iban(conversation.known("account"))
        case "date":
            return _date(conversation.known("date"))
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

"""What mothers will write and read: the shipped dialog, played once in each language by the pure core.

A mother answers every question up to the one that asks whether all is right: each of her replies leads to a next
question, and no application goes out, so that what is measured is the dialog and no body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from smsflow.core.conversation import Conversation
from smsflow.core.dialog import Ask, Dialog
from smsflow.core.effects import Send, Step
from smsflow.core.events import Answered, Began
from smsflow.core.questions import Found, address_of, find_answer, print_reply, question_of
from smsflow.core.render import example_of, open_address
from smsflow.core.reply import Kind, read
from smsflow.core.step import step

__all__ = ["KATO", "Part", "rehearse"]

KATO = "751110000"  # where every mother lives: the offices that she may choose from
_NAME = "Ахметов Нурлан Ерболулы"


@dataclass(frozen=True, slots=True)
class Part:
    """What one mother goes through: `replies[i]` answers state `states[i]`, and `texts[i + 1]` is what follows.

    `texts[0]` is the greeting; `states` ends with the question that is left open.
    """

    language: str
    states: tuple[str, ...]
    replies: tuple[str, ...]
    texts: tuple[str, ...]


def rehearse(dialog: Dialog, at: datetime) -> tuple[Part, ...]:
    """The part of a mother in each language of `dialog`, whose child is born at `at`.

    Raises: ValueError when the dialog takes a reply otherwise than its own texts say.
    """
    return tuple(_play(dialog, language, at) for language in dialog.languages)


def _play(dialog: Dialog, language: str, at: datetime) -> Part:
    facts = {"birth_id": "b", "mother_iin": "", "born_at": at.isoformat(), "sex": "female", "birth_order": "1"}
    new = Conversation(
        case=1,
        dialog=dialog.name,
        revision=dialog.revision,
        birth_id="b",
        msisdn="77010000000",
        child="1",
        language=dialog.languages[0],
        facts={**facts, "address_kato": KATO},
    )
    done = step(dialog, new, Began(at, at))
    states, replies, texts = [done.conversation.state], [], [_text_of(done)]
    while (ask := question_of(dialog, done.conversation)) and not ask.yes_no:
        reply = _reply_to(dialog, done.conversation, ask, language)
        found = find_answer(read(reply), [(dialog, done.conversation)])
        if not isinstance(found, Found):
            raise ValueError(f"{reply!r} does not answer {ask.name}: {found.reason}")  # noqa: TRY004 - a wrong value
        answered = Answered(at, found.state, found.value, found.also, reply, found.coercions)
        done = step(dialog, done.conversation, answered)
        states.append(done.conversation.state)
        replies.append(reply)
        texts.append(_text_of(done))
    return Part(language, tuple(states), tuple(replies), tuple(texts))


def _text_of(done: Step) -> str:
    return next(effect.text for effect in done.effects if isinstance(effect, Send))


def _reply_to(dialog: Dialog, conversation: Conversation, ask: Ask, language: str) -> str:
    """What she writes: her language, a name, or the first choice that the text shows."""
    if ask.sets_language and ask.options:
        code = next(option.code for option in ask.options.group("") if option.id == language)
        return print_reply(address_of(dialog, conversation, ask) + code)
    if ask.kind is Kind.NAME:
        return f"{print_reply(open_address(dialog, conversation))} {_NAME}"
    return example_of(dialog, replace(conversation, page=0))

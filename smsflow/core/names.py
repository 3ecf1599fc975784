"""A child's name as a mother writes it: is it one, and its cleaned spelling.

The rules are those of the Family Code, Art. 194 (domain.md §2, [L5]): surname, first name and, never forced,
patronymic. Letters and their case are hers and stay untouched. What is *not* a name ("не понимаю",
"Кто это") is refused by tables of words and endings: a wrong name on a certificate is worse than
one more SMS.

>>> parse_name("Ахметов  Нурлан Ерболулы")
'Ахметов Нурлан Ерболулы'
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

__all__ = [
    "NAME_MAX",
    "fold_words",
    "has_patronymic",
    "is_plain_name",
    "is_surname",
    "looks_like_name",
    "parse_name",
    "sounds_lost",
]

NAME_MAX = 60
"""Most characters of a whole name, blanks included."""

_LETTERS = "А-Яа-яЁёӘәҒғҚқҢңӨөҰұҮүҺһІі"
_WORD = rf"[{_LETTERS}]+(?:-[{_LETTERS}]+)*"
_NAME = re.compile(rf"{_WORD}(?: {_WORD}){{1,2}}")
_PLAIN_WORD = "[А-ЯЁӘҒҚҢӨҰҮҺІ][а-яёәғқңөұүһі]+"
_PLAIN_NAME = re.compile(rf"{_PLAIN_WORD}(?: {_PLAIN_WORD}){{1,2}}")
_HYPHENS = str.maketrans("‐‑", "--")
_SHORT_SURNAMES = frozenset(["Е", "И", "О", "Э", "Ю", "Им", "Ко", "Ма", "Ни", "Но"])
"""Korean and Dungan surnames that are also Russian particles: О Сергей, Ю Виктор, Им Анна."""
_SHORT_GIVEN = frozenset(["О", "У", "Ю"])
"""Korean first names of one letter. After any other surname a single letter is an initial."""

_BARE_KAZAKH = tuple(zip("әғқңөұүһіё", "агкноуухие", strict=True))  # as a phone without Kazakh letters spells


def _fold(word: str) -> str:
    """Return a word in lower case and without Kazakh letters, to look it up in a table."""
    word = word.lower()
    for letter, bare in _BARE_KAZAKH:  # a whole text in half the time of str.translate
        word = word.replace(letter, bare)
    return word


def fold_words(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case and without Kazakh letters, so that spellings of one word meet."""
    return tuple(_fold(word) for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text))


def _words(*texts: str) -> frozenset[str]:
    return frozenset(_fold(word) for text in texts for word in text.split())


_KOREAN_SURNAMES = _words(
    """
    ан ким кан квон когай ли лигай лим магай ногай огай пак пан пяк сим тен тигай тян угай хан хван хегай хон цай
    цой цхай чен чжен чон шегай шин эм югай юн ян
    """
)
# "words тегі, ұрпағы, немересі, шөбересі, келіні forbidden" (domain.md §2, Art. 194)
_FORBIDDEN = _words("тегі ұрпағы немересі шөбересі келіні")

_TALK = _words(
    # Russian
    """
    не нет да ни ну и или а но что чего чему чем кто кого кому как какой какая какие какое каком
    где куда когда зачем почему откуда сколько это этот эта эти то тот та там тут здесь я мы вы ты
    он она оно они мне меня нам нас вам вас тебе тебя ему ей им его её их мой моя моё мои наш наша
    ваш ваша на в во с со к ко по за из от до для о об без при под над у уже еще ещё пока потом
    позже скоро завтра сегодня вчера сейчас снова опять слева основа понимаю понимаем поняла понял
    понятно знаю знаем знаете умею могу можно нельзя нужно надо хочу хотим хотите буду будет будем
    есть была был было были выбрали выбрала придумали назвали решили думаем думаю позвоните
    перезвоните звоните напишите скажите подскажите помогите помоги объясните ответьте ответ
    ответить отправьте отправить вопрос помощь номер адрес имя фамилия отчество ребенок ребенка
    ребёнок ребёнка дитя малыш сын сына дочь дочка дочери дочку мама папа мать отец мальчик
    девочка роддом больница документ документы документов справка свидетельство деньги денег часов
    один одна два две три четыре пять шесть причина машина готов готова здоров здорова
    здравствуйте привет добрый доброе доброго доброй день дня утро вечер ночи спасибо благодарю
    пожалуйста большое большой огромное спс пж пжл извините простите ошибка ошиблась случайно
    хорошо ладно конечно верно неверно правильно согласна согласен отказ отказываюсь отмена стоп
    улица дом квартира город область район село улице русский русском казахский казахском язык
    языке реклама спам мошенники алло вообще просто очень тоже только всё все всем
    неизвестно боже магазин понятия адреса детский сад квартиру богу телефон нужен нужна сообщение смс номера
    """,
    # Kazakh
    """
    жоқ иә емес бар керек қайда қашан қалай неге не кімсіз кімсіздер бұл сол осы мен сен сіз біз
    олар маған бізге сізге сіздерге сізді менің біздің сіздің түсінбедім түсінбеймін түсінбей
    түсініксіз тұсінбедім білмеймін білмедім білем білемін болмайды болады болды жарайды керегі
    көп үлкен алғыс мың сәлем сәлеметсіз сәлеметсіздер ассалаумағалейкум бе ме па пе ба қайырлы
    таң күн кеш түн құтты болсын атын аты ати есімі тегін әкесінің баланың бала балам
    баламның қыз ұл қызым ұлым ана әке өтініш өтінемін көмек көмектесіңіз хабарласыңыз жазыңыз
    айтыңыз кешіріңіз жауап сұрақ тағы қоймадық қойған таңдаған қаласы қала көшесі көше ауданы
    аудан облысы облыс ауылы ауыл үй пәтер қазақша орысша тіл тілі тоқтату тоқтат
    ағай аға апай апа тәте жеңге көке бүгін ертең кейін қазір ұмытып кеттім алло
    """,
)
_TALK_EXACTLY = frozenset({"әлі", "есім"})  # with a capital letter these are names
_LOST = _words(
    "кто что чего как какой какая какие где куда когда зачем почему откуда понимаю понимаем поняла понял понятно",
    "знаю знаем умею помогите помощь вопрос ошибка ошиблась позвоните перезвоните отмена стоп спам",
    "қалай неге қайда қашан кім кімсіз кімсіздер түсінбедім түсінбеймін түсініксіз білмеймін көмек тоқтату",
)
_FIRST_NAMES = _words(  # so that a name in small letters needs no ending: "ким анна"
    """
    айша әмина амина сафия медина раяна томирис аружан айым айару айгерім айгүл айдана айзере ақбота дана
    дарина динара жанель жания зере інжу камила қымбат ләйла мәриям малика меруерт мөлдір назым назерке
    нұрай сабина сезім асылым әсел гаухар аяла әлия асия ясмина анна мария анастасия виктория дарья
    елизавета екатерина елена ирина ксения полина софия софья татьяна юлия алиса ева вера надежда ольга
    айсұлтан әлихан алихан али әли алан амир арман арсен асан асхат бекзат дамир данияр дәулет диас димаш
    ерасыл ерлан ербол еркебұлан имран ислам қасым марат мансур мирас мұхаммед мухамед нұрлан нұржан омар
    рамазан расул санжар серік сұлтан темірлан темір тимур хамза айсар дінмұхаммед дарын ерхан ержан
    александр алексей андрей артём артем артур виктор владимир даниил данил денис дмитрий евгений егор
    иван игорь илья кирилл максим марк матвей михаил никита николай олег павел пётр роман руслан сергей
    тимофей юрий ярослав богдан глеб лев
    """,
)
_TALK_ENDINGS = re.compile(  # polite imperatives and first persons: "ответьте", "понимаем", "түсінбеймін"
    r".{2,}(?:ьте|йте)|.{3,}(?:ться|аюсь|яюсь|аете|ыңыз|іңіз|ыныз|иниз|ймын|ймін|ймин)|.{2,}(?:ишите|оните|ажите)"
)
# "Доброе", "звонить"; not Белинская
_PHRASE_ENDINGS = re.compile(r".+(?<![сц]к)(?:ая|ое|ые|ого)|.+(?:ться|ать|ить|еть)")

_DOUBTFUL_WORDS = _TALK | _FORBIDDEN | {"ким"}  # which is a surname, and "кім" is who
_DOUBTFUL_ENDS = tuple(  # those of _TALK_ENDINGS, after however many letters
    _words("ьте йте ться аюсь яюсь аете ыңыз іңіз ыныз иниз ймын ймін ймин ишите оните ажите")
)

_PATRONYMIC = re.compile(r".{2,}(?:улы|уулу|кызы|гызы|ович|евич|ьич|овна|евна|ична)")
_SURNAME = re.compile(r".{2,}(?:ов|ова|ев|ева|ина|ына|ский|ская|цкий|цкая|енко)")
_FAMILY = re.compile(
    rf"{_PATRONYMIC.pattern}|{_SURNAME.pattern}|.{{2,}}(?:бай|бек|гали|жан|хан|гул|мурат|султан|болат|нур)"
)
_THANKS_TOO = frozenset({"рахмет", "ракмет"})  # a first name, but "Рахмет Айгүл" says thanks


def _spelled(text: str) -> str:
    """Return the text with runs of blanks as one, invisible signs dropped, letters composed (й is one)."""
    shown = "".join(sign for sign in text if sign.isspace() or unicodedata.category(sign) not in {"Cf", "Cc"})
    return " ".join(unicodedata.normalize("NFC", shown).translate(_HYPHENS).split())


def sounds_lost(text: str) -> bool:
    """Return whether a text speaks of not understanding or asks something: "не понимаю", "Кто это", "қалай"."""
    return any(_fold(word) in _LOST for word in re.findall(r"[^\W\d_]+", text))


def _is_talk(word: str) -> bool:
    return (
        _fold(word) in _TALK
        or word in _TALK_EXACTLY
        or word.lower() == "кім"
        or bool(_TALK_ENDINGS.fullmatch(word.lower()))
    )


def _is_of_a_person(word: str) -> bool:
    """Return whether a word is a frequent first name, or ends like a surname or a patronymic.

    The ending -ин counts only in Russian letters: "есімін" is none.
    """
    folded = _fold(word)
    return folded in _FIRST_NAMES or bool(_FAMILY.fullmatch(folded) or re.fullmatch(r".{3,}ин", word.lower()))


def has_patronymic(word: str) -> bool:
    """Return whether a word ends like a patronymic: -ұлы, -қызы, -ович, -евна."""
    return bool(_PATRONYMIC.fullmatch(_fold(word)))


def is_surname(word: str) -> bool:
    """Return whether a word ends as surnames do and hardly a first name does: Ахметов, Достоевская."""
    return bool(_SURNAME.fullmatch(_fold(word)))


def parse_name(text: str) -> str | None:
    """Return the cleaned name, or None when it is not two or three words that can be one.

    A name that is not capitalised throughout ("ахметов нурлан") must hold a frequent first name, or a word
    that ends like a surname or a patronymic; so "пока думаем" is none.
    """
    name = _spelled(text)
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        return None
    words = name.split(" ")
    given = words[1:] if words[0] in _SHORT_SURNAMES else words
    if _fold(words[0]) in _KOREAN_SURNAMES and words[1] in _SHORT_GIVEN:
        given = [words[0], *words[2:]]
    if any(len(word) == 1 or _is_talk(word) for word in given):
        return None
    if any(_fold(part) in _FORBIDDEN for part in re.split(r"[ -]", name)):
        return None
    if all(word[0].isupper() for word in words) or any(_is_of_a_person(word) for word in words):
        return name
    return None


def is_plain_name(text: str, doubtful: frozenset[str]) -> bool:
    """Return whether a text is surely a name as it stands: `parse_name` gives back the same.

    Two or three capitalised words and nothing around them, as most write it; none that is in a table of words that
    are no names, or in `doubtful` (in lower case and without Kazakh letters). False: `parse_name` has to tell.
    """
    if not _PLAIN_NAME.fullmatch(text) or len(text) > NAME_MAX:
        return False
    words = _fold(text).split()
    return (
        _DOUBTFUL_WORDS.isdisjoint(words)
        and doubtful.isdisjoint(words)
        and not any(word.endswith(_DOUBTFUL_ENDS) for word in words)
    )


def looks_like_name(name: str, other_words: Collection[str] = ()) -> bool:
    """Return whether a parsed name is clear enough to be taken without `R` and digits.

    Capitalised throughout, or with a patronymic; all in capitals needs a surname or a patronymic. `other_words`
    are words and phrases, as `fold_words` gives them, that may be meant for another question.
    """
    words, folded = name.split(" "), fold_words(name)
    if " ".join(folded) in other_words:
        return False
    if any(has_patronymic(word) and word not in other_words for word in folded):
        return True
    if any(word in other_words for word in folded):
        return False
    if any(len(word) == 1 for word in words) or any(_fold(word) in _THANKS_TOO for word in words):
        return False
    if any(_PHRASE_ENDINGS.fullmatch(word.lower()) for word in words):
        return False
    if name.isupper():
        return any(_is_of_a_person(word) for word in words)
    return all(word[0].isupper() for word in words)

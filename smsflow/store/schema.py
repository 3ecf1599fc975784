"""The tables, as ordered migrations. Times are UTC texts that sort (`2026-11-20T09:00:00.000+00:00`).

Columns that hold personal data are named in `PERSONAL`: what logs, exports and erasure must know.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database, Migrations

from smsflow.core.errors import StoreError
from smsflow.store.backup import check_copy, copy_store, copying
from smsflow.store.files import beside, sync_folder

__all__ = ["PERSONAL", "applied_to", "is_newer", "known", "migrate", "migrations"]

PERSONAL = {
    "citizen": ("iin", "msisdn"),
    "phone": ("msisdn",),
    "stopped": ("iin",),
    "birth": ("mother_iin", "msisdn", "account"),
    "conversation": ("msisdn", "body"),
    "journal": ("event",),
    "inbound": ("msisdn", "raw", "text"),
    "part": ("msisdn", "payload"),
    "segment": ("msisdn",),
    "parked_key": ("msisdn",),
    "long_text": ("msisdn",),
    "undecodable": ("raw",),
    "outbox": ("msisdn", "text"),
    "application": ("data",),
}

migrations = Migrations("smsflow")


@migrations()
def first_tables(db: Database) -> None:
    """Everything that the first service needs."""
    for statement in _FIRST.split(";\n"):
        db.execute(statement)


@migrations()
def receipts_and_long_texts(db: Database) -> None:
    """Receipts that come early, ids that are not unique, references for each phone, parts that outlive a text."""
    for statement in _SECOND.split(";\n"):
        db.execute(statement)


@migrations()
def routes_and_order(db: Database) -> None:
    """By which link a person last wrote and a text should go, and what is open for each phone, in order."""
    for statement in _ROUTES.split(";\n"):
        db.execute(statement)


@migrations()
def texts_in_doubt(db: Database) -> None:
    """Texts that wait for a person: seldom many, and found without reading the others."""
    db.execute("CREATE INDEX outbox_in_doubt ON outbox (conversation) WHERE status = 'in_doubt'")


@migrations()
def paused_links(db: Database) -> None:
    """Which links an operator has paused, and since when: it outlives the daemon."""
    db.execute("CREATE TABLE paused_link (name TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID")


@migrations()
def applications_by_kind(db: Database) -> None:
    """What is due for one body is found without a look at what waits for another."""
    db.execute("CREATE INDEX application_due ON application (kind, next_at) WHERE status = 'queued'")
    db.execute("DROP INDEX application_queued")


@migrations()
def cases_in_figures(db: Database) -> None:
    """How many cases there are, without counting them: kept by triggers, so that no write can forget it."""
    for statement in _FIGURES.split(";\n\n"):
        db.execute(statement)


@migrations()
def closed_cases_by_age(db: Database) -> None:
    """What is to be forgotten is found by its age; and up to when births were forgotten is not."""
    for statement in _AGES.split(";\n"):
        db.execute(statement)


@migrations()
def texts_by_phone_and_time(db: Database) -> None:
    """What a phone has sent in the last minutes is found without a look at what it has sent in years."""
    db.execute("CREATE INDEX inbound_phone ON inbound (msisdn, at)")
    db.execute("DROP INDEX inbound_msisdn")


@migrations()
def receipts_that_are_waited_for(db: Database) -> None:
    """The index of message ids holds those for which a receipt may still come, however many texts there were."""
    for statement in _WAITED_FOR.split(";\n"):
        db.execute(statement)


def known() -> tuple[str, ...]:
    """The names of all migrations, in order."""
    with closing(sqlite3.connect(":memory:")) as empty:
        return tuple(each.name for each in migrations.pending(Database(empty, execute_plugins=False)))


def applied_to(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The names of the migrations that a store has seen, in order; empty when it has no tables yet."""
    return tuple(each.name for each in migrations.applied(Database(connection, execute_plugins=False)))


def is_newer(connection: sqlite3.Connection) -> bool:
    """Whether a newer smsflow has migrated a store."""
    return not set(applied_to(connection)) <= set(known())


def migrate(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Make the tables of the store at `path`, or bring them up to date, all in one transaction.

    A store that has data is copied first; the copy, None when none was needed. Copies of former migrations are
    removed when this one is through: the latest stays.
    Raises: StoreError when it does not work; the store is as it was.
    """
    pending = [name for name in known() if name not in applied_to(connection)]
    if not pending:
        return None
    copy = beside(path, f".before-{pending[0]}") if applied_to(connection) else None
    if copy:
        _copy_first(path, copy)
    database = Database(connection, execute_plugins=False)
    try:
        with database.atomic():
            migrations.apply(database)
    except Exception as error:
        kept = f"; a copy of it is {copy}" if copy else ""
        raise StoreError(
            f"{path} could not be migrated: {error}; it is as it was{kept}; go on with the former smsflow"
        ) from error
    for name in known():
        if copy and beside(path, f".before-{name}") != copy:
            beside(path, f".before-{name}").unlink(missing_ok=True)
    return copy


def _copy_first(path: Path, copy: Path) -> None:
    with copying(path, copy, ".partial") as partial:
        copy_store(path, partial, lambda *_: None, throttled=False)
        check_copy(partial, path)
        partial.replace(copy)
        sync_folder(copy.parent)


_FIRST = """
-- the base of mobile citizens: whose number it is, since when
CREATE TABLE citizen (
    iin TEXT PRIMARY KEY, msisdn TEXT NOT NULL, bound_at TEXT NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX citizen_msisdn ON citizen (msisdn);

-- what is known of a number beside its cases
CREATE TABLE phone (
    msisdn TEXT PRIMARY KEY, stopped_at TEXT, explained_at TEXT) WITHOUT ROWID;

-- who has said STOP: it goes with her to another number
CREATE TABLE stopped (iin TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE birth (
    birth_id TEXT PRIMARY KEY, mother_iin TEXT NOT NULL, msisdn TEXT, born_at TEXT NOT NULL,
    sex TEXT NOT NULL, alive INTEGER NOT NULL, birth_order INTEGER NOT NULL, account TEXT,
    address_kato TEXT, received_at TEXT NOT NULL, conversation INTEGER NOT NULL) WITHOUT ROWID;

-- every revision of a dialog that a conversation was ever pinned to; sources is JSON, file to text
CREATE TABLE dialog (
    revision TEXT PRIMARY KEY, name TEXT NOT NULL, sources TEXT NOT NULL, first_used_at TEXT NOT NULL)
    WITHOUT ROWID;

-- one conversation is one case; body is JSON: facts, answers, trail, printed addresses
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dialog TEXT NOT NULL, revision TEXT NOT NULL,
    birth_id TEXT NOT NULL, msisdn TEXT NOT NULL, child TEXT NOT NULL, language TEXT NOT NULL,
    state TEXT NOT NULL, status TEXT NOT NULL, result TEXT, wait INTEGER NOT NULL, misread INTEGER NOT NULL,
    reminded INTEGER NOT NULL, asked_at TEXT, due_kind TEXT, due_at TEXT, body TEXT NOT NULL,
    version INTEGER NOT NULL, opened_at TEXT NOT NULL, closed_at TEXT);
CREATE INDEX conversation_msisdn ON conversation (msisdn);
CREATE INDEX conversation_birth ON conversation (birth_id);
CREATE INDEX conversation_due ON conversation (due_at) WHERE due_at IS NOT NULL;

-- append-only: every event of every conversation as it came, and what it turned out to be
CREATE TABLE journal (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, conversation INTEGER NOT NULL, event TEXT NOT NULL,
    outcome TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL, revision TEXT NOT NULL);
CREATE INDEX journal_conversation ON journal (conversation);

-- every text that came in, raw; session tells one connection of a link from the next
CREATE TABLE inbound (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, link TEXT NOT NULL, session TEXT NOT NULL,
    sequence INTEGER NOT NULL, msisdn TEXT NOT NULL, destination TEXT NOT NULL, data_coding INTEGER NOT NULL,
    raw BLOB NOT NULL, text TEXT NOT NULL, conversation INTEGER, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    coercions TEXT NOT NULL);
CREATE INDEX inbound_msisdn ON inbound (msisdn, id);

-- parts of long texts that have not all come yet; reference tells the kinds of numbering apart
CREATE TABLE part (
    msisdn TEXT NOT NULL, destination TEXT NOT NULL, reference TEXT NOT NULL, number INTEGER NOT NULL,
    total INTEGER NOT NULL, data_coding INTEGER NOT NULL, payload BLOB NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (msisdn, destination, reference, number)) WITHOUT ROWID;

-- PDUs that could not be read; they were answered with an error
CREATE TABLE undecodable (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, link TEXT NOT NULL, raw BLOB NOT NULL, reason TEXT NOT NULL);

-- status: held (until not_before), queued, sending, accepted, delivered, failed, expired, dropped,
-- and since texts_in_doubt in_doubt (a person decides); the column in_doubt counts
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, conversation INTEGER, msisdn TEXT NOT NULL, text TEXT NOT NULL,
    segments INTEGER NOT NULL, urgency INTEGER NOT NULL, wait INTEGER, status TEXT NOT NULL,
    not_before TEXT NOT NULL, queued_at TEXT NOT NULL, changed_at TEXT NOT NULL, link TEXT,
    in_doubt INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX outbox_queued ON outbox (urgency, id) WHERE status = 'queued';
CREATE INDEX outbox_held ON outbox (not_before) WHERE status = 'held';
CREATE INDEX outbox_sending ON outbox (link) WHERE status = 'sending';
CREATE INDEX outbox_conversation ON outbox (conversation);

-- one row for each part that a message centre took: key is a form of its id by which receipts find it
CREATE TABLE segment (
    outbox INTEGER NOT NULL, part INTEGER NOT NULL, link TEXT NOT NULL, message_id TEXT NOT NULL,
    key TEXT NOT NULL, state TEXT, PRIMARY KEY (outbox, part)) WITHOUT ROWID;
CREATE INDEX segment_key ON segment (key);

-- status: queued, taken, refused
CREATE TABLE application (
    id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL, kind TEXT NOT NULL,
    data TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at TEXT NOT NULL,
    created_at TEXT NOT NULL, error TEXT);
CREATE INDEX application_queued ON application (next_at) WHERE status = 'queued';
CREATE INDEX application_conversation ON application (conversation);

-- what bodies have said, by their own ids: the second time changes nothing
CREATE TABLE body_event (
    conversation INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, outcome TEXT NOT NULL,
    PRIMARY KEY (conversation, id)) WITHOUT ROWID;

-- what a person must look at
CREATE TABLE flag (
    id INTEGER PRIMARY KEY, conversation INTEGER, reason TEXT NOT NULL, at TEXT NOT NULL, cleared_at TEXT);
CREATE INDEX flag_open ON flag (conversation) WHERE cleared_at IS NULL
"""

_SECOND = """
-- an id belongs to many texts: the phone tells them apart
ALTER TABLE segment ADD COLUMN msisdn TEXT NOT NULL DEFAULT '';
UPDATE segment SET msisdn = coalesce((SELECT o.msisdn FROM outbox o WHERE o.id = segment.outbox), '');
DROP INDEX segment_key;
CREATE INDEX segment_key ON segment (key, msisdn);

-- receipts for ids that are not known yet, each under every form of its id; msisdn is empty if it names none
CREATE TABLE parked_receipt (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, link TEXT NOT NULL, state TEXT NOT NULL);
CREATE INDEX parked_receipt_at ON parked_receipt (at);
CREATE TABLE parked_key (
    key TEXT NOT NULL, msisdn TEXT NOT NULL, receipt INTEGER NOT NULL, PRIMARY KEY (key, msisdn, receipt))
    WITHOUT ROWID;
CREATE INDEX parked_key_receipt ON parked_key (receipt);

-- the last reference of a long text to a phone, and that of each long text: sent again it is the same text
CREATE TABLE long_text (msisdn TEXT PRIMARY KEY, reference INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE outbox ADD COLUMN reference INTEGER;

-- state: waiting, joined (the text is complete), again (a joined part that came once more), released (the text was
-- taken without the parts that did not come)
ALTER TABLE part ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE part ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE part ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE part ADD COLUMN state TEXT NOT NULL DEFAULT 'waiting';
CREATE INDEX part_state ON part (state, at)
"""

_ROUTES = """
ALTER TABLE phone ADD COLUMN link TEXT;

-- route: the link that a text should go by, '' for any; refusals: how often it was refused for now;
-- began_at: when it was first on its way
ALTER TABLE outbox ADD COLUMN route TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN began_at TEXT;
DROP INDEX outbox_queued;
CREATE INDEX outbox_queued ON outbox (route, urgency, id) WHERE status = 'queued';
CREATE INDEX outbox_open ON outbox (msisdn, id) WHERE status IN ('queued', 'held')
"""

_FIGURES = """
-- how many cases have this status and result ('' while there is none)
CREATE TABLE case_count (
    status TEXT NOT NULL, result TEXT NOT NULL, cases INTEGER NOT NULL, PRIMARY KEY (status, result)) WITHOUT ROWID;

INSERT INTO case_count SELECT status, coalesce(result, ''), count(*) FROM conversation GROUP BY 1, 2;

CREATE TRIGGER case_opened AFTER INSERT ON conversation BEGIN
    INSERT INTO case_count VALUES (NEW.status, coalesce(NEW.result, ''), 1)
        ON CONFLICT DO UPDATE SET cases = cases + 1;
END;

CREATE TRIGGER case_moved AFTER UPDATE OF status, result ON conversation
    WHEN OLD.status IS NOT NEW.status OR OLD.result IS NOT NEW.result BEGIN
    UPDATE case_count SET cases = cases - 1 WHERE status = OLD.status AND result = coalesce(OLD.result, '');
    INSERT INTO case_count VALUES (NEW.status, coalesce(NEW.result, ''), 1)
        ON CONFLICT DO UPDATE SET cases = cases + 1;
END;

CREATE TRIGGER case_deleted AFTER DELETE ON conversation BEGIN
    UPDATE case_count SET cases = cases - 1 WHERE status = OLD.status AND result = coalesce(OLD.result, '');
END
"""

_AGES = """
-- each is written only when its case closes, its text belongs to no case, a flag is raised
CREATE INDEX conversation_closed ON conversation (closed_at) WHERE status = 'closed';
CREATE INDEX inbound_of_none ON inbound (at) WHERE conversation IS NULL;
CREATE INDEX outbox_of_none ON outbox (queued_at) WHERE conversation IS NULL;
CREATE INDEX undecodable_at ON undecodable (at);
CREATE INDEX flag_conversation ON flag (conversation);

-- births from before then may have been forgotten: one that is not known any more is not new
CREATE TABLE forgotten (id INTEGER PRIMARY KEY CHECK (id = 1), before TEXT NOT NULL)
"""

_WAITED_FOR = """
-- key is empty when no receipt is waited for any more
DROP INDEX segment_key;
CREATE INDEX segment_key ON segment (key, msisdn) WHERE key <> '';

-- the text up to which no receipt is waited for
CREATE TABLE receipts_over (id INTEGER PRIMARY KEY CHECK (id = 1), outbox INTEGER NOT NULL)
"""

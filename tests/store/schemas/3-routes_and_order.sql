BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'smsflow','first_tables','2026-11-20 22:49:50.239104+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'smsflow','receipts_and_long_texts','2026-11-20 22:49:50.242956+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'smsflow','routes_and_order','2026-11-20 22:49:50.250447+00:00');
CREATE TABLE application (
    id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL, kind TEXT NOT NULL,
    data TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at TEXT NOT NULL,
    created_at TEXT NOT NULL, error TEXT);
INSERT INTO "application" VALUES(1,2,'registration','{"birth_id":"b2","child_name":"Ахметов Нурлан","education":"1","education_text":"a","office":"2","office_text":"k2","office_id":"o2"}','queued',0,'2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00',NULL);
CREATE TABLE birth (
    birth_id TEXT PRIMARY KEY, mother_iin TEXT NOT NULL, msisdn TEXT, born_at TEXT NOT NULL,
    sex TEXT NOT NULL, alive INTEGER NOT NULL, birth_order INTEGER NOT NULL, account TEXT,
    address_kato TEXT, received_at TEXT NOT NULL, conversation INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "birth" VALUES('b1','950101200109','77011234567','2026-11-18T08:00:00+05:00','female',1,1,'','751110000','2026-11-18T07:00:00.000+00:00',1);
INSERT INTO "birth" VALUES('b2','950101200002','77010000002','2026-11-18T08:00:00+05:00','female',1,1,'','751110000','2026-11-18T07:00:00.000+00:00',2);
INSERT INTO "birth" VALUES('b3','950101200003','77010000003','2026-11-18T08:00:00+05:00','female',1,1,'','751110000','2026-11-18T07:00:00.000+00:00',3);
CREATE TABLE body_event (
    conversation INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, outcome TEXT NOT NULL,
    PRIMARY KEY (conversation, id)) WITHOUT ROWID;
INSERT INTO "body_event" VALUES(2,'accepted','accepted','2026-11-18T07:00:00.000+00:00','moved');
INSERT INTO "body_event" VALUES(2,'registered','registered','2026-11-18T07:00:00.000+00:00','moved');
CREATE TABLE citizen (
    iin TEXT PRIMARY KEY, msisdn TEXT NOT NULL, bound_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dialog TEXT NOT NULL, revision TEXT NOT NULL,
    birth_id TEXT NOT NULL, msisdn TEXT NOT NULL, child TEXT NOT NULL, language TEXT NOT NULL,
    state TEXT NOT NULL, status TEXT NOT NULL, result TEXT, wait INTEGER NOT NULL, misread INTEGER NOT NULL,
    reminded INTEGER NOT NULL, asked_at TEXT, due_kind TEXT, due_at TEXT, body TEXT NOT NULL,
    version INTEGER NOT NULL, opened_at TEXT NOT NULL, closed_at TEXT);
INSERT INTO "conversation" VALUES(1,'registration','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945','b1','77011234567','1','ru','child_name','open',NULL,2,0,1,'2026-11-18T07:00:00.000+00:00','remind','2026-11-20T07:00:00.000+00:00','{"facts":{"birth_id":"b1","mother_iin":"950101200109","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000","language":"ru"},"answers":{"greeting":"2"},"trail":[["greeting","11","2"]],"held":[],"back":null,"printed":{"greeting":["11"],"child_name":["112"]},"page":0,"sealed":0}',4,'2026-11-18T07:00:00.000+00:00',NULL);
INSERT INTO "conversation" VALUES(2,'registration','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945','b2','77010000002','1','ru','done','closed','done',7,0,0,'2026-11-18T07:00:00.000+00:00',NULL,NULL,'{"facts":{"birth_id":"b2","mother_iin":"950101200002","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000","language":"ru","number":"7","place":"x"},"answers":{"greeting":"2","child_name":"Ахметов Нурлан","education":"1","office":"2","check":"1"},"trail":[["greeting","11","2"],["child_name","112","Ахметов Нурлан"],["education","112","1"],["office","1121","2"],["check","11212","1"]],"held":[],"back":null,"printed":{"greeting":["11"],"child_name":["112"],"education":["112"],"office":["1121"],"check":["11212"]},"page":0,"sealed":5}',8,'2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00');
INSERT INTO "conversation" VALUES(3,'registration','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945','b3','77010000003','1','kk','greeting','closed','stopped',2,0,0,'2026-11-18T07:00:00.000+00:00',NULL,NULL,'{"facts":{"birth_id":"b3","mother_iin":"950101200003","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000"},"answers":{},"trail":[],"held":[],"back":null,"printed":{"greeting":["11"]},"page":0,"sealed":0}',2,'2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00');
INSERT INTO "conversation" VALUES(4,'money','sha256:1cd03ffacf45041529b5b2e4d08f1fcd7ee01df073c32dc80904416a7440b238','b2','77010000002','1','ru','enter','open',NULL,1,0,0,'2026-11-18T07:00:00.000+00:00','give_up','2026-11-21T07:00:00.000+00:00','{"facts":{"birth_id":"b2","mother_iin":"950101200002","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000","language":"ru","number":"7","place":"x","greeting":"2","child_name":"Ахметов Нурлан","education":"1","office":"2","check":"1","greeting_text":"Русский","education_text":"a","office_text":"k2","check_text":"иә"},"answers":{},"trail":[],"held":[],"back":null,"printed":{"enter":["31"]},"page":0,"sealed":0}',1,'2026-11-18T07:00:00.000+00:00',NULL);
CREATE TABLE dialog (
    revision TEXT PRIMARY KEY, name TEXT NOT NULL, sources TEXT NOT NULL, first_used_at TEXT NOT NULL)
    WITHOUT ROWID;
INSERT INTO "dialog" VALUES('sha256:1cd03ffacf45041529b5b2e4d08f1fcd7ee01df073c32dc80904416a7440b238','money','{"money.yaml":"dialog: money\ntitle: {kk: t, ru: t}\nservice: 3\nlanguages: [kk, ru]\nsilence: {give up: 72h, then: expired}\nbegin: {account known: account, otherwise: enter}\nstates:\n  account:\n    ask: choice\n    choices: {1: {kk: иә, ru: да}, 2: {kk: басқа, ru: другой}}\n    text: {kk: \"account {account} {options} {example}\", ru: \"account {account} {options} {example}\"}\n    then: {1: apply, 2: enter}\n    save: account_choice\n  enter:\n    ask: iban\n    save: account\n    text: {kk: \"enter {reply}\", ru: \"enter {reply}\"}\n    then: check\n  check:\n    ask: confirm\n    text: {kk: \"check {account} {example}\", ru: \"check {account} {example}\"}\n    then: {yes: apply, no: enter}\n  apply:\n    send: allowance\n    with: [birth_id, account]\n    wait:\n      granted: {then: done}\n  done: {end: done}\n  expired: {say: expired, end: expired}\n","texts.yaml":"texts:\n  hint_form: {kk: \"hint form {example}\", ru: \"hint form {example}\"}\n  hint_option: {kk: \"hint option {example}\", ru: \"hint option {example}\"}\n  hint_name: {kk: \"hint name {example}\", ru: \"hint name {example}\"}\n  hint_iban: {kk: \"hint iban {example}\", ru: \"hint iban {example}\"}\n  hint_digits: {kk: \"hint digits {example}\", ru: \"hint digits {example}\"}\n  desk: {kk: \"desk\", ru: \"desk\"}\n  remind: {kk: \"remind {example} {deadline}\", ru: \"remind {example} {deadline}\"}\n  expired: {kk: \"expired\", ru: \"expired\"}\n  stopped: {kk: \"stopped\", ru: \"stopped\"}\n  sealed: {kk: \"sealed\", ru: \"sealed\"}\n  closed: {kk: \"closed\", ru: \"closed\"}\n  no_reply_needed: {kk: \"no reply needed\", ru: \"no reply needed\"}\n  unknown: \"unknown\"\n  more: {kk: \"тағы\", ru: \"ещё\"}\n  other: {kk: \"басқа\", ru: \"другой\"}\n  sent: {kk: \"sent {number}\", ru: \"sent {number}\"}\n  registered: {kk: \"registered {place}\", ru: \"registered {place}\"}\n  refused: {kk: \"refused {reason}\", ru: \"refused {reason}\"}\n"}','2026-11-18T07:00:00.000+00:00');
INSERT INTO "dialog" VALUES('sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945','registration','{"registration.yaml":"dialog: registration\ntitle: {kk: t, ru: t}\nservice: 1\nstarts: birth\nlanguages: [kk, ru]\nsilence:\n  remind: [24h, 48h]\n  give up: 72h\n  then: expired\nbegin: greeting\nstates:\n  greeting:\n    ask: language\n    choices: {1: kk, 2: ru}\n    text: \"greeting {reply 1} {reply 2}\"\n    then: child_name\n  child_name:\n    ask: name\n    text: {kk: \"name {reply}\", ru: \"name {reply}\"}\n    then: education\n  education:\n    ask: choice\n    choices: {1: {kk: a, ru: a}, 2: {kk: b, ru: b}, 3: {kk: c, ru: c}}\n    text: {kk: \"education {options} {example}\", ru: \"education {options} {example}\"}\n    then: office\n  office:\n    ask: choice\n    list: offices\n    of: address_kato\n    other: check\n    text: {kk: \"office {options} {example}\", ru: \"office {options} {example}\"}\n    then: check\n  check:\n    ask: confirm\n    text: {kk: \"check {child_name} {example}\", ru: \"check {child_name} {example}\"}\n    then: {yes: apply, no: child_name}\n  apply:\n    send: registration\n    with: [birth_id, child_name, education, office]\n    wait:\n      accepted: {say: sent}\n      registered: {say: registered, begin: money, then: done}\n      refused: {say: refused, then: refused}\n    late: 3 working days\n  done: {end: done}\n  refused: {end: refused}\n  expired: {say: expired, end: expired}\n","texts.yaml":"texts:\n  hint_form: {kk: \"hint form {example}\", ru: \"hint form {example}\"}\n  hint_option: {kk: \"hint option {example}\", ru: \"hint option {example}\"}\n  hint_name: {kk: \"hint name {example}\", ru: \"hint name {example}\"}\n  hint_iban: {kk: \"hint iban {example}\", ru: \"hint iban {example}\"}\n  hint_digits: {kk: \"hint digits {example}\", ru: \"hint digits {example}\"}\n  desk: {kk: \"desk\", ru: \"desk\"}\n  remind: {kk: \"remind {example} {deadline}\", ru: \"remind {example} {deadline}\"}\n  expired: {kk: \"expired\", ru: \"expired\"}\n  stopped: {kk: \"stopped\", ru: \"stopped\"}\n  sealed: {kk: \"sealed\", ru: \"sealed\"}\n  closed: {kk: \"closed\", ru: \"closed\"}\n  no_reply_needed: {kk: \"no reply needed\", ru: \"no reply needed\"}\n  unknown: \"unknown\"\n  more: {kk: \"тағы\", ru: \"ещё\"}\n  other: {kk: \"басқа\", ru: \"другой\"}\n  sent: {kk: \"sent {number}\", ru: \"sent {number}\"}\n  registered: {kk: \"registered {place}\", ru: \"registered {place}\"}\n  refused: {kk: \"refused {reason}\", ru: \"refused {reason}\"}\n","lists/offices.yaml":"list: offices\ngroups:\n  \"75\":\n    - {id: o1, kk: k1, ru: r1}\n    - {id: o2, kk: k2, ru: r2}\n    - {id: o3, kk: k3, ru: r3}\n    - {id: o4, kk: k4, ru: r4}\n    - {id: o5, kk: k5, ru: r5}\n    - {id: o6, kk: k6, ru: r6}\n    - {id: o7, kk: k7, ru: r7}\n    - {id: o8, kk: k8, ru: r8}\n    - {id: o9, kk: k9, ru: r9}\n    - {id: o10, kk: k10, ru: r10}\n"}','2026-11-18T07:00:00.000+00:00');
CREATE TABLE flag (
    id INTEGER PRIMARY KEY, conversation INTEGER, reason TEXT NOT NULL, at TEXT NOT NULL, cleared_at TEXT);
CREATE TABLE inbound (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, link TEXT NOT NULL, session TEXT NOT NULL,
    sequence INTEGER NOT NULL, msisdn TEXT NOT NULL, destination TEXT NOT NULL, data_coding INTEGER NOT NULL,
    raw BLOB NOT NULL, text TEXT NOT NULL, conversation INTEGER, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    coercions TEXT NOT NULL);
INSERT INTO "inbound" VALUES(1,'2026-11-18T07:00:00.000+00:00','main','one',1,'77010000002','1414',8,X'0052002000310020003100200032','R 1 1 2',2,'answered','','');
INSERT INTO "inbound" VALUES(2,'2026-11-18T07:00:00.000+00:00','main','one',2,'77010000002','1414',8,X'0052002000310020003100200032002004100445043C04350442043E04320020041D04430440043B0430043D','R 1 1 2 Ахметов Нурлан',2,'answered','','');
INSERT INTO "inbound" VALUES(3,'2026-11-18T07:00:00.000+00:00','main','one',3,'77010000002','1414',8,X'005200200031002000310020003200200031','R 1 1 2 1',2,'answered','','');
INSERT INTO "inbound" VALUES(4,'2026-11-18T07:00:00.000+00:00','main','one',4,'77010000002','1414',8,X'00520020003100200031002000320020003100200032','R 1 1 2 1 2',2,'answered','','');
INSERT INTO "inbound" VALUES(5,'2026-11-18T07:00:00.000+00:00','main','one',5,'77010000002','1414',8,X'0052002000310020003100200032002000310020003200200031','R 1 1 2 1 2 1',2,'answered','','');
INSERT INTO "inbound" VALUES(6,'2026-11-18T07:00:00.000+00:00','main','one',6,'77010000003','1414',8,X'00530054004F0050','STOP',3,'stopped','','');
INSERT INTO "inbound" VALUES(7,'2026-11-18T07:00:00.000+00:00','main','one',7,'77011234567','1414',8,X'04470435043F044304450430','чепуха',1,'not_understood','no_r','');
INSERT INTO "inbound" VALUES(8,'2026-11-18T07:00:00.000+00:00','main','one',8,'77011234567','1414',8,X'0052002000310020003100200032','R 1 1 2',1,'answered','','');
CREATE TABLE journal (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, conversation INTEGER NOT NULL, event TEXT NOT NULL,
    outcome TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL, revision TEXT NOT NULL);
INSERT INTO "journal" VALUES(1,'2026-11-18T07:00:00.000+00:00',1,'{"event":"Opened","dialog":"registration","revision":"sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945","birth_id":"b1","msisdn":"77011234567","child":"1","language":"kk","facts":{"birth_id":"b1","mother_iin":"950101200109","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000"}}','opened','','','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(2,'2026-11-18T07:00:00.000+00:00',1,'{"event":"Began","at":"2026-11-18T12:00:00+05:00","opens_at":"2026-11-18T12:00:00+05:00"}','moved','','greeting','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(3,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Opened","dialog":"registration","revision":"sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945","birth_id":"b2","msisdn":"77010000002","child":"1","language":"kk","facts":{"birth_id":"b2","mother_iin":"950101200002","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000"}}','opened','','','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(4,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Began","at":"2026-11-18T12:00:00+05:00","opens_at":"2026-11-18T12:00:00+05:00"}','moved','','greeting','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(5,'2026-11-18T07:00:00.000+00:00',3,'{"event":"Opened","dialog":"registration","revision":"sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945","birth_id":"b3","msisdn":"77010000003","child":"1","language":"kk","facts":{"birth_id":"b3","mother_iin":"950101200003","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000"}}','opened','','','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(6,'2026-11-18T07:00:00.000+00:00',3,'{"event":"Began","at":"2026-11-18T12:00:00+05:00","opens_at":"2026-11-18T12:00:00+05:00"}','moved','','greeting','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(7,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Answered","at":"2026-11-18T12:00:00+05:00","state":"greeting","value":"2","also":"","text":"R 1 1 2","coercions":[]}','answered','greeting','child_name','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(8,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Answered","at":"2026-11-18T12:00:00+05:00","state":"child_name","value":"Ахметов Нурлан","also":"","text":"R 1 1 2 Ахметов Нурлан","coercions":[]}','answered','child_name','education','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(9,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Answered","at":"2026-11-18T12:00:00+05:00","state":"education","value":"1","also":"","text":"R 1 1 2 1","coercions":[]}','answered','education','office','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(10,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Answered","at":"2026-11-18T12:00:00+05:00","state":"office","value":"2","also":"","text":"R 1 1 2 1 2","coercions":[]}','answered','office','check','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(11,'2026-11-18T07:00:00.000+00:00',2,'{"event":"Answered","at":"2026-11-18T12:00:00+05:00","state":"check","value":"1","also":"","text":"R 1 1 2 1 2 1","coercions":[]}','answered','check','apply','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(12,'2026-11-18T07:00:00.000+00:00',2,'{"event":"BodyAnswered","at":"2026-11-18T12:00:00+05:00","opens_at":"2026-11-18T12:00:00+05:00","id":"accepted","name":"accepted","data":{"number":"7"}}','moved','apply','apply','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(13,'2026-11-18T07:00:00.000+00:00',2,'{"event":"BodyAnswered","at":"2026-11-18T12:00:00+05:00","opens_at":"2026-11-18T12:00:00+05:00","id":"registered","name":"registered","data":{"place":"x"}}','moved','apply','done','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(14,'2026-11-18T07:00:00.000+00:00',4,'{"event":"Opened","dialog":"money","revision":"sha256:1cd03ffacf45041529b5b2e4d08f1fcd7ee01df073c32dc80904416a7440b238","birth_id":"b2","msisdn":"77010000002","child":"1","language":"ru","facts":{"birth_id":"b2","mother_iin":"950101200002","born_at":"2026-11-18T08:00:00+05:00","sex":"female","birth_order":"1","address_kato":"751110000","language":"ru","number":"7","place":"x","greeting":"2","child_name":"Ахметов Нурлан","education":"1","office":"2","check":"1","greeting_text":"Русский","education_text":"a","office_text":"k2","check_text":"иә"}}','opened','','','sha256:1cd03ffacf45041529b5b2e4d08f1fcd7ee01df073c32dc80904416a7440b238');
INSERT INTO "journal" VALUES(15,'2026-11-18T07:00:00.000+00:00',4,'{"event":"Began","at":"2026-11-18T12:00:00+05:00","opens_at":"2026-11-18T12:00:00+05:00"}','moved','','enter','sha256:1cd03ffacf45041529b5b2e4d08f1fcd7ee01df073c32dc80904416a7440b238');
INSERT INTO "journal" VALUES(16,'2026-11-18T07:00:00.000+00:00',3,'{"event":"Stopped","at":"2026-11-18T12:00:00+05:00","told":false,"text":"STOP"}','stopped','greeting','greeting','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(17,'2026-11-18T07:00:00.000+00:00',1,'{"event":"NotUnderstood","at":"2026-11-18T12:00:00+05:00","reason":"no_r","text":"чепуха"}','not_understood','greeting','greeting','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(18,'2026-11-18T07:00:00.000+00:00',1,'{"event":"Answered","at":"2026-11-18T12:00:00+05:00","state":"greeting","value":"2","also":"","text":"R 1 1 2","coercions":[]}','answered','greeting','child_name','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
INSERT INTO "journal" VALUES(19,'2026-11-19T08:00:00.000+00:00',1,'{"event":"TimerFired","at":"2026-11-19T13:00:00+05:00","opens_at":"2026-11-19T13:00:00+05:00","wait":2}','moved','child_name','child_name','sha256:dbe41026b1f022671bcfc9f828ba9feff34514a7ec0b1ae8cd2656d8ea804945');
CREATE TABLE long_text (msisdn TEXT PRIMARY KEY, reference INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, conversation INTEGER, msisdn TEXT NOT NULL, text TEXT NOT NULL,
    segments INTEGER NOT NULL, urgency INTEGER NOT NULL, wait INTEGER, status TEXT NOT NULL,
    not_before TEXT NOT NULL, queued_at TEXT NOT NULL, changed_at TEXT NOT NULL, link TEXT,
    in_doubt INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, reference INTEGER, route TEXT NOT NULL DEFAULT '', refusals INTEGER NOT NULL DEFAULT 0, began_at TEXT);
INSERT INTO "outbox" VALUES(1,1,'77011234567','greeting R 1 1 1 R 1 1 2',1,3,1,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(2,2,'77010000002','greeting R 1 1 1 R 1 1 2',1,3,1,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(3,3,'77010000003','greeting R 1 1 1 R 1 1 2',1,3,1,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(4,2,'77010000002','name R 1 1 2',1,0,2,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(5,2,'77010000002','education 1 a 2 b 3 c R 1 1 2 1',1,0,3,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(6,2,'77010000002','office 1 r1 2 r2 3 r3 4 r4 5 r5 6 r6 7 r7 8 r8 9 ещё R 1 1 2 1 1',1,0,4,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(7,2,'77010000002','check Ахметов Нурлан R 1 1 2 1 2 1',1,0,5,'accepted','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-18T07:00:00.000+00:00');
INSERT INTO "outbox" VALUES(8,2,'77010000002','sent 7',1,1,NULL,'sending','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
INSERT INTO "outbox" VALUES(9,2,'77010000002','registered x',1,1,NULL,'sending','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
INSERT INTO "outbox" VALUES(10,4,'77010000002','enter R 3 1',1,3,1,'sending','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
INSERT INTO "outbox" VALUES(11,3,'77010000003','stopped',1,0,NULL,'sending','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
INSERT INTO "outbox" VALUES(12,1,'77011234567','hint form R 1 1 1',1,0,NULL,'sending','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
INSERT INTO "outbox" VALUES(13,1,'77011234567','name R 1 1 2',1,0,2,'sending','2026-11-18T07:00:00.000+00:00','2026-11-18T07:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
INSERT INTO "outbox" VALUES(14,1,'77011234567','remind R 1 1 2 21.11.2026 12:00',1,2,2,'sending','2026-11-19T08:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','2026-11-19T08:00:00.000+00:00','main',0,1,NULL,0,'',0,'2026-11-19T08:00:00.000+00:00');
CREATE TABLE parked_key (
    key TEXT NOT NULL, msisdn TEXT NOT NULL, receipt INTEGER NOT NULL, PRIMARY KEY (key, msisdn, receipt))
    WITHOUT ROWID;
CREATE TABLE parked_receipt (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, link TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE part (
    msisdn TEXT NOT NULL, destination TEXT NOT NULL, reference TEXT NOT NULL, number INTEGER NOT NULL,
    total INTEGER NOT NULL, data_coding INTEGER NOT NULL, payload BLOB NOT NULL, at TEXT NOT NULL, link TEXT NOT NULL DEFAULT '', session TEXT NOT NULL DEFAULT '', sequence INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting',
    PRIMARY KEY (msisdn, destination, reference, number)) WITHOUT ROWID;
CREATE TABLE phone (
    msisdn TEXT PRIMARY KEY, stopped_at TEXT, explained_at TEXT, link TEXT) WITHOUT ROWID;
INSERT INTO "phone" VALUES('77010000002',NULL,NULL,'main');
INSERT INTO "phone" VALUES('77010000003','2026-11-18T07:00:00.000+00:00',NULL,'main');
INSERT INTO "phone" VALUES('77011234567',NULL,NULL,'main');
CREATE TABLE segment (
    outbox INTEGER NOT NULL, part INTEGER NOT NULL, link TEXT NOT NULL, message_id TEXT NOT NULL,
    key TEXT NOT NULL, state TEXT, msisdn TEXT NOT NULL DEFAULT '', PRIMARY KEY (outbox, part)) WITHOUT ROWID;
INSERT INTO "segment" VALUES(1,0,'main','','',NULL,'77011234567');
INSERT INTO "segment" VALUES(2,0,'main','','',NULL,'77010000002');
INSERT INTO "segment" VALUES(3,0,'main','','',NULL,'77010000003');
INSERT INTO "segment" VALUES(4,0,'main','','',NULL,'77010000002');
INSERT INTO "segment" VALUES(5,0,'main','','',NULL,'77010000002');
INSERT INTO "segment" VALUES(6,0,'main','','',NULL,'77010000002');
INSERT INTO "segment" VALUES(7,0,'main','','',NULL,'77010000002');
CREATE TABLE stopped (iin TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "stopped" VALUES('950101200003','2026-11-18T07:00:00.000+00:00');
CREATE TABLE undecodable (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, link TEXT NOT NULL, raw BLOB NOT NULL, reason TEXT NOT NULL);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE UNIQUE INDEX citizen_msisdn ON citizen (msisdn);
CREATE INDEX conversation_msisdn ON conversation (msisdn);
CREATE INDEX conversation_birth ON conversation (birth_id);
CREATE INDEX conversation_due ON conversation (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX journal_conversation ON journal (conversation);
CREATE INDEX inbound_msisdn ON inbound (msisdn, id);
CREATE INDEX outbox_held ON outbox (not_before) WHERE status = 'held';
CREATE INDEX outbox_sending ON outbox (link) WHERE status = 'sending';
CREATE INDEX outbox_conversation ON outbox (conversation);
CREATE INDEX application_queued ON application (next_at) WHERE status = 'queued';
CREATE INDEX application_conversation ON application (conversation);
CREATE INDEX flag_open ON flag (conversation) WHERE cleared_at IS NULL
;
CREATE INDEX segment_key ON segment (key, msisdn);
CREATE INDEX parked_receipt_at ON parked_receipt (at);
CREATE INDEX parked_key_receipt ON parked_key (receipt);
CREATE INDEX part_state ON part (state, at)
;
CREATE INDEX outbox_queued ON outbox (route, urgency, id) WHERE status = 'queued';
CREATE INDEX outbox_open ON outbox (msisdn, id) WHERE status IN ('queued', 'held')
;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('conversation',4);
INSERT INTO "sqlite_sequence" VALUES('application',1);
COMMIT;

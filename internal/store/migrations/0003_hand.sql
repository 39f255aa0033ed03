-- +goose Up
-- Orders of the vendor, lost licenses, the block list, and the vendor's staff.

-- The container that the vendor keeps the license for; empty for nobody.
alter table licenses add column reserved text not null default '';
-- The license in whose place it came; empty for none.
alter table licenses add column replaces text not null default '';
-- The license that came in its place; empty for none.
alter table licenses add column replaced_by text not null default '';

-- How many orders of the vendor wait for the container, or are under way.
alter table containers add column earmarks bigint not null default 0;
-- Whether the last step issued leaves it locked.
alter table containers add column closed bigint not null default 0;
alter table containers add column block_reason text not null default '';
alter table containers add column block_time bigint not null default 0;
-- Digests of its machine's traits that survive a new installation.
alter table containers add column hardware blob;

-- Number of the block list, and how often machines are to ask by themselves (µs; 0 leaves it to them).
alter table vendor add column list bigint not null default 0;
alter table vendor add column refresh bigint not null default 0;

-- An order of the vendor, from when it is given until a report proves that it
-- was carried out. The events tell the rest.
create table earmarks (
    id           text primary key,
    container    text not null references containers (serial),
    kind         text not null check (kind in ('withdraw', 'replace', 'assign', 'kill', 'recall')),
    license      text not null references licenses (id),
    generation   bigint not null check (generation > 0),
    with_license text not null default '',
    found        text not null default '',
    step         bigint not null default 0,
    actor        text not null,
    reason       text not null,
    created      bigint not null
);
create unique index earmarks_once on earmarks (container, license, generation, kind);
create index earmarks_license on earmarks (license);

-- Reports of lost licenses.
create table recoveries (
    number     bigint primary key,
    state      text not null check (state in ('waiting', 'asked', 'granted', 'approved', 'refused', 'withdrawn')),
    scope      text not null check (scope in ('license', 'container')),
    hardware   text not null check (hardware in ('', 'same', 'new', 'damaged')),
    container  text not null default '',
    tickets    text not null,
    customer   text not null,
    reason     text not null,
    evidence   text not null default '',
    contact    text not null default '',
    language   text not null default '',
    conditions text not null default '',
    accepted   bigint not null default 0,
    created    bigint not null,
    decided    bigint not null default 0,
    decided_by text not null default '',
    decision   text not null default '',
    report     blob,
    version    bigint not null default 0
);
create index recoveries_state on recoveries (state, number);

create table recovery_licenses (
    recovery   bigint not null references recoveries (number),
    license    text not null references licenses (id),
    generation bigint not null,
    container  text not null,
    verdict    text not null,
    outcome    text not null default '',
    because    text not null default '',
    primary key (recovery, license)
);
create index recovery_licenses_license on recovery_licenses (license);

-- What staff and the user say to each other about a recovery.
create table recovery_notes (
    recovery bigint not null references recoveries (number),
    place    bigint not null,
    actor    text not null,
    text     text not null,
    time     bigint not null,
    primary key (recovery, place)
);

-- Every restore: a generation that ended, and how it was granted.
create table restores (
    license    text not null references licenses (id),
    generation bigint not null,
    how        text not null check (how in ('automatic', 'extra', 'staff', 'lost')),
    recovery   bigint not null default 0,
    container  text not null,
    actor      text not null,
    time       bigint not null,
    primary key (license, generation)
);
create index restores_time on restores (time);
create index restores_actor on restores (actor, time);

-- Restores that staff allow beyond the policy.
create table restore_grants (
    id      text primary key,
    license text not null references licenses (id),
    count   bigint not null,
    used    bigint not null default 0,
    actor   text not null,
    reason  text not null,
    created bigint not null
);
create index restore_grants_license on restore_grants (license);

-- The block list: for each entry, the numbers of the list with which it came and
-- with which it was lifted.
create table blocks (
    kind       text not null check (kind in ('license', 'container')),
    subject    text not null,
    generation bigint not null,
    added      bigint not null,
    lifted     bigint not null default 0,
    reason     text not null,
    created    bigint not null,
    primary key (kind, subject, generation, added)
);
create index blocks_added on blocks (added);
create index blocks_lifted on blocks (lifted);

-- The vendor's staff, who sign in at the console.
create table staff (
    id       text primary key,
    name     text not null unique,
    email    text not null default '',
    password text not null,
    scopes   text not null,
    created  bigint not null,
    seen     bigint not null default 0,
    disabled bigint not null default 0
);

create table sessions (
    token  text primary key,
    data   blob not null,
    expiry bigint not null
);
create index sessions_expiry on sessions (expiry);

-- How far a consumer of the events has read, and until when a server has the
-- place to itself.
create table cursors (
    name     text primary key,
    sequence bigint not null,
    lease    bigint not null default 0
);

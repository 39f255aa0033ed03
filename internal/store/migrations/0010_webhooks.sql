-- +goose Up
-- The order in which events were written, for those that come into the audit log
-- together. SQLite counts its rows by itself, in a column of this name. On
-- PostgreSQL the number is drawn when the row is written: after the transaction has
-- locked what it is about, so that of two events about one thing the later one has
-- the larger number, whatever the clocks of their servers say.
drop index events_tail;
create index events_tail on events (sequence) where sequence < 0;
-- postgres: create sequence event_rows;
-- postgres: alter table events add column rowid bigint not null default nextval('event_rows');
-- postgres: drop index events_tail;
-- postgres: create index events_tail on events (sequence, rowid) where sequence < 0;

-- Where events are sent to.
create table webhooks (
    id          text primary key,
    url         text not null,
    events      text not null,
    description text not null,
    created     bigint not null,
    created_by  text not null,
    -- Why nothing is sent to it: staff paused it, it said that it is gone, or nothing
    -- got through for days. Empty while it is active.
    stopped     text not null default '' check (stopped in ('', 'paused', 'gone', 'failing')),
    stopped_at  bigint not null default 0,
    -- How far in the audit log its events were looked for.
    sequence    bigint not null,
    -- Since when nothing has got through, and how often in a row; when something did.
    failing     bigint not null default 0,
    failures    bigint not null default 0,
    succeeded   bigint not null default 0,
    -- Nothing is sent before.
    hold        bigint not null default 0,
    -- Which server has it to itself, until when.
    owner       text not null default '',
    lease       bigint not null default 0,
    version     bigint not null default 0
);

-- What its messages are signed with. Private parts are encrypted under secret.key.
create table webhook_keys (
    id      text primary key,
    webhook text not null references webhooks (id),
    kind    text not null check (kind in ('v1', 'v1a')),
    secret  blob not null,
    public  text not null,
    created bigint not null,
    ends    bigint not null default 0
);
create index webhook_keys_webhook on webhook_keys (webhook);

-- An event for a receiver, from when it was found in the audit log.
create table webhook_deliveries (
    webhook  text not null references webhooks (id),
    event    text not null references events (id),
    sequence bigint not null,
    type     text not null,
    -- What it must not overtake: kinds and ids of what it is about, as a JSON list.
    about    text not null,
    state    text not null check (state in ('pending', 'delivered', 'failed')),
    attempts bigint not null default 0,
    first    bigint not null default 0,
    last     bigint not null default 0,
    next     bigint not null default 0,
    status   bigint not null default 0,
    primary key (webhook, event)
);
create index webhook_deliveries_order on webhook_deliveries (webhook, state, sequence, event);
create index webhook_deliveries_last on webhook_deliveries (webhook, state, last);

create table webhook_attempts (
    webhook  text not null,
    event    text not null,
    number   bigint not null,
    time     bigint not null,
    duration bigint not null,
    status   bigint not null,
    answer   text not null,
    fault    text not null,
    primary key (webhook, event, number),
    foreign key (webhook, event) references webhook_deliveries (webhook, event)
);

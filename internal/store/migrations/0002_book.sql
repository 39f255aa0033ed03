-- +goose Up

-- One vendor in one environment. One row.
create table vendor (
    id          text primary key,
    name        text not null,
    environment text not null,
    address     text not null,
    epoch       bigint not null,
    trust       blob not null,
    created     bigint not null,
    version     bigint not null default 0
);

-- Keys by use. Private parts are encrypted under secret.key; null once removed.
create table keys (
    id          text primary key,
    use         text not null,
    public      blob not null,
    private     blob,
    certificate blob,
    created     bigint not null
);

create table categories (
    code    text primary key,
    name    text not null,
    version bigint not null default 0
);

create table products (
    code    text primary key,
    spec    text not null,
    version bigint not null default 0
);

create table orders (
    id       text primary key,
    number   text not null unique,
    customer text not null,
    created  bigint not null,
    version  bigint not null default 0
);

-- The ticket itself is stored twice: as a keyed hash to find it by, and
-- encrypted for staff to see.
create table tickets (
    id       text primary key,
    order_id text not null references orders (id),
    lookup   blob not null unique,
    sealed   blob not null,
    created  bigint not null
);
create index tickets_order on tickets (order_id);

create table licenses (
    id         text primary key,
    order_id   text not null references orders (id),
    ticket_id  text not null references tickets (id),
    product    text not null references products (code),
    item       text not null,
    features   text not null,
    terms      text not null,
    state      text not null check (state = 'not_collected' or state = 'collecting' or state = 'collected' or state = 'returning' or state = 'returned' or state = 'gone'),
    generation bigint not null check (generation > 0),
    holder     text,
    step       bigint not null default 0,
    withdrawn  bigint not null default 0,
    activated  bigint not null default 0,
    created    bigint not null,
    version    bigint not null default 0,
    -- A license is with exactly one container, or with none. (Not "in": SQLite
    -- makes a temporary table for its list, with every change of a row.)
    check ((holder is not null) = (state = 'collecting' or state = 'collected' or state = 'returning'))
);
create index licenses_order on licenses (order_id);
create index licenses_ticket on licenses (ticket_id);
-- Most licenses of a large database are with nobody: they need no entry.
create index licenses_holder on licenses (holder) where holder is not null;

create table containers (
    serial          text primary key,
    kind            text not null,
    signing_key     blob not null,
    sealing_key     blob not null,
    binding         text not null,
    issued          bigint not null default 0,
    issued_plan     blob not null,
    acked           bigint not null default 0,
    acked_life      blob not null,
    challenge       blob,
    flag_reason     text not null default '',
    flag_time       bigint not null default 0,
    flag_number     bigint not null default 0,
    flag_life       blob,
    flag_acceptable bigint not null default 0,
    first_seen      bigint not null,
    last_seen       bigint not null,
    version         bigint not null default 0,
    check (acked >= 0 and acked <= issued)
);

-- The log: one step for one number, never changed but for the life hash that a
-- report proves later.
create table steps (
    container text not null references containers (serial),
    number    bigint not null check (number > 0),
    signed    blob not null,
    plan      blob not null,
    life      blob,
    time      bigint not null,
    primary key (container, number)
);

create table step_ops (
    container  text not null,
    number     bigint not null,
    place      bigint not null,
    kind       bigint not null,
    phase      bigint not null,
    license    text not null references licenses (id),
    generation bigint not null,
    product    text not null,
    body       blob,
    primary key (container, number, place),
    foreign key (container, number) references steps (container, number)
);
create index step_ops_license on step_ops (license);

-- Reports that caused a step, with the answer they got.
create table answers (
    container text not null references containers (serial),
    nonce     blob not null,
    report    blob not null,
    hash      blob not null,
    issued    bigint not null,
    answer    blob not null,
    time      bigint not null,
    primary key (container, nonce)
);

-- Signed reports that prove a contradiction.
create table proofs (
    id        text primary key,
    container text not null references containers (serial),
    report    blob not null,
    time      bigint not null
);

create table tokens (
    id      text primary key,
    name    text not null,
    scopes  text not null,
    hash    blob not null unique,
    created bigint not null,
    expires bigint not null default 0,
    used    bigint not null default 0,
    revoked bigint not null default 0
);

-- Answers kept for repeated calls under one idempotency key.
create table once (
    actor  text not null,
    key    text not null,
    hash   blob not null,
    answer blob not null,
    time   bigint not null,
    primary key (actor, key)
);

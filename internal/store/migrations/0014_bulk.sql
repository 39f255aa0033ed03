-- +goose Up
-- Many operations of one kind as one job that servers carry out, item by item.
create table bulk_jobs (
    id          text primary key,
    kind        text not null,
    -- Who wants it, with the rights that he had; and the token that he came with.
    actor_kind  text not null,
    actor_name  text not null,
    scopes      text not null,
    token       text not null,
    reason      text not null,
    dry_run     bigint not null,
    -- How many items there are, which one is next, and how many of those before it failed.
    total       bigint not null check (total > 0),
    next        bigint not null default 0 check (next <= total),
    failed      bigint not null default 0 check (failed <= next),
    created     bigint not null,
    started     bigint not null default 0,
    ended       bigint not null default 0,
    -- It was ended before its last item.
    canceled    bigint not null default 0,
    -- Why it does not go on, as the code of a refusal; and not before when.
    waits       text not null default '',
    hold        bigint not null default 0,
    -- When it had its last turn; which server has it to itself, until when.
    turn        bigint not null default 0,
    owner       text not null default '',
    lease       bigint not null default 0,
    version     bigint not null default 0
);
create index bulk_jobs_open on bulk_jobs (turn, id) where ended = 0;
create index bulk_jobs_ended on bulk_jobs (ended) where ended > 0;

-- What is to be done, some items together; gone when the job has ended.
create table bulk_items (
    job   text not null references bulk_jobs (id),
    first bigint not null,
    items text not null,
    primary key (job, first)
);

-- What came of each item, written with what it did.
create table bulk_results (
    job    text not null references bulk_jobs (id),
    item   bigint not null,
    failed bigint not null,
    result text not null,
    primary key (job, item)
);
create index bulk_results_failed on bulk_results (job, item) where failed = 1;

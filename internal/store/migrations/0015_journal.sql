-- +goose Up
-- The second journal of the record (docs/backup.md), one row if there ever was one:
-- which chain of frames it is, which one that followed, and the last frame with the
-- one before it.
create table journal (
    chain   text primary key,
    follows text not null,
    number  bigint not null,
    last    blob not null,
    before  blob not null,
    ended   bigint not null default 0 -- nothing is written any more
);

-- The epoch from which on the record lacks nothing that was signed, because it came
-- back with its journal; 0 if something may be missing.
alter table gaps add column whole bigint not null default 0;

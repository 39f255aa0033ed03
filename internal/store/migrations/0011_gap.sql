-- +goose Up
-- What a server that came back from a back-up does not know: the gap.

-- Why the license is not given out, because somebody may have got it in the gap:
-- back_up (it was with the vendor then), returned, taken or resent; empty text if
-- it is not held back.
alter table licenses add column held_back text not null default '';
create index licenses_held_back on licenses (id) where held_back <> '';

-- The epoch that the container is known to know.
alter table containers add column epoch bigint not null default 1;
-- The epoch in which the step was signed.
alter table steps add column epoch bigint not null default 1;

-- Which proof shows that this record is older than another; empty text for none.
alter table vendor add column outdated text not null default '';

-- Every return from a back-up.
create table gaps (
    epoch  bigint primary key,
    since  bigint not null,
    opened bigint not null,
    closed bigint not null default 0
);

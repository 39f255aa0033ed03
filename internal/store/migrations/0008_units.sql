-- +goose Up
-- Units of licenses: how many are used, and that the vendor adds some.

-- The highest number that a container which had the license has told. It never falls.
alter table licenses add column used bigint not null default 0;

-- One more kind of order: change, by which a container gets what it holds with
-- other terms. A check is changed only with its table.
create table earmarks_of_8 (
    id           text primary key,
    container    text not null references containers (serial),
    kind         text not null check (kind in ('withdraw', 'replace', 'assign', 'kill', 'recall', 'change')),
    license      text not null references licenses (id),
    generation   bigint not null check (generation > 0),
    with_license text not null default '',
    found        text not null default '',
    step         bigint not null default 0,
    actor        text not null,
    reason       text not null,
    created      bigint not null
);
insert into earmarks_of_8 (id, container, kind, license, generation, with_license, found, step, actor, reason, created)
    select id, container, kind, license, generation, with_license, found, step, actor, reason, created from earmarks;
drop table earmarks;
alter table earmarks_of_8 rename to earmarks;
create unique index earmarks_once on earmarks (container, license, generation, kind);
create index earmarks_license on earmarks (license);
create index earmarks_with on earmarks (with_license) where with_license <> '';

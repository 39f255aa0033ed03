-- +goose Up
-- Articles that stand for licenses of several products.

create table bundles (
    code    text primary key,
    spec    text not null,
    version bigint not null default 0
);

-- +goose Up

-- What becomes of a key: when it signs, when and why it was revoked, how many
-- signatures it can have made, and where its private part is if it is not here.
alter table keys add column not_before bigint not null default 0;
alter table keys add column not_after bigint not null default 0;
alter table keys add column revoked bigint not null default 0;
alter table keys add column reason text not null default '';
alter table keys add column signatures bigint not null default 0;
alter table keys add column token text not null default '';
update keys set signatures = (select count(*) from steps) + (select count(*) from answers) where use = 'issuing';

-- Counts every change of the keys. A server signs a step only while it knows the
-- newest.
alter table vendor add column keys bigint not null default 1;

-- Issuing is stopped since then; 0 while it is not.
alter table vendor add column stopped bigint not null default 0;
alter table vendor add column stop_actor text not null default '';
alter table vendor add column stop_reason text not null default '';

-- The trust bundle that last revoked an issuing key, and up to which one a container
-- has everything under keys that count; the rest is put again at its next contact.
alter table vendor add column revoked bigint not null default 0;
alter table containers add column restated bigint not null default 0;

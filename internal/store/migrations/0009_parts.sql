-- +goose Up
-- Seats of one license in several containers: each part is a license of its own.

-- How many of the seats of its position the license has; terms say how many it was
-- sold with. Only inserting a license and moving seats from one to another write it.
alter table licenses add column seats bigint not null default 0 check (seats >= 0);
-- The license that it was split from; empty for one that is no part.
alter table licenses add column origin text not null default '';
-- The part that has its seats since they were merged; empty while it has them itself.
alter table licenses add column merged_into text not null default '';
create index licenses_origin on licenses (origin) where origin <> '';

-- Terms begin with {"seats": and the number.
update licenses set seats = cast(substr(terms, 10, length(terms) - 9 - length(ltrim(substr(terms, 10), '0123456789'))) as bigint);

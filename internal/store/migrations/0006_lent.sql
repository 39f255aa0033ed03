-- +goose Up
-- Seats that license servers on users' networks have out.

-- What the container's latest report said of seats of its licenses that are on
-- loan or moved away: a JSON list, empty text for none.
alter table containers add column lent text not null default '';

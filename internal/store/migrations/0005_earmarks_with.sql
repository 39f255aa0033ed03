-- +goose Up
-- A look-up of a license asks for the orders that bring it in another's place.
create index earmarks_with on earmarks (with_license) where with_license <> '';

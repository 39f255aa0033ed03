-- +goose Up
-- One text for both engines. The types are TEXT, BIGINT and BLOB, each on the
-- line of its column's name; for PostgreSQL they become TEXT COLLATE "C", BIGINT and BYTEA.

-- The audit spine: one row per event, written with the change it tells of.
CREATE TABLE events (
  id TEXT NOT NULL PRIMARY KEY,
  time BIGINT NOT NULL,
  actor TEXT NOT NULL,
  name TEXT NOT NULL,
  before_hash BLOB NOT NULL,
  after_hash BLOB NOT NULL,
  reason TEXT NOT NULL,
  request TEXT NOT NULL,
  details TEXT NOT NULL,
  leaf BLOB NOT NULL,
  sequence BIGINT NOT NULL DEFAULT -1
);
CREATE UNIQUE INDEX events_sequence ON events (sequence) WHERE sequence >= 0;
CREATE INDEX events_tail ON events (id) WHERE sequence < 0;

CREATE TABLE event_subjects (
  event_id TEXT NOT NULL REFERENCES events (id),
  position BIGINT NOT NULL,
  kind TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  PRIMARY KEY (kind, subject_id, event_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX event_subjects_event ON event_subjects (event_id, position);

-- The Merkle log over the events' leaves, stored as golang.org/x/mod/sumdb/tlog counts.
CREATE TABLE audit_hashes (
  position BIGINT NOT NULL PRIMARY KEY,
  hash BLOB NOT NULL
) WITHOUT ROWID;

-- One row: how many events the log holds. Who appends touches it first.
CREATE TABLE audit_state (
  id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  version BIGINT NOT NULL,
  size BIGINT NOT NULL
);
INSERT INTO audit_state (id, version, size) VALUES (1, 0, 0);

CREATE TABLE audit_checkpoints (
  size BIGINT NOT NULL PRIMARY KEY,
  note TEXT NOT NULL,
  time BIGINT NOT NULL
);

-- Counts what happened that a waiting saga is to look at. The driver compares it with what it knew before its step:
-- news that came while it was at work would be lost otherwise, for whoever brings them wakes only sagas that nobody
-- drives.
ALTER TABLE sagas ADD COLUMN wakes bigint NOT NULL DEFAULT 0;

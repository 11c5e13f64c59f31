-- A commit that makes many events of one key keeps them in one row: inserting, reading and deleting hundreds
-- of rows cost more than all else that such a commit does. `packed` holds them in order, as
-- outbox.rs in pg-kit encodes them; the columns of a single event are then empty.
ALTER TABLE outbox ADD COLUMN packed bytea;
ALTER TABLE outbox ADD COLUMN event_count integer NOT NULL DEFAULT 1 CHECK (event_count > 0);
ALTER TABLE outbox
    ALTER COLUMN event_id DROP NOT NULL,
    ALTER COLUMN event_type DROP NOT NULL,
    ALTER COLUMN sequence DROP NOT NULL,
    ALTER COLUMN payload DROP NOT NULL;
ALTER TABLE outbox ADD CONSTRAINT outbox_single_or_packed CHECK (
    num_nulls(event_id, event_type, sequence, payload) = CASE WHEN packed IS NULL THEN 0 ELSE 4 END
);

-- Events of one key are much alike. Servers that were built without LZ4 use their own method.
DO $$
BEGIN
    ALTER TABLE outbox ALTER COLUMN packed SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;

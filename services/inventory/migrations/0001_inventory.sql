-- The counters of every SKU. Rows are updated once a batch and stay on their page (HOT): nothing that
-- changes is indexed, and half of each page is left free for the next versions.
CREATE TABLE stock (
    sku_id       uuid PRIMARY KEY,
    on_hand      bigint      NOT NULL CHECK (on_hand >= 0),
    reserved     bigint      NOT NULL CHECK (reserved >= 0),
    -- Grows by one with every ledger row and every event of the SKU.
    version      bigint      NOT NULL CHECK (version >= 0),
    discontinued boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    -- The last guard against overselling, whatever the code above it does.
    CONSTRAINT stock_reserved_within_on_hand CHECK (reserved <= on_hand),
    CONSTRAINT stock_discontinued_has_nothing_to_sell CHECK (NOT discontinued OR on_hand = reserved)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

-- One reservation an order. The order's id is the key and the reservation's id is computed from it: one
-- unique index instead of two. The lines never change, so they stand in the row instead of in a table
-- of their own, which would cost an index entry (and, with a foreign key, a look-up) a line.
CREATE TABLE reservations (
    order_id       uuid PRIMARY KEY,
    status         text        NOT NULL CHECK (status IN ('RESERVED', 'CONFIRMED', 'DEDUCTED', 'RELEASED')),
    release_reason text CHECK (release_reason IN ('CANCELLED', 'PAYMENT_FAILED', 'EXPIRED')),
    sku_ids        uuid[]      NOT NULL,
    quantities     integer[]   NOT NULL,
    expires_at     timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT reservations_reason_of_release CHECK ((status = 'RELEASED') = (release_reason IS NOT NULL)),
    CONSTRAINT reservations_lines CHECK (
        cardinality(sku_ids) BETWEEN 1 AND 100
        AND cardinality(quantities) = cardinality(sku_ids)
        AND 0 < ALL (quantities)
    )
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- For the sweeper; a reservation leaves it when it is confirmed.
CREATE INDEX reservations_expiry ON reservations (expires_at) WHERE status = 'RESERVED';

-- Every change of every SKU: what, by how much, who, why, for which order. The sums of the deltas are the
-- counters.
CREATE TABLE stock_ledger (
    sku_id         uuid        NOT NULL,
    version        bigint      NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('INITIALIZED', 'RESERVED', 'CONFIRMED', 'RELEASED',
                                                        'EXPIRED', 'DEDUCTED', 'ADJUSTED', 'SET', 'DISCONTINUED')),
    on_hand_delta  bigint      NOT NULL,
    reserved_delta bigint      NOT NULL,
    order_id       uuid,
    actor          text        NOT NULL,
    reason         text,
    channel        text CHECK (channel IN ('web', 'store', 'marketplace')),
    at             timestamptz NOT NULL,
    PRIMARY KEY (sku_id, version)
);

CREATE FUNCTION stock_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'stock_ledger is append-only' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER stock_ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION stock_ledger_is_append_only();

-- The counters as the ledger tells them.
CREATE VIEW stock_from_ledger AS
    SELECT sku_id,
           sum(on_hand_delta)::bigint  AS on_hand,
           sum(reserved_delta)::bigint AS reserved,
           max(version)                AS version
    FROM stock_ledger GROUP BY sku_id;

-- Aborts the statement that calls it when rows were not as its author took them to be. FS001 is our own
-- SQLSTATE: nothing was changed, read again and decide anew.
CREATE FUNCTION expect_rows(actual bigint, expected bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF actual <> expected THEN
        RAISE EXCEPTION '% rows were as expected, of %', actual, expected USING ERRCODE = 'FS001';
    END IF;
    RETURN true;
END $$;

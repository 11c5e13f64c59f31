-- The reconciler's corrections stand in the ledger like every other change.
ALTER TABLE stock_ledger DROP CONSTRAINT stock_ledger_kind_check;
ALTER TABLE stock_ledger ADD CONSTRAINT stock_ledger_kind_check
    CHECK (kind IN ('INITIALIZED', 'RESERVED', 'CONFIRMED', 'RELEASED', 'EXPIRED', 'DEDUCTED', 'ADJUSTED', 'SET',
                    'DISCONTINUED', 'RECONCILED')) NOT VALID;
ALTER TABLE stock_ledger VALIDATE CONSTRAINT stock_ledger_kind_check;

-- With reservations_expiry all open reservations can be found without those that are over. A reservation
-- enters it when it is confirmed, so granting costs nothing more.
CREATE INDEX reservations_confirmed ON reservations (order_id) WHERE status = 'CONFIRMED';

-- The ledger's sums up to a version, so that a look at a SKU need not add up its whole life. What is in
-- the ledger never changes, and can be added up again at any time.
CREATE TABLE stock_ledger_sums (
    sku_id   uuid PRIMARY KEY,
    version  bigint NOT NULL,
    on_hand  bigint NOT NULL,
    reserved bigint NOT NULL
) WITH (fillfactor = 50);

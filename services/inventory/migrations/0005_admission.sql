-- The SKUs that have a counter in Redis before the stock, which turns away those for whom nothing is left.
-- Every replica reads this list again and again; nothing in it says how many units there are.
CREATE TABLE admission (
    sku_id    uuid PRIMARY KEY,
    -- Over so many keys the counter is spread.
    shards    integer     NOT NULL CHECK (shards BETWEEN 1 AND 64),
    loaded_at timestamptz NOT NULL
);

-- Numbers the rebuilds of all counters: what belongs to an older one is recognised. Not a column, because a
-- rebuild that was rolled back may have reached Redis.
CREATE SEQUENCE admission_generation;

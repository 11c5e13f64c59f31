-- A price that holds for a time. Written so that the release before this one goes on working: it neither
-- knows nor touches these columns, and none is required.
ALTER TABLE variants
    ADD COLUMN sale_amount_minor bigint CHECK (sale_amount_minor BETWEEN 0 AND 1000000000000),
    -- Absent: at once, and until it is taken away.
    ADD COLUMN sale_from         timestamptz,
    ADD COLUMN sale_until        timestamptz;

-- When the price of one of its variants changes next by itself.
ALTER TABLE products ADD COLUMN price_changes_at timestamptz;
CREATE INDEX products_price_changes ON products (price_changes_at) WHERE price_changes_at IS NOT NULL;

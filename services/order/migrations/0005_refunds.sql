-- Money that goes back in parts. Nothing that stands is touched: an order that was refunded before says so by its
-- payment's status.

-- What went back in all, as payment said last.
ALTER TABLE orders ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0;
ALTER TABLE orders ADD CONSTRAINT orders_refunded_at_most_total
    CHECK (refunded_minor BETWEEN 0 AND total_minor) NOT VALID;

-- A part that goes back leaves the order's status as it is, and is an entry of its history all the same.
ALTER TABLE order_history ADD COLUMN refunded_minor bigint;

-- Every refund that was asked of this service and was given: which, of what, why, by whom.
CREATE TABLE order_refunds (
    order_id     uuid        NOT NULL,
    -- The saga that gave it back.
    refund_id    uuid        NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    -- The units that it is for, if any were named: [{"sku_id", "quantity"}].
    items        jsonb       NOT NULL,
    reason       text,
    requested_by text        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (order_id, refund_id)
);

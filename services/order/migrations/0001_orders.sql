-- Order ids are UUIDv7, in order of time: the primary key is the index of "newest first" as well, and a
-- range of ids is a range of time, by which the tables can be partitioned.

-- The moves that an order may make; the same table as `Status::may_become`, compared by a test.
CREATE TABLE order_transitions (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO order_transitions (from_status, to_status) VALUES
    ('PLACED', 'PAYMENT_PENDING'),
    ('PLACED', 'CANCELLED'),
    ('PAYMENT_PENDING', 'CONFIRMED'),
    ('PAYMENT_PENDING', 'CANCELLED'),
    ('CONFIRMED', 'SHIPPED'),
    ('CONFIRMED', 'CANCELLED'),
    ('SHIPPED', 'DELIVERED'),
    ('DELIVERED', 'REFUNDED');

CREATE TABLE orders (
    order_id         uuid        PRIMARY KEY,
    customer_id      uuid        NOT NULL,
    guest            boolean     NOT NULL,
    email            text        NOT NULL,
    cart_id          text        NOT NULL,
    status           text        NOT NULL CHECK (status IN
        ('PLACED', 'PAYMENT_PENDING', 'CONFIRMED', 'SHIPPED', 'DELIVERED', 'REFUNDED', 'CANCELLED')),
    total_minor      bigint      NOT NULL CHECK (total_minor >= 0),
    currency         text        NOT NULL,
    shipping_address jsonb       NOT NULL,
    reservation_id   uuid,
    payment_id       uuid,
    -- What payment said last; kept here, so that reading an order needs no other service.
    payment_status   text,
    -- How far along that status is: an old event never overwrites newer news.
    payment_rank     smallint    NOT NULL DEFAULT 0,
    carrier          text,
    tracking_number  text,
    cancel_reason    text,
    -- Counts the order's events from 1, without gaps.
    sequence         bigint      NOT NULL CHECK (sequence >= 1),
    -- Counts every change.
    version          bigint      NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((status = 'CANCELLED') = (cancel_reason IS NOT NULL)),
    CHECK (reservation_id IS NOT NULL OR status IN ('PLACED', 'CANCELLED')),
    CHECK (payment_id IS NOT NULL OR status IN ('PLACED', 'PAYMENT_PENDING', 'CANCELLED')),
    CHECK ((payment_id IS NULL) = (payment_status IS NULL))
);
CREATE INDEX orders_customer ON orders (customer_id, order_id DESC);

CREATE FUNCTION order_status_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'PLACED' THEN
            RAISE EXCEPTION 'an order begins as PLACED, not as %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.status <> OLD.status THEN
        PERFORM 1 FROM order_transitions WHERE from_status = OLD.status AND to_status = NEW.status;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'order %: % may not become %', OLD.order_id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_status_guard BEFORE INSERT OR UPDATE OF status ON orders
    FOR EACH ROW EXECUTE FUNCTION order_status_guard();

CREATE TABLE order_lines (
    order_id         uuid    NOT NULL,
    line_no          integer NOT NULL,
    sku_id           uuid    NOT NULL,
    product_id       uuid    NOT NULL,
    sku              text    NOT NULL,
    title            text    NOT NULL,
    quantity         integer NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    unit_price_minor bigint  NOT NULL CHECK (unit_price_minor >= 0),
    PRIMARY KEY (order_id, line_no)
);

CREATE TABLE order_history (
    order_id uuid        NOT NULL,
    sequence bigint      NOT NULL,
    status   text        NOT NULL,
    at       timestamptz NOT NULL,
    reason   text,
    PRIMARY KEY (order_id, sequence)
);

-- What is under way for an order, and who is at it.
CREATE TABLE sagas (
    saga_id         uuid        PRIMARY KEY,
    order_id        uuid        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('CHECKOUT', 'CANCEL', 'SHIP', 'REFUND')),
    step            text        NOT NULL CHECK (step IN
        ('RESERVE', 'AUTHORIZE', 'CONFIRM', 'DEDUCT', 'CAPTURE', 'REFUND', 'VOID', 'RELEASE')),
    -- STUCK is tried on, and shown to a person.
    state           text        NOT NULL CHECK (state IN ('RUNNING', 'COMPENSATING', 'STUCK', 'DONE')),
    -- Set for a checkout: while it runs nothing else may be made of the same cart.
    cart_id         text,
    -- Why what was done is being undone.
    reason          text,
    -- Somebody wants the order cancelled; heeded with the next step's record.
    cancel_requested text,
    lease_owner     uuid,
    lease_until     timestamptz,
    -- Grows with every change of driver; a write with an old fence changes nothing.
    fence           bigint      NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error      text,
    payload         jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK (state <> 'COMPENSATING' OR reason IS NOT NULL)
) WITH (fillfactor = 80);
-- One thing at a time for an order: shipping and cancelling exclude each other here.
CREATE UNIQUE INDEX sagas_one_per_order ON sagas (order_id) WHERE state <> 'DONE';
CREATE UNIQUE INDEX sagas_one_per_cart ON sagas (cart_id) WHERE state <> 'DONE' AND cart_id IS NOT NULL;

-- Every step: before it is tried, and when its outcome is known.
CREATE TABLE saga_log (
    id      bigint      GENERATED ALWAYS AS IDENTITY,
    saga_id uuid        NOT NULL,
    step    text        NOT NULL,
    event   text        NOT NULL CHECK (event IN ('STARTED', 'SUCCEEDED', 'FAILED', 'UNKNOWN', 'WAITING')),
    attempt integer     NOT NULL,
    at      timestamptz NOT NULL,
    detail  text,
    PRIMARY KEY (saga_id, id)
);

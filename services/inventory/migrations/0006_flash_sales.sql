-- A flash sale is of one SKU. Its life is DRAFT, PRELOADED, LIVE, ENDED, and never goes back.
CREATE TABLE flash_sales (
    sale_id             uuid PRIMARY KEY,
    sku_id              uuid        NOT NULL REFERENCES stock (sku_id),
    -- Who made it.
    owner               text        NOT NULL,
    name                text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    state               text        NOT NULL CHECK (state IN ('DRAFT', 'PRELOADED', 'LIVE', 'ENDED')),
    units_per_buyer_max bigint      NOT NULL CHECK (units_per_buyer_max > 0),
    waitlist_units_max  bigint      NOT NULL CHECK (waitlist_units_max >= 0),
    shards              integer     NOT NULL CHECK (shards BETWEEN 1 AND 64),
    starts_at           timestamptz,
    ends_at             timestamptz,
    -- Requests that were granted and refused while it was live; each replica adds its own about once a second.
    admitted            bigint      NOT NULL DEFAULT 0,
    refused             bigint      NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL,
    started_at          timestamptz,
    ended_at            timestamptz,
    CONSTRAINT flash_sales_times CHECK (ends_at > starts_at),
    CONSTRAINT flash_sales_started CHECK ((started_at IS NULL) OR state IN ('LIVE', 'ENDED')),
    CONSTRAINT flash_sales_live CHECK (state <> 'LIVE' OR started_at IS NOT NULL),
    CONSTRAINT flash_sales_ended CHECK ((state = 'ENDED') = (ended_at IS NOT NULL))
);

-- One sale of a SKU at a time.
CREATE UNIQUE INDEX flash_sales_open ON flash_sales (sku_id) WHERE state <> 'ENDED';

CREATE FUNCTION flash_sales_go_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (('DRAFT', 'PRELOADED'), ('PRELOADED', 'LIVE'), ('LIVE', 'ENDED'),
                                      ('DRAFT', 'ENDED'), ('PRELOADED', 'ENDED')) THEN
        RAISE EXCEPTION 'a flash sale does not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER flash_sales_state BEFORE UPDATE OF state ON flash_sales
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION flash_sales_go_forward();

-- The sale that a SKU stands under, read with the counters it changes the meaning of: while one is not live
-- nothing is sold, and each buyer has a limit. Every change comes with a new version.
ALTER TABLE stock
    ADD COLUMN sale_id uuid,
    ADD COLUMN sale_units_max bigint,
    ADD COLUMN sale_live boolean NOT NULL DEFAULT false,
    -- Units that the waitlist asks for: what comes free is theirs before it is anybody's.
    ADD COLUMN waiting bigint NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    ADD CONSTRAINT stock_sale CHECK ((sale_id IS NULL) = (sale_units_max IS NULL) AND (sale_live <= (sale_id IS NOT NULL))),
    ADD CONSTRAINT stock_waiting_in_a_live_sale CHECK (waiting = 0 OR sale_live);

-- What counts towards a buyer's limit: a row comes with the grant and goes with the release, in the same
-- transaction and under the SKU's lock.
CREATE TABLE flash_sale_purchases (
    sale_id  uuid   NOT NULL,
    buyer_id uuid   NOT NULL,
    order_id uuid   NOT NULL,
    units    bigint NOT NULL CHECK (units > 0),
    PRIMARY KEY (sale_id, buyer_id, order_id)
);

CREATE SEQUENCE waitlist_position;

-- The line for what comes free in a sale that is sold out. Positions are taken under the SKU's lock, so their
-- order is the order of arrival. The hold that a ticket is granted is the reservation of the order with the
-- ticket's id: a ticket is granted once, whatever happens.
CREATE TABLE waitlist (
    ticket_id       uuid PRIMARY KEY,
    sale_id         uuid        NOT NULL REFERENCES flash_sales (sale_id),
    sku_id          uuid        NOT NULL,
    buyer_id        uuid        NOT NULL,
    units           integer     NOT NULL CHECK (units > 0),
    position        bigint      NOT NULL,
    status          text        NOT NULL CHECK (status IN ('WAITING', 'GRANTED', 'EXPIRED', 'CANCELLED', 'SALE_ENDED')),
    created_at      timestamptz NOT NULL,
    -- Until when it stays in line.
    expires_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    hold_expires_at timestamptz,
    CONSTRAINT waitlist_ended CHECK ((status = 'WAITING') = (ended_at IS NULL)),
    CONSTRAINT waitlist_hold CHECK ((status = 'GRANTED') = (hold_expires_at IS NOT NULL))
);

CREATE INDEX waitlist_line ON waitlist (sku_id, position) WHERE status = 'WAITING';
CREATE INDEX waitlist_expiry ON waitlist (sku_id, expires_at) WHERE status = 'WAITING';
CREATE UNIQUE INDEX waitlist_one_ticket ON waitlist (sku_id, buyer_id) WHERE status = 'WAITING';

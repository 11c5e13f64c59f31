-- The one place of an order: taken by its payment, or by a void that came before it. Whoever inserts
-- the row first wins; the other one waits for the row and then sees it.
CREATE TABLE order_slots (
    order_id    uuid        PRIMARY KEY,
    -- NULL: the order was given up before it was paid, and will not be paid.
    payment_id  uuid,
    reason      text,
    created_at  timestamptz NOT NULL,
    CHECK ((payment_id IS NULL) = (reason IS NOT NULL))
);

CREATE TABLE payments (
    payment_id        uuid        PRIMARY KEY,
    order_id          uuid        NOT NULL UNIQUE,
    customer_id       uuid        NOT NULL,
    amount_minor      bigint      NOT NULL CHECK (amount_minor > 0),
    currency          text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- The provider's token; never a card number.
    payment_method    text        NOT NULL CHECK (payment_method ~ '^pm_' AND payment_method !~ '[0-9]{13}'),
    status            text        NOT NULL CHECK (status IN ('PENDING', 'REQUIRES_ACTION', 'AUTHORIZED',
                                      'DECLINED', 'CAPTURED', 'VOIDED', 'REFUNDED', 'FAILED')),
    provider_intent   text        UNIQUE,
    authorized_minor  bigint      NOT NULL DEFAULT 0 CHECK (authorized_minor IN (0, amount_minor)),
    captured_minor    bigint      NOT NULL DEFAULT 0 CHECK (captured_minor BETWEEN 0 AND authorized_minor),
    refunded_minor    bigint      NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    redirect_url      text,
    capture_before    timestamptz,
    -- Why it was declined, failed or voided.
    reason            text,
    void_requested_at timestamptz,
    sequence          bigint      NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK ((status IN ('CAPTURED', 'REFUNDED')) = (captured_minor > 0)),
    CHECK ((status = 'REFUNDED') = (captured_minor > 0 AND refunded_minor = captured_minor)),
    CHECK (status NOT IN ('AUTHORIZED', 'CAPTURED', 'REFUNDED') OR authorized_minor = amount_minor),
    CHECK (status NOT IN ('PENDING', 'REQUIRES_ACTION', 'DECLINED', 'FAILED') OR authorized_minor = 0),
    CHECK ((status IN ('DECLINED', 'VOIDED', 'FAILED')) = (reason IS NOT NULL)),
    CHECK (status <> 'REQUIRES_ACTION' OR redirect_url IS NOT NULL)
);
-- For the recovery worker: what must still be let go.
CREATE INDEX payments_to_void ON payments (void_requested_at)
    WHERE void_requested_at IS NOT NULL AND status IN ('PENDING', 'REQUIRES_ACTION', 'AUTHORIZED');

-- Every request to the provider: written before it is tried and after its outcome is known.
CREATE TABLE payment_operations (
    operation_id uuid        PRIMARY KEY,
    payment_id   uuid        NOT NULL REFERENCES payments (payment_id),
    kind         text        NOT NULL CHECK (kind IN ('AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND')),
    -- The provider does what bears this key at most once.
    provider_key text        NOT NULL,
    amount_minor bigint      CHECK (amount_minor > 0),
    state        text        NOT NULL CHECK (state IN ('STARTED', 'UNKNOWN', 'SUCCEEDED', 'REFUSED', 'ABANDONED')),
    -- Why it was refused, or what was last heard.
    note         text,
    attempt      integer     NOT NULL DEFAULT 1,
    -- Until then somebody drives it.
    leased_until timestamptz NOT NULL,
    next_try_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    CHECK ((finished_at IS NULL) = (state IN ('STARTED', 'UNKNOWN'))),
    CHECK ((kind IN ('CAPTURE', 'REFUND')) = (amount_minor IS NOT NULL))
);
CREATE INDEX payment_operations_payment ON payment_operations (payment_id);
-- One at a time: no capture beside a void, no two refunds of the same money.
CREATE UNIQUE INDEX payment_operations_one_open ON payment_operations (payment_id)
    WHERE state IN ('STARTED', 'UNKNOWN');
CREATE INDEX payment_operations_open ON payment_operations (next_try_at)
    WHERE state IN ('STARTED', 'UNKNOWN');

-- The books: append-only, double entry.
CREATE TABLE ledger_entries (
    payment_id   uuid        NOT NULL REFERENCES payments (payment_id),
    -- The payment's sequence: one transaction of the books for one step of the payment.
    sequence     bigint      NOT NULL,
    line         smallint    NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('AUTHORIZE', 'CAPTURE', 'REFUND', 'VOID')),
    account      text        NOT NULL CHECK (account IN ('HELD', 'HELD_FOR_CUSTOMER',
                                 'PROVIDER_RECEIVABLE', 'CUSTOMER_PAYMENTS')),
    amount_minor bigint      NOT NULL CHECK (amount_minor <> 0),
    currency     text        NOT NULL,
    posted_at    timestamptz NOT NULL,
    PRIMARY KEY (payment_id, sequence, line)
);

-- A transaction comes whole, in one statement, and sums to zero.
CREATE FUNCTION ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM posted GROUP BY payment_id, sequence, currency HAVING sum(amount_minor) <> 0) THEN
        RAISE EXCEPTION 'a ledger transaction does not sum to zero' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_balances AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION ledger_balances();

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

-- Webhooks that were taken; one that comes again changes nothing.
CREATE TABLE provider_events (
    event_id    text        PRIMARY KEY,
    kind        text        NOT NULL,
    payment_id  uuid        NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX provider_events_received_at ON provider_events (received_at);

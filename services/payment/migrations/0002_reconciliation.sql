-- For the recovery worker: what nobody captured in time.
CREATE INDEX payments_expiring ON payments (capture_before)
    WHERE status = 'AUTHORIZED' AND void_requested_at IS NULL;

-- Comparisons of our books with the provider's: one at a time, resumed where a process left it.
CREATE TABLE reconciliation_runs (
    run_id       uuid        PRIMARY KEY,
    -- Who asked for it; NULL: it was time.
    asked_by     uuid,
    window_from  timestamptz NOT NULL,
    window_until timestamptz NOT NULL,
    phase        text        NOT NULL CHECK (phase IN ('INTENTS', 'REFUNDS', 'OURS', 'OPEN', 'DONE')),
    -- Where the phase goes on.
    cursor       text,
    checked      bigint      NOT NULL DEFAULT 0,
    differences  bigint      NOT NULL DEFAULT 0,
    repaired     bigint      NOT NULL DEFAULT 0,
    -- Counts the drivers: the fence.
    attempt      integer     NOT NULL DEFAULT 1,
    leased_until timestamptz NOT NULL,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    CHECK (window_from <= window_until),
    CHECK ((phase = 'DONE') = (finished_at IS NOT NULL))
);
CREATE UNIQUE INDEX reconciliation_runs_one_open ON reconciliation_runs ((true)) WHERE finished_at IS NULL;
CREATE INDEX reconciliation_runs_started_at ON reconciliation_runs (started_at);

-- Payments that a run has met at the provider; gone when the run is over.
CREATE TABLE reconciliation_seen (
    run_id     uuid NOT NULL REFERENCES reconciliation_runs (run_id),
    payment_id uuid NOT NULL,
    PRIMARY KEY (run_id, payment_id)
);

-- What differs, or did: one row for an intent and a kind, however many runs meet it.
CREATE TABLE reconciliation_differences (
    difference_id   uuid        PRIMARY KEY,
    provider_intent text        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('MISSING_AT_PROVIDER', 'MISSING_HERE',
                                    'DUPLICATE_INTENT', 'AMOUNT_DIFFERS', 'STATE_DIFFERS')),
    payment_id      uuid,
    order_id        uuid,
    ours            text        NOT NULL,
    theirs          text        NOT NULL,
    run_id          uuid        NOT NULL,
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    -- We have taken over what the provider says.
    repaired_at     timestamptz,
    -- A later run did not find it any more.
    gone_at         timestamptz,
    UNIQUE (provider_intent, kind)
);
CREATE INDEX reconciliation_differences_open ON reconciliation_differences (difference_id)
    WHERE repaired_at IS NULL AND gone_at IS NULL;

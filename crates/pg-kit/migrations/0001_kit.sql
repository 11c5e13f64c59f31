-- Events that are committed and not yet published. Rows live for milliseconds.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text        NOT NULL,
    key         text        NOT NULL,
    event_id    uuid        NOT NULL,
    event_type  text        NOT NULL,
    source      text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    sequence    bigint      NOT NULL,
    traceparent text,
    payload     bytea       NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

-- Events that this service has applied; an event that is here is not applied again.
CREATE TABLE inbox (
    consumer_group text        NOT NULL,
    event_id       uuid        NOT NULL,
    received_at    timestamptz NOT NULL,
    PRIMARY KEY (consumer_group, event_id)
);
CREATE INDEX inbox_received_at ON inbox (received_at);

-- Requests that move money or stock, by caller and Idempotency-Key, with the answer once it is known.
CREATE TABLE idempotency_keys (
    caller          text        NOT NULL,
    key             text        NOT NULL,
    request_hash    bytea       NOT NULL,
    resource_id     uuid        NOT NULL,
    locked_until    timestamptz,
    response_status smallint,
    response_body   bytea,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (caller, key),
    CHECK ((response_status IS NULL) = (response_body IS NULL))
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

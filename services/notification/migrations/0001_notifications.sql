-- One row per message to one person about one event. A row is inserted with its event's inbox row, in one
-- transaction, and sent afterwards.
CREATE TABLE notifications (
    notification_id uuid        PRIMARY KEY,
    -- The ce_id of the event that it tells of.
    event_id        uuid        NOT NULL,
    order_id        uuid        NOT NULL,
    order_sequence  bigint      NOT NULL,
    customer_id     uuid        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('order_confirmed', 'order_shipped', 'order_delivered',
                                                         'order_cancelled', 'order_refunded')),
    channel         text        NOT NULL CHECK (channel IN ('email')),
    -- Personal data: the e-mail address.
    recipient       text        NOT NULL,
    subject         text        NOT NULL,
    -- What the templates are filled with.
    content         jsonb       NOT NULL,
    traceparent     text,
    status          text        NOT NULL CHECK (status IN ('PENDING', 'SENT', 'FAILED')),
    -- Times a replica took it up, and how often the mail server refused it for now.
    attempts        integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    refusals        integer     NOT NULL DEFAULT 0 CHECK (refusals >= 0),
    -- When it may be taken up; while a replica sends it, the end of that replica's lease.
    next_attempt_at timestamptz NOT NULL,
    -- Names the last lease, so that a replica that was too slow cannot reschedule what another one sends.
    lease           uuid,
    -- Why the last try failed; never holds an address.
    last_error      text,
    created_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    -- Behind the inbox: even an event that was published under two ids leads to one message.
    UNIQUE (order_id, order_sequence, kind, channel)
);
CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE status = 'PENDING';
CREATE INDEX notifications_of_customer ON notifications (customer_id, notification_id DESC);
-- Few rows ever; they are counted for the metrics.
CREATE INDEX notifications_failed ON notifications (created_at) WHERE status = 'FAILED';

-- Webhooks of merchants. Whose a product is comes from catalog-events: the events of orders and stock do not say.
CREATE TABLE products (
    product_id  uuid   PRIMARY KEY,
    merchant_id uuid   NOT NULL,
    -- Of the newest event: one that comes late changes nothing.
    version     bigint NOT NULL
);
-- A variant that was sold stays known after its product drops it.
CREATE TABLE skus (
    sku_id     uuid PRIMARY KEY,
    product_id uuid NOT NULL
);

CREATE TABLE webhook_endpoints (
    endpoint_id     uuid        PRIMARY KEY,
    merchant_id     uuid        NOT NULL,
    url             text        NOT NULL,
    description     text        NOT NULL,
    -- Empty: all.
    event_types     text[]      NOT NULL,
    status          text        NOT NULL CHECK (status IN ('ENABLED', 'DISABLED')),
    disabled_reason text        CHECK (disabled_reason IN ('OWNER', 'FAILING', 'GONE')),
    -- Sealed with a key that stands in the configuration: nonce, AES-256-GCM, bound to endpoint_id.
    secret          bytea       NOT NULL,
    -- The one before a rotation; it signs as well until then.
    previous_secret bytea,
    previous_until  timestamptz,
    -- Personal data: where the owner is told that it was disabled.
    owner_email     text,
    -- Tries that failed since the last that did not, and when the first of them was.
    failures        integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since   timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK ((status = 'DISABLED') = (disabled_reason IS NOT NULL)),
    CHECK ((failures > 0) = (failing_since IS NOT NULL)),
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);
CREATE INDEX webhook_endpoints_of_merchant ON webhook_endpoints (merchant_id, endpoint_id);
CREATE INDEX webhook_endpoints_enabled ON webhook_endpoints (endpoint_id) WHERE status = 'ENABLED';

-- What is told to one merchant of one event. Its id is the webhook-id, the same on every try.
CREATE TABLE webhook_messages (
    message_id  uuid        PRIMARY KEY,
    merchant_id uuid        NOT NULL,
    event_type  text        NOT NULL,
    -- The very bytes that are signed.
    body        text        NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL
);
CREATE INDEX webhook_messages_old ON webhook_messages (created_at);

-- One row per message and endpoint, and one more for each redelivery.
CREATE TABLE webhook_deliveries (
    delivery_id     uuid        PRIMARY KEY,
    message_id      uuid        NOT NULL REFERENCES webhook_messages ON DELETE CASCADE,
    endpoint_id     uuid        NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    status          text        NOT NULL CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
    attempts        integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- When it may be taken up; while a replica delivers it, the end of that replica's lease.
    next_attempt_at timestamptz NOT NULL,
    lease           uuid,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    CHECK ((status = 'PENDING') = (ended_at IS NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at) WHERE status = 'PENDING';
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (endpoint_id) WHERE lease IS NOT NULL;
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, delivery_id);
CREATE INDEX webhook_deliveries_of_message ON webhook_deliveries (message_id);

-- The log of the tries.
CREATE TABLE webhook_attempts (
    delivery_id uuid        NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    attempt     integer     NOT NULL,
    at          timestamptz NOT NULL,
    duration_ms integer     NOT NULL,
    -- NULL when there was no answer; why, says error.
    status_code integer,
    error       text,
    PRIMARY KEY (delivery_id, attempt)
);

-- The owner of an endpoint is written to about no order. An old replica meets such a row only after a new one has
-- disabled an endpoint.
ALTER TABLE notifications ALTER COLUMN order_id DROP NOT NULL;
ALTER TABLE notifications DROP CONSTRAINT notifications_kind_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_kind_check
    CHECK (kind IN ('order_confirmed', 'order_shipped', 'order_delivered', 'order_cancelled', 'order_refunded',
                    'webhook_disabled'));

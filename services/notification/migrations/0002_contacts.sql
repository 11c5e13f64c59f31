-- The language of a message, and how its reader wants to be written to.
ALTER TABLE notifications ADD COLUMN locale text NOT NULL DEFAULT 'en';

-- A customer, or a guest, who has said how.
CREATE TABLE contacts (
    customer_id uuid        PRIMARY KEY,
    -- NULL: the shop's default.
    locale      text,
    updated_at  timestamptz NOT NULL
);

-- Where a customer differs from the defaults; read together with the contact.
CREATE TABLE preferences (
    customer_id uuid        NOT NULL,
    channel     text        NOT NULL CHECK (channel IN ('email')),
    kind        text        NOT NULL,
    enabled     boolean     NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (customer_id, channel, kind)
);

-- How far the imports of each merchant have come. A row is written in the transactions that save the products.
CREATE TABLE imports (
    merchant_id  uuid        NOT NULL,
    -- Chosen by the merchant's program, or made for it.
    import_id    uuid        NOT NULL,
    format       text        NOT NULL CHECK (format IN ('ndjson', 'csv')),
    -- The header of a CSV file, known with its first products.
    columns      text[],
    -- Grows with every request that goes on with the import: the one before writes nothing any more.
    attempt      integer     NOT NULL CHECK (attempt >= 1),
    -- All lines up to this one are saved or told to be wrong, for good.
    lines_done   bigint      NOT NULL DEFAULT 0 CHECK (lines_done >= 0),
    -- Of these lines.
    digest       bytea       NOT NULL CHECK (octet_length(digest) = 32),
    created      bigint      NOT NULL DEFAULT 0,
    updated      bigint      NOT NULL DEFAULT 0,
    unchanged    bigint      NOT NULL DEFAULT 0,
    failed       bigint      NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    completed_at timestamptz,
    PRIMARY KEY (merchant_id, import_id)
);
CREATE INDEX imports_forgotten ON imports (updated_at);

-- The first of the lines that failed.
CREATE TABLE import_errors (
    merchant_id uuid   NOT NULL,
    import_id   uuid   NOT NULL,
    line        bigint NOT NULL,
    errors      jsonb  NOT NULL CHECK (jsonb_typeof(errors) = 'array'),
    PRIMARY KEY (merchant_id, import_id, line),
    FOREIGN KEY (merchant_id, import_id) REFERENCES imports ON DELETE CASCADE
);

-- A machine's credentials: it signs in with them as the user who made them, with some of their roles.
CREATE TABLE api_keys (
    key_id      uuid        PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- SHA-256 of the secret; the secret itself is nowhere.
    secret_hash bytea       NOT NULL CHECK (length(secret_hash) = 32),
    scope       text        NOT NULL CHECK (scope IN ('read', 'write')),
    roles       text[]      NOT NULL CHECK (
        cardinality(roles) BETWEEN 1 AND 5
        AND roles <@ ARRAY['customer', 'merchant', 'warehouse', 'support', 'admin']
    ),
    created_at  timestamptz NOT NULL,
    -- NULL is until it is revoked.
    expires_at  timestamptz CHECK (expires_at > created_at),
    revoked_at  timestamptz
);
CREATE INDEX api_keys_user_id ON api_keys (user_id, key_id);

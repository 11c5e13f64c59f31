CREATE TABLE users (
    user_id       uuid        PRIMARY KEY,
    -- Lower case: two spellings of one mailbox are one account.
    email         text        NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) <= 254),
    name          text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    password_hash text        NOT NULL,
    roles         text[]      NOT NULL CHECK (
        cardinality(roles) BETWEEN 1 AND 5
        AND roles <@ ARRAY['customer', 'merchant', 'warehouse', 'support', 'admin']
    ),
    -- Grows with every change; a change that was based on an older row is refused.
    version       bigint      NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- One login of a user, or one guest: the family of refresh tokens that descend from it.
CREATE TABLE sessions (
    session_id uuid        PRIMARY KEY,
    -- NULL is a guest, whose id is the session's.
    user_id    uuid        REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    -- Pushed on by every refresh.
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    -- LOGOUT, REUSE, PASSWORD_CHANGED
    revoked_for text,
    CHECK ((revoked_at IS NULL) = (revoked_for IS NULL))
);
CREATE INDEX sessions_user_id ON sessions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Used tokens stay until their session goes, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    -- SHA-256 of the token; the token itself is nowhere.
    token_hash bytea       PRIMARY KEY CHECK (length(token_hash) = 32),
    session_id uuid        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at  timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

-- One-time links that are mailed: asked for, mailed, used. The row is written before anybody looks whether there is such
-- an account, so that asking tells nothing, neither by its answer nor by its time.
CREATE TABLE mailed_links (
    link_id         uuid        PRIMARY KEY,
    purpose         text        NOT NULL CHECK (purpose IN ('PASSWORD_RESET')),
    -- Lower case, as in users.
    email           text        NOT NULL CHECK (length(email) <= 254),
    -- Known once the link is made.
    user_id         uuid        REFERENCES users ON DELETE CASCADE,
    -- SHA-256 of the token in the link; the token itself is in the mail alone.
    token_hash      bytea       UNIQUE CHECK (length(token_hash) = 32),
    asked_at        timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL CHECK (expires_at > asked_at),
    -- When it is tried to be mailed next; NULL when there is nothing to do any more.
    next_attempt_at timestamptz,
    used_at         timestamptz,
    CHECK ((token_hash IS NULL) OR (user_id IS NOT NULL))
);
CREATE INDEX mailed_links_due ON mailed_links (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX mailed_links_email ON mailed_links (email, asked_at);
CREATE INDEX mailed_links_user_id ON mailed_links (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX mailed_links_expires_at ON mailed_links (expires_at);

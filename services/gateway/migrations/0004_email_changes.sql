-- Links that change an account's e-mail address: EMAIL_CHANGE is mailed to the new address, EMAIL_RESTORE, once it is the
-- account's, to the one before. `email` is in both cases the address that the link was mailed to and that it sets.
ALTER TABLE mailed_links DROP CONSTRAINT mailed_links_purpose_check;
ALTER TABLE mailed_links ADD CONSTRAINT mailed_links_purpose_check
    CHECK (purpose IN ('PASSWORD_RESET', 'EMAIL_CHANGE', 'EMAIL_RESTORE'));
-- The login from which a change was asked for: it goes on when the others end.
ALTER TABLE mailed_links ADD COLUMN session_id uuid;

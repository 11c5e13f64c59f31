-- The network address that a login came from, as limits tell addresses apart (of IPv6 the /64): strangers who guess at an
-- account's password do not lock out who logs in from there. It goes with the session.
ALTER TABLE sessions ADD COLUMN address text;

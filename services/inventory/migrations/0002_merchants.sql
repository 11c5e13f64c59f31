-- Whose stock it is, as the catalog says; learned when it is first needed. Rows that are older than this
-- column, or that an administrator made, have none until then. It is never changed once it stands.
ALTER TABLE stock ADD COLUMN merchant_id uuid;

-- For whom units are set aside, where that is known: a hold belongs to its buyer, and a flash sale counts
-- units by buyer. It never changes once it stands.
ALTER TABLE reservations ADD COLUMN buyer_id uuid;

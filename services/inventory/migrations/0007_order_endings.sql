-- An order that was given up before it had a reservation leaves one that is released and holds nothing: a
-- request to reserve that comes late finds the order over.
ALTER TABLE reservations DROP CONSTRAINT reservations_lines;
ALTER TABLE reservations ADD CONSTRAINT reservations_lines CHECK (
    cardinality(sku_ids) BETWEEN CASE WHEN status = 'RELEASED' THEN 0 ELSE 1 END AND 100
    AND cardinality(quantities) = cardinality(sku_ids)
    AND 0 < ALL (quantities)
) NOT VALID;
ALTER TABLE reservations VALIDATE CONSTRAINT reservations_lines;

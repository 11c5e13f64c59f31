-- An order that is made from a hold has no cart.
ALTER TABLE orders ALTER COLUMN cart_id DROP NOT NULL;
-- What an order is paid with that was placed without a payment method; written once, beside the driver's
-- own record, and forgotten at the end.
ALTER TABLE sagas ADD COLUMN payment_method text;

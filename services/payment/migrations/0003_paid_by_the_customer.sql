-- A payment whose customer chooses the method, at the provider; beside the old code, which always gives one.
ALTER TABLE payments ALTER COLUMN payment_method DROP NOT NULL;

-- A declined intent could still be confirmed by whoever has its client secret: it is cancelled at the provider.
-- Since when it is, or cannot be confirmed any more for another reason.
ALTER TABLE payments ADD COLUMN let_go_at timestamptz;
CREATE INDEX payments_to_let_go ON payments (void_requested_at)
    WHERE status = 'DECLINED' AND void_requested_at IS NOT NULL AND let_go_at IS NULL;

-- Orders, their lines and their histories by month. Order ids are UUIDv7: a range of ids is a range of time, so
-- the primary key stays what it is and is unique across the months, as are the Idempotency-Keys and the sagas,
-- whose tables are not divided.
--
-- The tables as they stand become the first partitions, up to the end of this month; nothing is copied. Code of
-- the version before goes on with the same names.

SET LOCAL lock_timeout = '10s';

-- The lowest id of a moment.
CREATE FUNCTION order_id_floor(at timestamptz) RETURNS uuid LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

DROP TRIGGER order_status_guard ON orders;

ALTER TABLE orders RENAME TO orders_first;
ALTER INDEX orders_pkey RENAME TO orders_first_pkey;
ALTER INDEX orders_customer RENAME TO orders_first_customer;
CREATE TABLE orders (LIKE orders_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (order_id);
ALTER TABLE orders ADD CONSTRAINT orders_pkey PRIMARY KEY (order_id);
CREATE INDEX orders_customer ON orders (customer_id, order_id DESC);

ALTER TABLE order_lines RENAME TO order_lines_first;
ALTER INDEX order_lines_pkey RENAME TO order_lines_first_pkey;
CREATE TABLE order_lines (LIKE order_lines_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (order_id);
ALTER TABLE order_lines ADD CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, line_no);

ALTER TABLE order_history RENAME TO order_history_first;
ALTER INDEX order_history_pkey RENAME TO order_history_first_pkey;
CREATE TABLE order_history (LIKE order_history_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (order_id);
ALTER TABLE order_history ADD CONSTRAINT order_history_pkey PRIMARY KEY (order_id, sequence);

DO $$
DECLARE
    until uuid := order_id_floor((date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['orders', 'order_lines', 'order_history'] LOOP
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                       parent, parent || '_first', until);
        -- For ids of times that no partition was made for: an order is never refused for its id.
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_other', parent);
    END LOOP;
END $$;

-- Room in each page from now on, so that a change of status touches no index.
ALTER TABLE orders_first SET (fillfactor = 80);

CREATE TRIGGER order_status_guard BEFORE INSERT OR UPDATE OF status ON orders
    FOR EACH ROW EXECUTE FUNCTION order_status_guard();

-- Makes the partitions of the month of `at` and of the months after it, where they are missing. Answers how many
-- were made. A month is a partition of all three tables, or of none.
CREATE FUNCTION make_order_partitions(at timestamptz, months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    suffix text;
    month timestamptz;
    made integer := 0;
BEGIN
    -- One replica at a time; and rather later than keeping checkouts waiting.
    PERFORM pg_advisory_xact_lock(hashtext('make_order_partitions'));
    PERFORM set_config('lock_timeout', '1s', true);
    FOR ahead IN 0..months_ahead LOOP
        month := (date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC';
        suffix := to_char(month AT TIME ZONE 'UTC', '"_y"YYYY"m"MM');
        CONTINUE WHEN to_regclass('orders' || suffix) IS NOT NULL;
        BEGIN
            FOREACH parent IN ARRAY ARRAY['orders', 'order_lines', 'order_history'] LOOP
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = %s)',
                               parent || suffix, parent, order_id_floor(month),
                               order_id_floor((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'),
                               CASE parent WHEN 'orders' THEN 80 ELSE 100 END);
            END LOOP;
            made := made + 1;
        -- The first partition has this month already.
        EXCEPTION WHEN invalid_object_definition THEN
            NULL;
        END;
    END LOOP;
    RETURN made;
END $$;

SELECT make_order_partitions(now(), 3);

CREATE TABLE categories (
    category_id uuid        PRIMARY KEY,
    slug        text        NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    name        text        NOT NULL,
    parent_id   uuid        REFERENCES categories,
    -- The slugs from the root down to this one. A category never moves, so it is written once.
    path        text[]      NOT NULL CHECK (path[cardinality(path)] = slug),
    created_at  timestamptz NOT NULL
);

CREATE TABLE products (
    product_id   uuid        PRIMARY KEY,
    merchant_id  uuid        NOT NULL,
    handle       text        NOT NULL,
    title        text        NOT NULL,
    description  text        NOT NULL,
    brand        text        NOT NULL,
    category_id  uuid        NOT NULL REFERENCES categories,
    attributes   jsonb       NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
    images       jsonb       NOT NULL CHECK (jsonb_typeof(images) = 'array'),
    status       text        NOT NULL CHECK (status IN ('draft', 'active', 'archived')),
    -- Kept beside the reviews, in their transactions: the average costs no scan.
    rating_sum   bigint      NOT NULL DEFAULT 0,
    rating_count integer     NOT NULL DEFAULT 0,
    -- Grows by one with every change, reviews included: the sequence of the product's events.
    version      bigint      NOT NULL CHECK (version >= 1),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (merchant_id, handle),
    CHECK (rating_count >= 0 AND rating_sum BETWEEN rating_count AND 5 * rating_count::bigint)
);
-- Browsing, newest first; ids are in order of time.
CREATE INDEX products_active          ON products (product_id DESC) WHERE status = 'active';
CREATE INDEX products_active_category ON products (category_id, product_id DESC) WHERE status = 'active';
CREATE INDEX products_active_brand    ON products (brand, product_id DESC) WHERE status = 'active';
CREATE INDEX products_active_both     ON products (brand, category_id, product_id DESC) WHERE status = 'active';

CREATE TABLE variants (
    sku_id       uuid     PRIMARY KEY,
    product_id   uuid     NOT NULL REFERENCES products,
    merchant_id  uuid     NOT NULL,
    sku          text     NOT NULL,
    -- The place among the product's variants.
    position     smallint NOT NULL CHECK (position >= 0),
    options      jsonb    NOT NULL CHECK (jsonb_typeof(options) = 'object'),
    amount_minor bigint   NOT NULL CHECK (amount_minor BETWEEN 0 AND 1000000000000),
    currency     text     NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- A variant that its product no longer has stays, so that its SKU keeps its id for good.
    listed       boolean  NOT NULL,
    UNIQUE (merchant_id, sku)
);
CREATE INDEX variants_product ON variants (product_id);

CREATE TABLE reviews (
    review_id   uuid        PRIMARY KEY,
    product_id  uuid        NOT NULL REFERENCES products,
    customer_id uuid        NOT NULL,
    rating      smallint    NOT NULL CHECK (rating BETWEEN 1 AND 5),
    title       text        NOT NULL,
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL,
    UNIQUE (product_id, customer_id)
);
CREATE INDEX reviews_newest ON reviews (product_id, review_id DESC);

-- Who got which product delivered, known from order-events: they may review it.
CREATE TABLE delivered_purchases (
    customer_id  uuid        NOT NULL,
    product_id   uuid        NOT NULL,
    delivered_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, product_id)
);

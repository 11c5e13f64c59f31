-- Written so that the release before this one goes on working: all new columns have defaults.
ALTER TABLE reviews
    ADD COLUMN status        text        NOT NULL DEFAULT 'published'
        CHECK (status IN ('pending', 'published', 'rejected')),
    ADD COLUMN helpful_count integer     NOT NULL DEFAULT 0 CHECK (helpful_count >= 0),
    -- When its author last changed it.
    ADD COLUMN edited_at     timestamptz;
-- Tells a product's rating without a look at the reviews.
CREATE INDEX reviews_rated ON reviews (product_id, rating) WHERE status = 'published';
CREATE INDEX reviews_to_moderate ON reviews (review_id) WHERE status = 'pending';

-- Ratings of 1, 2, 3, 4 and 5 stars. Counted anew with every change of a review that is published.
ALTER TABLE products
    ADD COLUMN rating_histogram integer[] NOT NULL DEFAULT '{0,0,0,0,0}' CHECK (cardinality(rating_histogram) = 5);
UPDATE products p
   SET rating_histogram = ARRAY(SELECT count(r.rating)::integer
                                  FROM generate_series(1, 5) AS stars
                                  LEFT JOIN reviews r ON r.product_id = p.product_id AND r.rating = stars
                                 GROUP BY stars ORDER BY stars)
 WHERE rating_count > 0;

CREATE TABLE review_votes (
    review_id   uuid        NOT NULL REFERENCES reviews ON DELETE CASCADE,
    customer_id uuid        NOT NULL,
    voted_at    timestamptz NOT NULL,
    PRIMARY KEY (review_id, customer_id)
);

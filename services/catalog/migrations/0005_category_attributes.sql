-- Which attributes the products of a category have, and of those below it. The release before this one neither knows
-- nor checks it.
ALTER TABLE categories ADD COLUMN attributes jsonb CHECK (jsonb_typeof(attributes) = 'object');

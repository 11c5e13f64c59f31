use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{CategoryId, ProductId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, Row};
use uuid::Uuid;

use super::expect_rows;
use crate::domain::{CategoryRef, Product, Rating, Status};

/// Advisory locks of this class are merchants'; the relay's lock is in PostgreSQL's other key space.
const MERCHANT_LOCK_CLASS: i32 = 1;

/// A product with its category and its listed variants, from one snapshot.
macro_rules! select_products {
    ($filter:literal) => {
        concat!(
            "SELECT p.product_id, p.merchant_id, p.handle, p.title, p.description, p.brand, p.category_id,
                    c.slug AS category_slug, c.path AS category_path, p.attributes, p.images, p.status,
                    p.rating_histogram, p.version, p.created_at, p.updated_at,
                    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                                'sku_id', v.sku_id, 'sku', v.sku, 'options', v.options,
                                'price', jsonb_build_object('amount_minor', v.amount_minor,
                                                            'currency', v.currency),
                                'sale', CASE WHEN v.sale_amount_minor IS NOT NULL THEN jsonb_build_object(
                                    'price', jsonb_build_object('amount_minor', v.sale_amount_minor,
                                                                'currency', v.currency),
                                    'from', v.sale_from, 'until', v.sale_until) END)
                                ORDER BY v.position), '[]')
                       FROM variants v WHERE v.product_id = p.product_id AND v.listed) AS variants
               FROM products p JOIN categories c ON c.category_id = p.category_id ",
            $filter
        )
    };
}

/// Makes the writes of one merchant take turns, until the transaction ends: whatever they look at
/// (handles, article numbers, contents) stands still. Merchants do not wait for each other.
pub(crate) async fn lock_merchant(conn: &mut PgConnection, merchant: UserId) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
        .bind(MERCHANT_LOCK_CLASS)
        .bind(merchant.to_string())
        .execute(conn)
        .await
        .op("products.lock_merchant")?;
    Ok(())
}

/// Locks the rows in the order of their ids. Load them afterwards, in a statement of its own: one that
/// waited for a lock would see the variants as they were before it waited.
pub(crate) async fn lock(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query("SELECT 1 FROM products WHERE product_id = ANY($1) ORDER BY product_id FOR NO KEY UPDATE")
        .bind(ids)
        .execute(conn)
        .await
        .op("products.lock")?;
    Ok(())
}

pub(crate) async fn ids_by_handles(
    conn: &mut PgConnection,
    merchant: UserId,
    handles: &[&str],
) -> Result<Vec<Uuid>, StoreError> {
    sqlx::query_scalar("SELECT product_id FROM products WHERE merchant_id = $1 AND handle = ANY($2)")
        .bind(merchant.as_uuid())
        .bind(handles)
        .fetch_all(conn)
        .await
        .op("products.ids_by_handles")
}

pub(crate) async fn merchant_of(
    conn: &mut PgConnection,
    id: ProductId,
) -> Result<Option<(UserId, Status)>, StoreError> {
    const OP: &str = "products.merchant_of";
    let row = sqlx::query("SELECT merchant_id, status FROM products WHERE product_id = $1")
        .bind(id.as_uuid())
        .fetch_optional(conn)
        .await
        .op(OP)?;
    let Some(row) = row else { return Ok(None) };
    let merchant = UserId(row.try_get("merchant_id").op(OP)?);
    Ok(Some((merchant, status(&row, id.as_uuid())?)))
}

pub(crate) async fn by_ids(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Product>, StoreError> {
    let rows = sqlx::query(select_products!("WHERE p.product_id = ANY($1)"))
        .bind(ids)
        .fetch_all(executor)
        .await
        .op("products.by_ids")?;
    rows.iter().map(product).collect()
}

/// The merchant's next products in the order of their handles.
pub(crate) async fn of_merchant(
    executor: impl PgExecutor<'_>,
    merchant: UserId,
    after: &str,
    limit: i64,
) -> Result<Vec<Product>, StoreError> {
    let rows = sqlx::query(select_products!(
        "WHERE p.merchant_id = $1 AND p.handle > $2 ORDER BY p.handle LIMIT $3"
    ))
    .bind(merchant.as_uuid())
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
    .op("products.of_merchant")?;
    rows.iter().map(product).collect()
}

fn product(row: &PgRow) -> Result<Product, StoreError> {
    const OP: &str = "products.read";
    let id: Uuid = row.try_get("product_id").op(OP)?;
    Ok(Product {
        id: ProductId(id),
        merchant_id: UserId(row.try_get("merchant_id").op(OP)?),
        handle: row.try_get("handle").op(OP)?,
        title: row.try_get("title").op(OP)?,
        description: row.try_get("description").op(OP)?,
        brand: row.try_get("brand").op(OP)?,
        category: CategoryRef {
            id: CategoryId(row.try_get("category_id").op(OP)?),
            slug: row.try_get("category_slug").op(OP)?,
            path: row.try_get("category_path").op(OP)?,
        },
        attributes: json(row, "attributes", id)?,
        images: json(row, "images", id)?,
        variants: json(row, "variants", id)?,
        status: status(row, id)?,
        rating: rating(row, id)?,
        version: row.try_get("version").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
    })
}

fn rating(row: &PgRow, id: Uuid) -> Result<Rating, StoreError> {
    let counts: Vec<i32> = row.try_get("rating_histogram").op("products.rating")?;
    let counts = counts.try_into().map_err(|counts| StoreError::Corrupt {
        table: "products",
        column: "rating_histogram",
        row: id.to_string(),
        reason: format!("{counts:?} has not 5 members"),
    })?;
    Ok(Rating(counts))
}

fn json<T: serde::de::DeserializeOwned>(
    row: &PgRow,
    column: &'static str,
    id: Uuid,
) -> Result<T, StoreError> {
    let value: Json<T> = row.try_get(column).map_err(|error| StoreError::Corrupt {
        table: "products",
        column,
        row: id.to_string(),
        reason: error.to_string(),
    })?;
    Ok(value.0)
}

pub(crate) fn status(row: &PgRow, id: Uuid) -> Result<Status, StoreError> {
    let text: String = row.try_get("status").op("products.status")?;
    Status::parse(&text).ok_or_else(|| StoreError::Corrupt {
        table: "products",
        column: "status",
        row: id.to_string(),
        reason: format!("`{text}` is no status"),
    })
}

/// The columns of many products, for `UNNEST`.
struct Columns<'a> {
    ids: Vec<Uuid>,
    merchants: Vec<Uuid>,
    handles: Vec<&'a str>,
    titles: Vec<&'a str>,
    descriptions: Vec<&'a str>,
    brands: Vec<&'a str>,
    categories: Vec<Uuid>,
    attributes: Vec<Json<&'a std::collections::BTreeMap<String, crate::domain::AttributeValue>>>,
    images: Vec<Json<&'a Vec<crate::domain::Image>>>,
    statuses: Vec<&'static str>,
    versions: Vec<i64>,
    created: Vec<Timestamp>,
    updated: Vec<Timestamp>,
    price_changes: Vec<Option<Timestamp>>,
}

impl<'a> Columns<'a> {
    fn of(products: &[&'a Product]) -> Self {
        let each = || products.iter();
        Self {
            ids: each().map(|product| product.id.as_uuid()).collect(),
            merchants: each().map(|product| product.merchant_id.as_uuid()).collect(),
            handles: each().map(|product| product.handle.as_str()).collect(),
            titles: each().map(|product| product.title.as_str()).collect(),
            descriptions: each().map(|product| product.description.as_str()).collect(),
            brands: each().map(|product| product.brand.as_str()).collect(),
            categories: each().map(|product| product.category.id.as_uuid()).collect(),
            attributes: each().map(|product| Json(&product.attributes)).collect(),
            images: each().map(|product| Json(&product.images)).collect(),
            statuses: each().map(|product| product.status.as_str()).collect(),
            versions: each().map(|product| product.version).collect(),
            created: each().map(|product| product.created_at).collect(),
            updated: each().map(|product| product.updated_at).collect(),
            price_changes: each()
                .map(|product| product.price_changes_after(product.updated_at))
                .collect(),
        }
    }
}

pub(crate) async fn insert(conn: &mut PgConnection, products: &[&Product]) -> Result<(), StoreError> {
    const OP: &str = "products.insert";
    if products.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(products);
    let done = sqlx::query(
        "INSERT INTO products (product_id, merchant_id, handle, title, description, brand, category_id,
                               attributes, images, status, version, created_at, updated_at,
                               price_changes_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[],
                              $8::jsonb[], $9::jsonb[], $10::text[], $11::bigint[], $12::timestamptz[],
                              $13::timestamptz[], $14::timestamptz[])",
    )
    .bind(columns.ids)
    .bind(columns.merchants)
    .bind(columns.handles)
    .bind(columns.titles)
    .bind(columns.descriptions)
    .bind(columns.brands)
    .bind(columns.categories)
    .bind(columns.attributes)
    .bind(columns.images)
    .bind(columns.statuses)
    .bind(columns.versions)
    .bind(columns.created)
    .bind(columns.updated)
    .bind(columns.price_changes)
    .execute(conn)
    .await
    .op(OP)?;
    expect_rows(OP, &done, products.len())
}

/// Writes new versions of products that are locked. The rating is not touched: it is the reviews'.
pub(crate) async fn update(conn: &mut PgConnection, products: &[&Product]) -> Result<(), StoreError> {
    const OP: &str = "products.update";
    if products.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(products);
    let done = sqlx::query(
        "UPDATE products p
            SET handle = n.handle, title = n.title, description = n.description, brand = n.brand,
                category_id = n.category_id, attributes = n.attributes, images = n.images, status = n.status,
                version = n.version, updated_at = n.updated_at, price_changes_at = n.price_changes_at
           FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::jsonb[],
                       $8::jsonb[], $9::text[], $10::bigint[], $11::timestamptz[], $12::timestamptz[])
                AS n (product_id, handle, title, description, brand, category_id, attributes, images, status,
                      version, updated_at, price_changes_at)
          WHERE p.product_id = n.product_id AND p.version = n.version - 1",
    )
    .bind(columns.ids)
    .bind(columns.handles)
    .bind(columns.titles)
    .bind(columns.descriptions)
    .bind(columns.brands)
    .bind(columns.categories)
    .bind(columns.attributes)
    .bind(columns.images)
    .bind(columns.statuses)
    .bind(columns.versions)
    .bind(columns.updated)
    .bind(columns.price_changes)
    .execute(conn)
    .await
    .op(OP)?;
    expect_rows(OP, &done, products.len())
}

/// Writes the rating of a product that is locked, and makes that a new version.
pub(crate) async fn set_rating(
    conn: &mut PgConnection,
    id: ProductId,
    rating: Rating,
) -> Result<(), StoreError> {
    const OP: &str = "products.set_rating";
    let done = sqlx::query(
        "UPDATE products SET rating_histogram = $2, rating_sum = $3, rating_count = $4, version = version + 1
          WHERE product_id = $1",
    )
    .bind(id.as_uuid())
    .bind(rating.0.to_vec())
    .bind(rating.sum())
    .bind(rating.count())
    .execute(conn)
    .await
    .op(OP)?;
    expect_rows(OP, &done, 1)
}

/// Locks products of which a price has changed by itself and nobody has told.
pub(crate) async fn lock_repriced(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    sqlx::query_scalar(
        "SELECT product_id FROM products WHERE price_changes_at <= $1
          ORDER BY price_changes_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("products.lock_repriced")
}

/// Writes the new versions of products that are locked and have changed in nothing but their prices.
pub(crate) async fn set_price_changes(
    conn: &mut PgConnection,
    products: &[Product],
    now: Timestamp,
) -> Result<(), StoreError> {
    const OP: &str = "products.set_price_changes";
    let each = || products.iter();
    let done = sqlx::query(
        "UPDATE products p SET version = n.version, price_changes_at = n.price_changes_at
           FROM UNNEST($1::uuid[], $2::bigint[], $3::timestamptz[]) AS n (product_id, version, price_changes_at)
          WHERE p.product_id = n.product_id AND p.version = n.version - 1",
    )
    .bind(each().map(|product| product.id.as_uuid()).collect::<Vec<_>>())
    .bind(each().map(|product| product.version).collect::<Vec<_>>())
    .bind(each().map(|product| product.price_changes_after(now)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .op(OP)?;
    expect_rows(OP, &done, products.len())
}

use std::collections::HashMap;

use ferrocart_pg_kit::{StoreError, StoreResultExt, sqlstate};
use ferrocart_types::{CategoryId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, Row};
use uuid::Uuid;

use super::expect_rows;
use crate::domain::{AttributeRules, Category, CategoryAttributes, CategoryRef, RuledCategory};

/// Held while a category is added, so that two of them cannot both be the last that fits.
const TREE_LOCK: i64 = 0x6663_2D74_7265_6500;

/// What is said of attributes.
#[derive(Debug)]
pub(crate) struct Attributes {
    /// In the category itself.
    pub(crate) own: CategoryAttributes,
    /// With what it has from those above it.
    pub(crate) rules: AttributeRules,
}

/// The whole tree, parents before children.
pub(crate) async fn all(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Category>, StoreError> {
    const OP: &str = "categories.all";
    let rows =
        sqlx::query("SELECT category_id, slug, name, parent_id, path FROM categories ORDER BY path LIMIT $1")
            .bind(limit)
            .fetch_all(executor)
            .await
            .op(OP)?;
    rows.iter().map(category).collect::<Result<_, _>>().op(OP)
}

fn category(row: &PgRow) -> Result<Category, sqlx::Error> {
    Ok(Category {
        category_id: CategoryId(row.try_get("category_id")?),
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
        parent_id: row.try_get::<Option<Uuid>, _>("parent_id")?.map(CategoryId),
        path: row.try_get("path")?,
    })
}

/// Locks the tree against other additions; answers how many categories there are.
pub(crate) async fn lock_tree(conn: &mut PgConnection) -> Result<i64, StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(TREE_LOCK)
        .execute(&mut *conn)
        .await
        .op("categories.lock_tree")?;
    sqlx::query_scalar("SELECT count(*) FROM categories")
        .fetch_one(conn)
        .await
        .op("categories.count")
}

pub(crate) async fn path_of(
    conn: &mut PgConnection,
    id: CategoryId,
) -> Result<Option<Vec<String>>, StoreError> {
    sqlx::query_scalar("SELECT path FROM categories WHERE category_id = $1")
        .bind(id.as_uuid())
        .fetch_optional(conn)
        .await
        .op("categories.path_of")
}

/// `false` when the slug is taken.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    category: &Category,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const OP: &str = "categories.insert";
    let done = sqlx::query(
        "INSERT INTO categories (category_id, slug, name, parent_id, path, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(category.category_id.as_uuid())
    .bind(&category.slug)
    .bind(&category.name)
    .bind(category.parent_id.map(|id| id.as_uuid()))
    .bind(&category.path)
    .bind(now)
    .execute(conn)
    .await;
    match done {
        Ok(done) => expect_rows(OP, &done, 1).map(|()| true),
        Err(error) if sqlstate(&error).as_deref() == Some("23505") => Ok(false),
        Err(error) => Err(error).op(OP),
    }
}

/// The categories with these slugs, by slug.
pub(crate) async fn by_slugs(
    conn: &mut PgConnection,
    slugs: &[&str],
) -> Result<HashMap<String, RuledCategory>, StoreError> {
    const OP: &str = "categories.by_slugs";
    let rows = sqlx::query(
        "SELECT c.category_id, c.slug, c.path,
                (SELECT coalesce(jsonb_agg(above.attributes ORDER BY cardinality(above.path)), '[]')
                   FROM categories above
                  WHERE above.slug = ANY(c.path) AND above.attributes IS NOT NULL) AS said
           FROM categories c WHERE c.slug = ANY($1)",
    )
    .bind(slugs)
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter()
        .map(|row| {
            let slug: String = row.try_get("slug")?;
            let category = CategoryRef {
                id: CategoryId(row.try_get("category_id")?),
                slug: slug.clone(),
                path: row.try_get("path")?,
            };
            let said: Json<Vec<CategoryAttributes>> = row.try_get("said")?;
            let rules = AttributeRules::inherited(&said);
            Ok((slug, RuledCategory { category, rules }))
        })
        .collect::<Result<_, _>>()
        .op(OP)
}

/// What is said of attributes in the category, and in those above it, from the root down; `None` if there is no such
/// category.
pub(crate) async fn attributes(
    executor: impl PgExecutor<'_>,
    id: CategoryId,
) -> Result<Option<Attributes>, StoreError> {
    const OP: &str = "categories.attributes";
    let row = sqlx::query(
        "SELECT c.attributes AS own,
                (SELECT coalesce(jsonb_agg(above.attributes ORDER BY cardinality(above.path)), '[]')
                   FROM categories above
                  WHERE above.slug = ANY(c.path) AND above.attributes IS NOT NULL) AS said
           FROM categories c WHERE c.category_id = $1",
    )
    .bind(id.as_uuid())
    .fetch_optional(executor)
    .await
    .op(OP)?;
    let Some(row) = row else { return Ok(None) };
    let own: Option<Json<CategoryAttributes>> = row.try_get("own").op(OP)?;
    let said: Json<Vec<CategoryAttributes>> = row.try_get("said").op(OP)?;
    Ok(Some(Attributes {
        own: own.map(|own| own.0).unwrap_or_default(),
        rules: AttributeRules::inherited(&said),
    }))
}

/// `false` when there is no such category.
pub(crate) async fn set_attributes(
    executor: impl PgExecutor<'_>,
    id: CategoryId,
    attributes: &CategoryAttributes,
) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE categories SET attributes = $2 WHERE category_id = $1")
        .bind(id.as_uuid())
        .bind(Json(attributes))
        .execute(executor)
        .await
        .op("categories.set_attributes")?;
    Ok(done.rows_affected() == 1)
}

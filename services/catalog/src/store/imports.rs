use ferrocart_http_kit::FieldError;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{Counts, Format, Import, ImportId, Mark};

/// Lines of an import of which it is kept what is wrong with them.
pub(crate) const ERRORS_MAX: u64 = 10_000;

/// A request that goes on with an import.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) merchant: UserId,
    pub(crate) id: ImportId,
    pub(crate) attempt: i32,
}

/// What a transaction adds to an import.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) done: Mark,
    pub(crate) counts: Counts,
    pub(crate) columns: Option<&'a [String]>,
    pub(crate) now: Timestamp,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ImportError)]
pub(crate) struct LineErrors {
    /// Counted from 1.
    pub(crate) line: i64,
    pub(crate) errors: Vec<FieldError>,
}

macro_rules! columns {
    () => {
        "import_id, format, columns, attempt, lines_done, digest, created, updated, unchanged, failed, created_at,
         updated_at, completed_at"
    };
}

/// Takes the import over from whoever sent it before. Waits for what that one is writing.
pub(crate) async fn open(
    conn: &mut PgConnection,
    (merchant, id): (UserId, ImportId),
    format: Format,
    now: Timestamp,
) -> Result<Import, StoreError> {
    const OP: &str = "imports.open";
    let row = sqlx::query(concat!(
        "INSERT INTO imports AS i (merchant_id, import_id, format, attempt, digest, created_at, updated_at)
         VALUES ($1, $2, $3, 1, $4, $5, $5)
         ON CONFLICT (merchant_id, import_id) DO UPDATE SET attempt = i.attempt + 1, updated_at = $5
         RETURNING ",
        columns!()
    ))
    .bind(merchant.as_uuid())
    .bind(id.0)
    .bind(format.as_str())
    .bind(Mark::default().digest.to_vec())
    .bind(now)
    .fetch_one(conn)
    .await
    .op(OP)?;
    import(&row)
}

pub(crate) async fn by_id(
    executor: impl PgExecutor<'_>,
    merchant: UserId,
    id: ImportId,
) -> Result<Option<Import>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM imports WHERE merchant_id = $1 AND import_id = $2"
    ))
    .bind(merchant.as_uuid())
    .bind(id.0)
    .fetch_optional(executor)
    .await
    .op("imports.by_id")?;
    row.as_ref().map(import).transpose()
}

fn import(row: &PgRow) -> Result<Import, StoreError> {
    const OP: &str = "imports.read";
    let id: Uuid = row.try_get("import_id").op(OP)?;
    let corrupt = |column: &'static str, reason: String| StoreError::Corrupt {
        table: "imports",
        column,
        row: id.to_string(),
        reason,
    };
    let count = |column: &'static str| {
        let count: i64 = row.try_get(column).op(OP)?;
        u64::try_from(count).map_err(|error| corrupt(column, error.to_string()))
    };
    let format: String = row.try_get("format").op(OP)?;
    let digest: Vec<u8> = row.try_get("digest").op(OP)?;
    Ok(Import {
        id: ImportId(id),
        format: Format::parse(&format).ok_or_else(|| corrupt("format", format!("`{format}` is none")))?,
        columns: row.try_get("columns").op(OP)?,
        attempt: row.try_get("attempt").op(OP)?,
        done: Mark {
            line: count("lines_done")?,
            digest: digest
                .try_into()
                .map_err(|_| corrupt("digest", "has not 32 bytes".to_owned()))?,
        },
        counts: Counts {
            created: count("created")?,
            updated: count("updated")?,
            unchanged: count("unchanged")?,
            failed: count("failed")?,
        },
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
        completed_at: row.try_get("completed_at").op(OP)?,
    })
}

fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Notes how far the import has come; answers its counts. `None` when another request has taken it over.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    key: Key,
    step: &Step<'_>,
) -> Result<Option<Counts>, StoreError> {
    const OP: &str = "imports.advance";
    let row = sqlx::query(concat!(
        "UPDATE imports SET lines_done = $4, digest = $5, created = created + $6, updated = updated + $7,
                unchanged = unchanged + $8, failed = failed + $9, columns = coalesce(columns, $10), updated_at = $11
          WHERE merchant_id = $1 AND import_id = $2 AND attempt = $3 AND completed_at IS NULL AND lines_done < $4
         RETURNING ",
        columns!()
    ))
    .bind(key.merchant.as_uuid())
    .bind(key.id.0)
    .bind(key.attempt)
    .bind(bigint(step.done.line))
    .bind(step.done.digest.to_vec())
    .bind(bigint(step.counts.created))
    .bind(bigint(step.counts.updated))
    .bind(bigint(step.counts.unchanged))
    .bind(bigint(step.counts.failed))
    .bind(step.columns)
    .bind(step.now)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    let import = row.as_ref().map(import).transpose()?;
    Ok(import.map(|import| import.counts))
}

/// `false` when another request has taken the import over.
pub(crate) async fn complete(conn: &mut PgConnection, key: Key, step: &Step<'_>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE imports SET lines_done = $4, digest = $5, columns = coalesce(columns, $6), updated_at = $7,
                completed_at = coalesce(completed_at, $7)
          WHERE merchant_id = $1 AND import_id = $2 AND attempt = $3",
    )
    .bind(key.merchant.as_uuid())
    .bind(key.id.0)
    .bind(key.attempt)
    .bind(bigint(step.done.line))
    .bind(step.done.digest.to_vec())
    .bind(step.columns)
    .bind(step.now)
    .execute(conn)
    .await
    .op("imports.complete")?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what is wrong with these lines, as long as there are not too many of them. `failed` are all
/// that have failed, these included.
pub(crate) async fn add_errors(
    conn: &mut PgConnection,
    key: Key,
    lines: &[(u64, &[FieldError])],
    failed: u64,
) -> Result<(), StoreError> {
    const OP: &str = "imports.add_errors";
    let before = failed.saturating_sub(u64::try_from(lines.len()).unwrap_or(u64::MAX));
    let room = usize::try_from(ERRORS_MAX.saturating_sub(before)).unwrap_or(usize::MAX);
    let lines = lines.get(..room.min(lines.len())).unwrap_or_default();
    if lines.is_empty() {
        return Ok(());
    }
    let done = sqlx::query(
        "INSERT INTO import_errors (merchant_id, import_id, line, errors)
         SELECT $1, $2, * FROM UNNEST($3::bigint[], $4::jsonb[])",
    )
    .bind(key.merchant.as_uuid())
    .bind(key.id.0)
    .bind(lines.iter().map(|(line, _)| bigint(*line)).collect::<Vec<_>>())
    .bind(
        lines
            .iter()
            .map(|(_, errors)| Json(*errors))
            .collect::<Vec<Json<&[FieldError]>>>(),
    )
    .execute(conn)
    .await
    .op(OP)?;
    super::expect_rows(OP, &done, lines.len())
}

/// The lines that failed, in their order.
pub(crate) async fn errors(
    executor: impl PgExecutor<'_>,
    (merchant, id): (UserId, ImportId),
    after_line: i64,
    limit: i64,
) -> Result<Vec<LineErrors>, StoreError> {
    const OP: &str = "imports.errors";
    let rows = sqlx::query(
        "SELECT line, errors FROM import_errors
          WHERE merchant_id = $1 AND import_id = $2 AND line > $3 ORDER BY line LIMIT $4",
    )
    .bind(merchant.as_uuid())
    .bind(id.0)
    .bind(after_line)
    .bind(limit)
    .fetch_all(executor)
    .await
    .op(OP)?;
    rows.iter()
        .map(|row| {
            let errors: Json<Vec<FieldError>> = row.try_get("errors")?;
            Ok(LineErrors {
                line: row.try_get("line")?,
                errors: errors.0,
            })
        })
        .collect::<Result<_, _>>()
        .op(OP)
}

/// Forgets imports that nobody has sent anything of since; answers how many.
pub(crate) async fn forget(
    conn: &mut PgConnection,
    before: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM imports WHERE (merchant_id, import_id) IN
            (SELECT merchant_id, import_id FROM imports WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(conn)
    .await
    .op("imports.forget")?;
    Ok(done.rows_affected())
}

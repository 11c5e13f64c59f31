use std::str::FromStr;

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Email, EndpointId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::domain::{DisabledReason, Endpoint, EndpointStatus, EventType};
use crate::webhook::Sealed;

const COLUMNS: &str = "endpoint_id, merchant_id, url, description, event_types, status, disabled_reason,
                       failing_since, created_at, updated_at";

/// `false`, and nothing is done, when the merchant has `endpoints_max` already.
pub(crate) async fn insert_endpoint(
    conn: &mut PgConnection,
    endpoint: &Endpoint,
    secret: &Sealed,
    owner_email: Option<&Email>,
    endpoints_max: u32,
) -> Result<bool, StoreError> {
    // Two requests of one merchant at once would both count before either inserts.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 7))")
        .bind(endpoint.merchant_id.to_string())
        .execute(&mut *conn)
        .await
        .op("webhook_endpoints.lock")?;
    let done = sqlx::query(
        "INSERT INTO webhook_endpoints (endpoint_id, merchant_id, url, description, event_types, status, secret,
                                        owner_email, created_at, updated_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9
         WHERE (SELECT count(*) FROM webhook_endpoints WHERE merchant_id = $2) < $10",
    )
    .bind(endpoint.id.as_uuid())
    .bind(endpoint.merchant_id.as_uuid())
    .bind(&endpoint.url)
    .bind(&endpoint.description)
    .bind(names(&endpoint.event_types))
    .bind(endpoint.status.as_str())
    .bind(&secret.0)
    .bind(owner_email.map(Email::as_str))
    .bind(endpoint.created_at)
    .bind(i64::from(endpoints_max))
    .execute(conn)
    .await
    .op("webhook_endpoints.insert")?;
    Ok(done.rows_affected() == 1)
}

fn names(types: &[EventType]) -> Vec<&'static str> {
    types.iter().map(|event| event.as_str()).collect()
}

/// The merchant's own endpoints; another's are not found.
pub(crate) async fn endpoints_of(pool: &PgPool, merchant: UserId) -> Result<Vec<Endpoint>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM webhook_endpoints WHERE merchant_id = $1 ORDER BY endpoint_id"
    )))
    .bind(merchant.as_uuid())
    .fetch_all(pool)
    .await
    .op("webhook_endpoints.list")?;
    rows.iter().map(endpoint).collect()
}

pub(crate) async fn endpoint_of(
    pool: &PgPool,
    merchant: UserId,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM webhook_endpoints WHERE merchant_id = $1 AND endpoint_id = $2"
    )))
    .bind(merchant.as_uuid())
    .bind(id.as_uuid())
    .fetch_optional(pool)
    .await
    .op("webhook_endpoints.read")?;
    row.as_ref().map(endpoint).transpose()
}

/// Those that are enabled, of these merchants.
pub(crate) async fn enabled_endpoints(
    pool: &PgPool,
    merchants: &[UserId],
) -> Result<Vec<Endpoint>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM webhook_endpoints WHERE merchant_id = ANY($1) AND status = 'ENABLED'
         ORDER BY endpoint_id"
    )))
    .bind(merchants.iter().map(UserId::as_uuid).collect::<Vec<_>>())
    .fetch_all(pool)
    .await
    .op("webhook_endpoints.enabled")?;
    rows.iter().map(endpoint).collect()
}

pub(crate) async fn any_enabled(pool: &PgPool) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM webhook_endpoints WHERE status = 'ENABLED')")
        .fetch_one(pool)
        .await
        .op("webhook_endpoints.any")
}

/// Writes what its owner may change. Whoever enables it again begins anew with its failures. `false` when it is gone.
pub(crate) async fn update_endpoint(
    conn: &mut PgConnection,
    endpoint: &Endpoint,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET url = $3, description = $4, event_types = $5, status = $6, disabled_reason = $7,
                failures = CASE WHEN status = 'DISABLED' AND $6 = 'ENABLED' THEN 0 ELSE failures END,
                failing_since = CASE WHEN status = 'DISABLED' AND $6 = 'ENABLED' THEN NULL ELSE failing_since END,
                updated_at = $8
         WHERE endpoint_id = $1 AND merchant_id = $2",
    )
    .bind(endpoint.id.as_uuid())
    .bind(endpoint.merchant_id.as_uuid())
    .bind(&endpoint.url)
    .bind(&endpoint.description)
    .bind(names(&endpoint.event_types))
    .bind(endpoint.status.as_str())
    .bind(endpoint.disabled_reason.map(DisabledReason::as_str))
    .bind(endpoint.updated_at)
    .execute(conn)
    .await
    .op("webhook_endpoints.update")?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn delete_endpoint(
    conn: &mut PgConnection,
    merchant: UserId,
    id: EndpointId,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM webhook_endpoints WHERE merchant_id = $1 AND endpoint_id = $2")
        .bind(merchant.as_uuid())
        .bind(id.as_uuid())
        .execute(conn)
        .await
        .op("webhook_endpoints.delete")?;
    Ok(done.rows_affected() == 1)
}

/// Puts a new secret in; the one before signs as well until then. `false` when there is no such endpoint.
pub(crate) async fn rotate_secret(
    conn: &mut PgConnection,
    merchant: UserId,
    id: EndpointId,
    secret: &Sealed,
    previous_until: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET previous_secret = secret, previous_until = $4, secret = $3, updated_at = $5
         WHERE merchant_id = $1 AND endpoint_id = $2",
    )
    .bind(merchant.as_uuid())
    .bind(id.as_uuid())
    .bind(&secret.0)
    .bind(previous_until)
    .bind(now)
    .execute(conn)
    .await
    .op("webhook_endpoints.rotate")?;
    Ok(done.rows_affected() == 1)
}

/// A try succeeded: what failed before is forgotten.
pub(crate) async fn forgive(conn: &mut PgConnection, id: EndpointId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_endpoints SET failures = 0, failing_since = NULL WHERE endpoint_id = $1 AND failures > 0",
    )
    .bind(id.as_uuid())
    .execute(conn)
    .await
    .op("webhook_endpoints.forgive")?;
    Ok(())
}

/// How an endpoint stands after one more failure.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) merchant_id: UserId,
    pub(crate) url: String,
    pub(crate) owner_email: Option<Email>,
    pub(crate) failures: u32,
    pub(crate) since: Timestamp,
}

/// Counts a failure. `None` when the endpoint is disabled or gone.
pub(crate) async fn count_failure(
    conn: &mut PgConnection,
    id: EndpointId,
    now: Timestamp,
) -> Result<Option<Failing>, StoreError> {
    const OP: &str = "webhook_endpoints.count_failure";
    let row = sqlx::query(
        "UPDATE webhook_endpoints SET failures = failures + 1, failing_since = coalesce(failing_since, $2)
         WHERE endpoint_id = $1 AND status = 'ENABLED'
         RETURNING merchant_id, url, owner_email, failures, failing_since",
    )
    .bind(id.as_uuid())
    .bind(now)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let email: Option<&str> = row.try_get("owner_email").op(OP)?;
    let email = email.map(Email::parse).transpose();
    let failures: i32 = row.try_get("failures").op(OP)?;
    Ok(Some(Failing {
        merchant_id: UserId(row.try_get("merchant_id").op(OP)?),
        url: row.try_get("url").op(OP)?,
        owner_email: email.map_err(|error| corrupt(id.as_uuid(), "owner_email", error.to_string()))?,
        failures: u32::try_from(failures).map_err(|_| corrupt(id.as_uuid(), "failures", "is negative"))?,
        since: row.try_get("failing_since").op(OP)?,
    }))
}

/// Takes it out of service; what waits for it has failed. `false` when somebody was first.
pub(crate) async fn disable_endpoint(
    conn: &mut PgConnection,
    id: EndpointId,
    reason: DisabledReason,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET status = 'DISABLED', disabled_reason = $2, updated_at = $3
         WHERE endpoint_id = $1 AND status = 'ENABLED'",
    )
    .bind(id.as_uuid())
    .bind(reason.as_str())
    .bind(now)
    .execute(&mut *conn)
    .await
    .op("webhook_endpoints.disable")?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    fail_pending(conn, id, now).await?;
    Ok(true)
}

/// What waits for an endpoint that is disabled is not delivered later, unless it is asked for.
pub(crate) async fn fail_pending(
    conn: &mut PgConnection,
    id: EndpointId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET status = 'FAILED', ended_at = $2, lease = NULL
         WHERE endpoint_id = $1 AND status = 'PENDING'",
    )
    .bind(id.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("webhook_deliveries.fail_pending")?;
    Ok(())
}

fn endpoint(row: &PgRow) -> Result<Endpoint, StoreError> {
    const OP: &str = "webhook_endpoints.read";
    let id: Uuid = row.try_get("endpoint_id").op(OP)?;
    let status: &str = row.try_get("status").op(OP)?;
    let reason: Option<&str> = row.try_get("disabled_reason").op(OP)?;
    let types: Vec<String> = row.try_get("event_types").op(OP)?;
    Ok(Endpoint {
        id: EndpointId(id),
        merchant_id: UserId(row.try_get("merchant_id").op(OP)?),
        url: row.try_get("url").op(OP)?,
        description: row.try_get("description").op(OP)?,
        event_types: types
            .iter()
            .map(|name| parsed(name, id, "event_types"))
            .collect::<Result<_, _>>()?,
        status: parsed::<EndpointStatus>(status, id, "status")?,
        disabled_reason: reason
            .map(|name| parsed(name, id, "disabled_reason"))
            .transpose()?,
        failing_since: row.try_get("failing_since").op(OP)?,
        created_at: row.try_get("created_at").op(OP)?,
        updated_at: row.try_get("updated_at").op(OP)?,
    })
}

fn parsed<T: FromStr>(text: &str, id: Uuid, column: &'static str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|_| corrupt(id, column, format!("`{text}` is unknown")))
}

fn corrupt(id: Uuid, column: &'static str, reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        table: "webhook_endpoints",
        column,
        row: id.to_string(),
        reason: reason.into(),
    }
}

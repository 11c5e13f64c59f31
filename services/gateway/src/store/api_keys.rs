//! The credentials of machines.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::sessions::TokenHash;
use super::users::parse_roles;
use crate::domain::{ApiKey, PersonName, Scope};

/// Writes the key unless its owner has `keys_max` that are good; answers whether it was written.
///
/// The owner's row is locked, so that two requests at once do not both find room.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    key: &ApiKey,
    secret: TokenHash,
    keys_max: i64,
) -> Result<bool, StoreError> {
    sqlx::query("SELECT 1 FROM users WHERE user_id = $1 FOR UPDATE")
        .bind(key.user_id.as_uuid())
        .execute(&mut *conn)
        .await
        .op("lock user")?;
    let done = sqlx::query(
        "INSERT INTO api_keys (key_id, user_id, name, secret_hash, scope, roles, created_at, expires_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8
         WHERE (SELECT count(*) FROM api_keys
                WHERE user_id = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $7)) < $9",
    )
    .bind(key.id)
    .bind(key.user_id.as_uuid())
    .bind(key.name.as_str())
    .bind(&secret.0[..])
    .bind(key.scope.as_str())
    .bind(key.roles.names())
    .bind(key.created_at)
    .bind(key.expires_at)
    .bind(keys_max)
    .execute(conn)
    .await
    .op("insert API key")?;
    Ok(done.rows_affected() == 1)
}

/// The key with this id and secret. The secret has 256 random bits: what comparing its hash in the database takes
/// tells nobody anything.
pub(crate) async fn find(
    conn: &mut PgConnection,
    key_id: Uuid,
    secret: TokenHash,
) -> Result<Option<ApiKey>, StoreError> {
    let row = sqlx::query(
        "SELECT key_id, user_id, name, scope, roles, created_at, expires_at, revoked_at
         FROM api_keys WHERE key_id = $1 AND secret_hash = $2",
    )
    .bind(key_id)
    .bind(&secret.0[..])
    .fetch_optional(conn)
    .await
    .op("find API key")?;
    row.as_ref().map(read).transpose()
}

/// Those that are not revoked, the oldest first. An owner has few that are good; the bound is for those that ran out.
pub(crate) async fn list(
    conn: &mut PgConnection,
    user_id: UserId,
    rows_max: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows = sqlx::query(
        "SELECT key_id, user_id, name, scope, roles, created_at, expires_at, revoked_at
         FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL ORDER BY key_id LIMIT $2",
    )
    .bind(user_id.as_uuid())
    .bind(rows_max)
    .fetch_all(conn)
    .await
    .op("list API keys")?;
    rows.iter().map(read).collect()
}

/// Answers whether the user has such a key; revoking it again changes nothing.
pub(crate) async fn revoke(
    conn: &mut PgConnection,
    user_id: UserId,
    key_id: Uuid,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE user_id = $1 AND key_id = $2",
    )
    .bind(user_id.as_uuid())
    .bind(key_id)
    .bind(now)
    .execute(conn)
    .await
    .op("revoke API key")?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &PgRow) -> Result<ApiKey, StoreError> {
    let id: Uuid = row.try_get("key_id").op("read API key")?;
    let corrupt = |column: &'static str, reason: String| StoreError::Corrupt {
        table: "api_keys",
        column,
        row: id.to_string(),
        reason,
    };
    let name: String = row.try_get("name").op("read API key")?;
    let scope: String = row.try_get("scope").op("read API key")?;
    let roles: Vec<String> = row.try_get("roles").op("read API key")?;
    Ok(ApiKey {
        id,
        user_id: UserId(row.try_get("user_id").op("read API key")?),
        name: PersonName::parse(&name).map_err(|error| corrupt("name", error.to_string()))?,
        scope: Scope::parse(&scope).ok_or_else(|| corrupt("scope", format!("`{scope}` is none")))?,
        roles: parse_roles(&roles).map_err(|reason| corrupt("roles", reason))?,
        created_at: row.try_get("created_at").op("read API key")?,
        expires_at: row.try_get("expires_at").op("read API key")?,
        revoked_at: row.try_get("revoked_at").op("read API key")?,
    })
}

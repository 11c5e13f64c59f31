//! One-time links that are mailed.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Email, Timestamp, UserId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::sessions::TokenHash;

/// A link that somebody asked for and that is to be mailed.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) link_id: Uuid,
    pub(crate) email: Email,
    pub(crate) expires_at: Timestamp,
}

/// How often one address may be written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressLimit {
    pub(crate) count: i64,
    pub(crate) since: Timestamp,
}

/// Writes down that a link was asked for, unless the address was written to often enough already. Until the end of the
/// transaction, others who ask for the same address wait: their counts would not know of this one.
pub(crate) async fn ask(
    conn: &mut PgConnection,
    link_id: Uuid,
    email: &Email,
    (now, expires_at): (Timestamp, Timestamp),
    limit: AddressLimit,
) -> Result<bool, StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 3))")
        .bind(email.as_str())
        .execute(&mut *conn)
        .await
        .op("wait for others who ask for a link")?;
    let done = sqlx::query(
        "INSERT INTO mailed_links (link_id, purpose, email, asked_at, expires_at, next_attempt_at)
         SELECT $1, 'PASSWORD_RESET', $2, $3, $4, $3
         WHERE (SELECT count(*) FROM mailed_links WHERE email = $2 AND asked_at > $5) < $6",
    )
    .bind(link_id)
    .bind(email.as_str())
    .bind(now)
    .bind(expires_at)
    .bind(limit.since)
    .bind(limit.count)
    .execute(conn)
    .await
    .op("ask for a link")?;
    Ok(done.rows_affected() == 1)
}

/// Takes up links that are due; they come up again at `lease_until` if nothing becomes of them.
pub(crate) async fn claim(
    conn: &mut PgConnection,
    now: Timestamp,
    lease_until: Timestamp,
    rows_max: i64,
) -> Result<Vec<Due>, StoreError> {
    const OP: &str = "take up links";
    let rows = sqlx::query(
        "UPDATE mailed_links SET next_attempt_at = $2 WHERE link_id IN
           (SELECT link_id FROM mailed_links WHERE next_attempt_at <= $1
            ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING link_id, email, expires_at",
    )
    .bind(now)
    .bind(lease_until)
    .bind(rows_max)
    .fetch_all(conn)
    .await
    .op(OP)?;
    rows.iter()
        .map(|row| {
            let link_id: Uuid = row.try_get("link_id").op(OP)?;
            let email: String = row.try_get("email").op(OP)?;
            Ok(Due {
                link_id,
                email: Email::parse(&email).map_err(|error| StoreError::Corrupt {
                    table: "mailed_links",
                    column: "email",
                    row: link_id.to_string(),
                    reason: error.to_string(),
                })?,
                expires_at: row.try_get("expires_at").op(OP)?,
            })
        })
        .collect()
}

/// From now on the token of this hash is good, and one that the link had before is not.
pub(crate) async fn arm(
    conn: &mut PgConnection,
    link_id: Uuid,
    user_id: UserId,
    hash: TokenHash,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE mailed_links SET user_id = $2, token_hash = $3 WHERE link_id = $1")
        .bind(link_id)
        .bind(user_id.as_uuid())
        .bind(&hash.0[..])
        .execute(conn)
        .await
        .op("arm a link")?;
    super::sessions::expect_one("arm a link", done.rows_affected())
}

/// There is nothing more to do for it: it is mailed, or never will be.
pub(crate) async fn settle(conn: &mut PgConnection, link_id: Uuid) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE mailed_links SET next_attempt_at = NULL WHERE link_id = $1")
        .bind(link_id)
        .execute(conn)
        .await
        .op("settle a link")?;
    super::sessions::expect_one("settle a link", done.rows_affected())
}

/// Whose link it is, if it is good: it was not used, is not too old, and went to the address that the account still
/// has. The row stays locked to the end of the transaction, so that of two uses one is the second.
pub(crate) async fn present(
    conn: &mut PgConnection,
    hash: TokenHash,
    now: Timestamp,
) -> Result<Option<UserId>, StoreError> {
    let user_id: Option<Uuid> = sqlx::query_scalar(
        "SELECT l.user_id FROM mailed_links l JOIN users u ON u.user_id = l.user_id AND u.email = l.email
         WHERE l.token_hash = $1 AND l.used_at IS NULL AND l.expires_at > $2
         FOR UPDATE OF l",
    )
    .bind(&hash.0[..])
    .bind(now)
    .fetch_optional(conn)
    .await
    .op("find a link")?;
    Ok(user_id.map(UserId))
}

/// Uses up all links of a user.
pub(crate) async fn use_up(
    conn: &mut PgConnection,
    user_id: UserId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE mailed_links SET used_at = $2, next_attempt_at = NULL WHERE user_id = $1 AND used_at IS NULL",
    )
    .bind(user_id.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("use up links")?;
    Ok(done.rows_affected())
}

/// Removes links that ended before `cutoff`, at most `rows_max`; answers how many.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    cutoff: Timestamp,
    rows_max: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM mailed_links WHERE link_id IN
           (SELECT link_id FROM mailed_links WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(cutoff)
    .bind(rows_max)
    .execute(conn)
    .await
    .op("purge links")?;
    Ok(done.rows_affected())
}

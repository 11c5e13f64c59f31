//! One-time links that are mailed.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Email, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::sessions::TokenHash;
use crate::domain::LinkPurpose;

/// A link that is to be mailed.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) link_id: Uuid,
    pub(crate) purpose: LinkPurpose,
    pub(crate) email: Email,
    /// `None` until it is looked up who has the address.
    pub(crate) user_id: Option<UserId>,
    pub(crate) expires_at: Timestamp,
}

/// A link as it is written down: the token is made when it is mailed.
#[derive(Debug, Clone)]
pub(crate) struct NewLink {
    pub(crate) link_id: Uuid,
    pub(crate) purpose: LinkPurpose,
    pub(crate) email: Email,
    pub(crate) user_id: Option<UserId>,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) asked_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// How many links of one purpose may be asked for since a moment: for one address, and by one user if it is known who.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkLimit {
    pub(crate) count: i64,
    pub(crate) since: Timestamp,
}

/// Writes down that a link was asked for, unless that was done often enough already. Until the end of the transaction,
/// others who ask for the same address or user wait: their counts would not know of this one.
pub(crate) async fn ask(
    conn: &mut PgConnection,
    link: &NewLink,
    limit: LinkLimit,
) -> Result<bool, StoreError> {
    if let Some(user_id) = link.user_id {
        lock(conn, &user_id.to_string()).await?;
    }
    lock_address(conn, &link.email).await?;
    let asked: i64 = sqlx::query_scalar(
        "SELECT GREATEST(
           (SELECT count(*) FROM mailed_links WHERE email = $1 AND purpose = $3 AND asked_at > $4),
           (SELECT count(*) FROM mailed_links WHERE user_id = $2 AND purpose = $3 AND asked_at > $4))",
    )
    .bind(link.email.as_str())
    .bind(link.user_id.map(Uuid::from))
    .bind(link.purpose.as_str())
    .bind(limit.since)
    .fetch_one(&mut *conn)
    .await
    .op("count links")?;
    if asked >= limit.count {
        return Ok(false);
    }
    insert(conn, link).await?;
    Ok(true)
}

/// Until the end of the transaction, others who want to do something about this address wait.
pub(crate) async fn lock_address(conn: &mut PgConnection, email: &Email) -> Result<(), StoreError> {
    lock(conn, email.as_str()).await
}

async fn lock(conn: &mut PgConnection, what: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 3))")
        .bind(what)
        .execute(conn)
        .await
        .op("wait for others who ask for a link")?;
    Ok(())
}

/// Whether an account that had this address can still be taken back by it, so that no other account may have it.
pub(crate) async fn is_kept_for_another(
    conn: &mut PgConnection,
    email: &Email,
    user_id: Option<UserId>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM mailed_links
           WHERE email = $1 AND purpose = 'EMAIL_RESTORE' AND used_at IS NULL AND expires_at > $2
             AND user_id IS DISTINCT FROM $3)",
    )
    .bind(email.as_str())
    .bind(now)
    .bind(user_id.map(Uuid::from))
    .fetch_one(conn)
    .await
    .op("ask whose an address was")
}

/// Writes down a link that is to be mailed.
pub(crate) async fn insert(conn: &mut PgConnection, link: &NewLink) -> Result<(), StoreError> {
    let done = sqlx::query(
        "INSERT INTO mailed_links
           (link_id, purpose, email, user_id, session_id, asked_at, expires_at, next_attempt_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $6)",
    )
    .bind(link.link_id)
    .bind(link.purpose.as_str())
    .bind(link.email.as_str())
    .bind(link.user_id.map(Uuid::from))
    .bind(link.session_id)
    .bind(link.asked_at)
    .bind(link.expires_at)
    .execute(conn)
    .await
    .op("ask for a link")?;
    super::sessions::expect_one("ask for a link", done.rows_affected())
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
         RETURNING link_id, purpose, email, user_id, expires_at",
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
            let user_id: Option<Uuid> = row.try_get("user_id").op(OP)?;
            Ok(Due {
                link_id,
                purpose: purpose(row, link_id)?,
                email: email(row, link_id)?,
                user_id: user_id.map(UserId),
                expires_at: row.try_get("expires_at").op(OP)?,
            })
        })
        .collect()
}

fn corrupt(column: &'static str, link_id: Uuid, reason: String) -> StoreError {
    StoreError::Corrupt {
        table: "mailed_links",
        column,
        row: link_id.to_string(),
        reason,
    }
}

fn purpose(row: &PgRow, link_id: Uuid) -> Result<LinkPurpose, StoreError> {
    let text: String = row.try_get("purpose").op("read a link")?;
    LinkPurpose::parse(&text).ok_or_else(|| corrupt("purpose", link_id, format!("`{text}` is none")))
}

fn email(row: &PgRow, link_id: Uuid) -> Result<Email, StoreError> {
    let text: String = row.try_get("email").op("read a link")?;
    Email::parse(&text).map_err(|error| corrupt("email", link_id, error.to_string()))
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

/// Whose link to a new password it is, if it is good: it was not used, is not too old, and went to the address that the
/// account still has. The row stays locked to the end of the transaction, so that of two uses one is the second.
pub(crate) async fn present(
    conn: &mut PgConnection,
    hash: TokenHash,
    now: Timestamp,
) -> Result<Option<UserId>, StoreError> {
    let user_id: Option<Uuid> = sqlx::query_scalar(
        "SELECT l.user_id FROM mailed_links l JOIN users u ON u.user_id = l.user_id AND u.email = l.email
         WHERE l.token_hash = $1 AND l.purpose = 'PASSWORD_RESET' AND l.used_at IS NULL AND l.expires_at > $2
         FOR UPDATE OF l",
    )
    .bind(&hash.0[..])
    .bind(now)
    .fetch_optional(conn)
    .await
    .op("find a link")?;
    Ok(user_id.map(UserId))
}

/// A link that sets an account's address.
#[derive(Debug)]
pub(crate) struct AddressLink {
    pub(crate) purpose: LinkPurpose,
    pub(crate) email: Email,
    pub(crate) user_id: UserId,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) asked_at: Timestamp,
}

/// The link to another address, if it is good. The row stays locked to the end of the transaction.
pub(crate) async fn present_address(
    conn: &mut PgConnection,
    hash: TokenHash,
    now: Timestamp,
) -> Result<Option<AddressLink>, StoreError> {
    const OP: &str = "find a link to an address";
    let row = sqlx::query(
        "SELECT link_id, purpose, email, user_id, session_id, asked_at FROM mailed_links
         WHERE token_hash = $1 AND purpose IN ('EMAIL_CHANGE', 'EMAIL_RESTORE') AND used_at IS NULL
           AND expires_at > $2
         FOR UPDATE",
    )
    .bind(&hash.0[..])
    .bind(now)
    .fetch_optional(conn)
    .await
    .op(OP)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let link_id: Uuid = row.try_get("link_id").op(OP)?;
    let user_id: Uuid = row.try_get("user_id").op(OP)?;
    Ok(Some(AddressLink {
        purpose: purpose(&row, link_id)?,
        email: email(&row, link_id)?,
        user_id: UserId(user_id),
        session_id: row.try_get("session_id").op(OP)?,
        asked_at: row.try_get("asked_at").op(OP)?,
    }))
}

/// Uses up the links of a user, those apart by which an address takes the account back: whoever took it must not be able
/// to end them.
pub(crate) async fn use_up(
    conn: &mut PgConnection,
    user_id: UserId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE mailed_links SET used_at = $2, next_attempt_at = NULL
         WHERE user_id = $1 AND used_at IS NULL AND purpose <> 'EMAIL_RESTORE'",
    )
    .bind(user_id.as_uuid())
    .bind(now)
    .execute(conn)
    .await
    .op("use up links")?;
    Ok(done.rows_affected())
}

/// Uses up the links by which an address takes the account back, from those of `since` on: an earlier address goes
/// before a later one.
pub(crate) async fn use_up_restoring(
    conn: &mut PgConnection,
    user_id: UserId,
    since: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE mailed_links SET used_at = $3, next_attempt_at = NULL
         WHERE user_id = $1 AND used_at IS NULL AND purpose = 'EMAIL_RESTORE' AND asked_at >= $2",
    )
    .bind(user_id.as_uuid())
    .bind(since)
    .bind(now)
    .execute(conn)
    .await
    .op("use up links to former addresses")?;
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

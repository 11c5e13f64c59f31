//! Sessions and the refresh tokens that descend from them.

use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{Email, Timestamp, UserId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// SHA-256 of a refresh token. The token has 256 random bits, so a slow hash would add nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenHash(pub(crate) [u8; 32]);

/// Why a session came to its end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoked {
    Logout,
    Reuse,
    PasswordChanged,
    LogoutEverywhere,
    EmailChanged,
    EmailRestored,
}

impl Revoked {
    fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "LOGOUT",
            Self::Reuse => "REUSE",
            Self::PasswordChanged => "PASSWORD_CHANGED",
            Self::LogoutEverywhere => "LOGOUT_EVERYWHERE",
            Self::EmailChanged => "EMAIL_CHANGED",
            Self::EmailRestored => "EMAIL_RESTORED",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) session_id: Uuid,
    /// `None` is a guest.
    pub(crate) user_id: Option<UserId>,
}

/// A refresh token as it is stored, its session locked until the end of the transaction.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) session: Session,
    pub(crate) expires_at: Timestamp,
    pub(crate) is_revoked: bool,
    pub(crate) is_used: bool,
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    session: Session,
    address: Option<&str>,
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "INSERT INTO sessions (session_id, user_id, created_at, expires_at, address)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(session.session_id)
    .bind(session.user_id.map(Uuid::from))
    .bind(now)
    .bind(expires_at)
    .bind(address)
    .execute(conn)
    .await
    .op("insert session")?;
    expect_one("insert session", done.rows_affected())
}

/// What an account was logged in to from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Familiar {
    /// A device that has a refresh token of this session, good or not.
    Device(Uuid),
    Address,
}

/// Whether the account of an e-mail address was logged in to with this refresh token, or from this network address. A
/// session that its thief had does not count. One statement, whether there is such an account or not.
pub(crate) async fn familiar(
    conn: &mut PgConnection,
    email: &Email,
    token: Option<TokenHash>,
    address: &str,
) -> Result<Option<Familiar>, StoreError> {
    const OP: &str = "look for former logins";
    let row = sqlx::query(
        "SELECT (SELECT s.session_id FROM refresh_tokens t JOIN sessions s USING (session_id) JOIN users u USING (user_id)
                 WHERE t.token_hash = $2 AND u.email = $1
                   AND (s.revoked_for IS NULL OR s.revoked_for NOT IN ('REUSE', 'EMAIL_RESTORED'))) AS device,
                EXISTS (SELECT FROM sessions s JOIN users u USING (user_id)
                 WHERE u.email = $1 AND s.address = $3
                   AND (s.revoked_for IS NULL OR s.revoked_for NOT IN ('REUSE', 'EMAIL_RESTORED'))) AS by_address",
    )
    .bind(email.as_str())
    .bind(token.as_ref().map(|token| &token.0[..]))
    .bind(address)
    .fetch_one(conn)
    .await
    .op(OP)?;
    let device: Option<Uuid> = row.try_get("device").op(OP)?;
    let by_address: bool = row.try_get("by_address").op(OP)?;
    Ok(device
        .map(Familiar::Device)
        .or_else(|| by_address.then_some(Familiar::Address)))
}

pub(crate) async fn insert_token(
    conn: &mut PgConnection,
    session_id: Uuid,
    hash: TokenHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    let done =
        sqlx::query("INSERT INTO refresh_tokens (token_hash, session_id, issued_at) VALUES ($1, $2, $3)")
            .bind(&hash.0[..])
            .bind(session_id)
            .bind(now)
            .execute(conn)
            .await
            .op("insert refresh token")?;
    expect_one("insert refresh token", done.rows_affected())
}

/// Locks the session, so that two uses of one token are told apart: one of them is the second.
pub(crate) async fn present(
    conn: &mut PgConnection,
    hash: TokenHash,
) -> Result<Option<Presented>, StoreError> {
    let locked = sqlx::query(
        "SELECT s.session_id, s.user_id, s.expires_at, s.revoked_at IS NOT NULL AS is_revoked
         FROM refresh_tokens t JOIN sessions s USING (session_id)
         WHERE t.token_hash = $1 FOR UPDATE OF s",
    )
    .bind(&hash.0[..])
    .fetch_optional(&mut *conn)
    .await
    .op("find refresh token")?;
    let Some(row) = locked else {
        return Ok(None);
    };
    // Read after the lock: the row above may show the token as it was before the wait for it.
    let is_used: bool =
        sqlx::query_scalar("SELECT used_at IS NOT NULL FROM refresh_tokens WHERE token_hash = $1")
            .bind(&hash.0[..])
            .fetch_one(conn)
            .await
            .op("read refresh token")?;
    let user_id: Option<Uuid> = row.try_get("user_id").op("read session")?;
    Ok(Some(Presented {
        session: Session {
            session_id: row.try_get("session_id").op("read session")?,
            user_id: user_id.map(UserId),
        },
        expires_at: row.try_get("expires_at").op("read session")?,
        is_revoked: row.try_get("is_revoked").op("read session")?,
        is_used,
    }))
}

pub(crate) async fn mark_used(
    conn: &mut PgConnection,
    hash: TokenHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    let done =
        sqlx::query("UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL")
            .bind(&hash.0[..])
            .bind(now)
            .execute(conn)
            .await
            .op("use refresh token")?;
    expect_one("use refresh token", done.rows_affected())
}

pub(crate) async fn extend(
    conn: &mut PgConnection,
    session_id: Uuid,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let done =
        sqlx::query("UPDATE sessions SET expires_at = $2 WHERE session_id = $1 AND revoked_at IS NULL")
            .bind(session_id)
            .bind(expires_at)
            .execute(conn)
            .await
            .op("extend session")?;
    expect_one("extend session", done.rows_affected())
}

/// Revoking a session again changes nothing.
pub(crate) async fn revoke(
    conn: &mut PgConnection,
    session_id: Uuid,
    why: Revoked,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE sessions SET revoked_at = $2, revoked_for = $3 WHERE session_id = $1 AND revoked_at IS NULL",
    )
    .bind(session_id)
    .bind(now)
    .bind(why.as_str())
    .execute(conn)
    .await
    .op("revoke session")?;
    Ok(())
}

/// Ends all logins of a user; answers how many there were.
pub(crate) async fn revoke_all(
    conn: &mut PgConnection,
    user_id: UserId,
    why: Revoked,
    now: Timestamp,
) -> Result<u64, StoreError> {
    revoke_others(conn, user_id, None, why, now).await
}

/// Ends all logins of a user but one; answers how many there were.
pub(crate) async fn revoke_others(
    conn: &mut PgConnection,
    user_id: UserId,
    kept: Option<Uuid>,
    why: Revoked,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE sessions SET revoked_at = $2, revoked_for = $3
         WHERE user_id = $1 AND revoked_at IS NULL AND session_id IS DISTINCT FROM $4",
    )
    .bind(user_id.as_uuid())
    .bind(now)
    .bind(why.as_str())
    .bind(kept)
    .execute(conn)
    .await
    .op("revoke sessions")?;
    Ok(done.rows_affected())
}

/// Removes sessions that ended before `cutoff`, with their tokens, at most `rows_max`; answers how many.
pub(crate) async fn purge(
    conn: &mut PgConnection,
    cutoff: Timestamp,
    rows_max: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE session_id IN
           (SELECT session_id FROM sessions WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(cutoff)
    .bind(rows_max)
    .execute(conn)
    .await
    .op("purge sessions")?;
    Ok(done.rows_affected())
}

pub(super) fn expect_one(operation: &'static str, actual: u64) -> Result<(), StoreError> {
    if actual == 1 {
        return Ok(());
    }
    Err(StoreError::RowCount {
        operation,
        expected: 1,
        actual,
    })
}

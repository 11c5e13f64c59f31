use ferrocart_pg_kit::{StoreError, StoreResultExt, sqlstate};
use ferrocart_types::{Email, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::{PersonName, User, UserRole, UserRoles};

const UNIQUE_VIOLATION: &str = "23505";

/// Whether a write found the address free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum EmailOutcome {
    Written,
    Taken,
}

/// A user with the hash of their password.
pub(crate) struct Credentials {
    pub(crate) user: User,
    pub(crate) password_hash: String,
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    user: &User,
    password_hash: &str,
) -> Result<EmailOutcome, StoreError> {
    let done = sqlx::query(
        "INSERT INTO users (user_id, email, name, password_hash, roles, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email) DO NOTHING",
    )
    .bind(user.id.as_uuid())
    .bind(user.email.as_str())
    .bind(user.name.as_str())
    .bind(password_hash)
    .bind(user.roles.names())
    .bind(user.version)
    .bind(user.created_at)
    .bind(user.updated_at)
    .execute(conn)
    .await
    .op("insert user")?;
    Ok(if done.rows_affected() == 1 {
        EmailOutcome::Written
    } else {
        EmailOutcome::Taken
    })
}

pub(crate) async fn find(
    conn: &mut PgConnection,
    user_id: UserId,
) -> Result<Option<Credentials>, StoreError> {
    let row = sqlx::query(
        "SELECT user_id, email, name, password_hash, roles, version, created_at, updated_at
         FROM users WHERE user_id = $1",
    )
    .bind(user_id.as_uuid())
    .fetch_optional(conn)
    .await
    .op("find user")?;
    row.as_ref().map(credentials).transpose()
}

pub(crate) async fn find_by_email(
    conn: &mut PgConnection,
    email: &Email,
) -> Result<Option<Credentials>, StoreError> {
    let row = sqlx::query(
        "SELECT user_id, email, name, password_hash, roles, version, created_at, updated_at
         FROM users WHERE email = $1",
    )
    .bind(email.as_str())
    .fetch_optional(conn)
    .await
    .op("find user by e-mail")?;
    row.as_ref().map(credentials).transpose()
}

/// Writes what may change of a user, if nobody changed them since `before` was read; `None` when
/// somebody did.
pub(crate) async fn update(
    conn: &mut PgConnection,
    before: &User,
    after: &User,
    password_hash: &str,
) -> Result<Option<EmailOutcome>, StoreError> {
    let done = sqlx::query(
        "UPDATE users SET email = $3, name = $4, password_hash = $5, roles = $6, updated_at = $7,
                version = version + 1
         WHERE user_id = $1 AND version = $2",
    )
    .bind(before.id.as_uuid())
    .bind(before.version)
    .bind(after.email.as_str())
    .bind(after.name.as_str())
    .bind(password_hash)
    .bind(after.roles.names())
    .bind(after.updated_at)
    .execute(conn)
    .await;
    match done {
        Ok(done) => Ok((done.rows_affected() == 1).then_some(EmailOutcome::Written)),
        Err(error) if sqlstate(&error).as_deref() == Some(UNIQUE_VIOLATION) => Ok(Some(EmailOutcome::Taken)),
        Err(error) => Err(error).op("update user"),
    }
}

fn credentials(row: &PgRow) -> Result<Credentials, StoreError> {
    let user_id: Uuid = row.try_get("user_id").op("read user")?;
    let corrupt = |column: &'static str, reason: String| StoreError::Corrupt {
        table: "users",
        column,
        row: user_id.to_string(),
        reason,
    };
    let email: String = row.try_get("email").op("read user")?;
    let name: String = row.try_get("name").op("read user")?;
    let roles: Vec<String> = row.try_get("roles").op("read user")?;
    let roles = parse_roles(&roles).map_err(|reason| corrupt("roles", reason))?;
    let created_at: Timestamp = row.try_get("created_at").op("read user")?;
    Ok(Credentials {
        user: User {
            id: UserId(user_id),
            email: Email::parse(&email).map_err(|error| corrupt("email", error.to_string()))?,
            name: PersonName::parse(&name).map_err(|error| corrupt("name", error.to_string()))?,
            roles,
            version: row.try_get("version").op("read user")?,
            created_at,
            updated_at: row.try_get("updated_at").op("read user")?,
        },
        password_hash: row.try_get("password_hash").op("read user")?,
    })
}

pub(super) fn parse_roles(names: &[String]) -> Result<UserRoles, String> {
    let roles = names
        .iter()
        .map(|name| UserRole::parse(name).ok_or_else(|| format!("`{name}` is no role")))
        .collect::<Result<Vec<_>, _>>()?;
    UserRoles::new(roles).ok_or_else(|| "there is none".to_owned())
}

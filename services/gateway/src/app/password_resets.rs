use std::sync::Arc;

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreResultExt, run_tx};
use ferrocart_types::{Email, SharedClock, SharedIds, Timestamp};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;

use super::accounts::Accounts;
use super::hashing::PasswordHasher;
use super::sessions::hash_of;
use crate::config::IdentitySettings;
use crate::domain::{LinkPurpose, Password};
use crate::error::ServiceError;
use crate::store::links::{self, LinkLimit, NewLink};
use crate::store::sessions::{self, Revoked, TokenHash};
use crate::store::users::{self, EmailOutcome};

/// In which one address gets so many links at most.
const LIMITED_IN: TimeDelta = TimeDelta::hours(1);

/// New passwords for those who have forgotten theirs and read the account's mail.
#[derive(Clone)]
pub(crate) struct PasswordResets {
    pub(crate) pool: PgPool,
    pub(crate) hasher: PasswordHasher,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) life: TimeDelta,
    pub(crate) per_hour: i64,
    /// Tells this instance's worker that a link is to be mailed.
    pub(crate) asked: Arc<Notify>,
}

impl PasswordResets {
    pub(crate) fn new(accounts: &Accounts, settings: &IdentitySettings) -> Self {
        Self {
            pool: accounts.pool.clone(),
            hasher: accounts.hasher.clone(),
            clock: accounts.clock.clone(),
            ids: accounts.ids.clone(),
            life: TimeDelta::seconds(settings.password_reset_seconds.into()),
            per_hour: settings.password_resets_per_hour.into(),
            asked: Arc::clone(&accounts.email_changes.asked),
        }
    }

    /// Writes down that somebody asked, and no more: whether there is such an account is looked up later, by the worker
    /// that mails the link, so that neither answer nor time tell.
    pub(crate) async fn ask(&self, email: &Email) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let limit = LinkLimit {
            count: self.per_hour,
            since: now - LIMITED_IN,
        };
        let link = NewLink {
            link_id: self.ids.next(),
            purpose: LinkPurpose::PasswordReset,
            email: email.clone(),
            user_id: None,
            session_id: None,
            asked_at: now,
            expires_at: now + self.life,
        };
        let is_new = run_tx(&self.pool, "ask_for_link", move |conn| {
            let link = link.clone();
            Box::pin(async move { links::ask(conn, &link, limit).await })
        })
        .await?;
        let result = if is_new { "asked" } else { "limited" };
        metrics::counter!("password_resets_total", "result" => result).increment(1);
        if is_new {
            self.asked.notify_one();
        }
        Ok(())
    }

    /// Sets a new password by the link's token, uses the link up, and ends all logins: whoever has the old password
    /// is out.
    pub(crate) async fn confirm(&self, token: &str, password: &Password) -> Result<(), ServiceError> {
        let presented = hash_of(token);
        // Hashing is slow, so it is done for good links alone, and before the transaction.
        let mut conn = self.pool.acquire().await.op("use a link")?;
        links::present(&mut conn, presented, self.clock.now())
            .await?
            .ok_or(ServiceError::InvalidLink)?;
        drop(conn);
        let hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        run_tx(&self.pool, "reset_password", move |conn| {
            let hash = hash.clone();
            Box::pin(async move { reset(conn, presented, &hash, now).await })
        })
        .await?;
        metrics::counter!("password_resets_total", "result" => "done").increment(1);
        Ok(())
    }
}

async fn reset(
    conn: &mut PgConnection,
    presented: TokenHash,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let user_id = links::present(conn, presented, now)
        .await?
        .ok_or(ServiceError::InvalidLink)?;
    let before = users::find(conn, user_id)
        .await?
        .ok_or(ServiceError::InvalidLink)?
        .user;
    let mut after = before.clone();
    after.updated_at = now;
    match users::update(conn, &before, &after, password_hash).await? {
        None => return Err(ServiceError::ConcurrentChange),
        Some(EmailOutcome::Taken) => return Err(ServiceError::EmailTaken),
        Some(EmailOutcome::Written) => {}
    }
    links::use_up(conn, user_id, now).await?;
    let ended = sessions::revoke_all(conn, user_id, Revoked::PasswordChanged, now).await?;
    tracing::info!(user.id = %user_id, ended, "a password was set anew by a mailed link");
    Ok(())
}

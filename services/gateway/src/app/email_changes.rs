use std::sync::Arc;

use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreResultExt, run_tx};
use ferrocart_types::{Email, SharedClock, SharedIds, Timestamp, UserId};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;
use uuid::Uuid;

use super::hashing::PasswordHasher;
use super::sessions::{hash_of, new_link_token};
use crate::config::IdentitySettings;
use crate::domain::{LinkPurpose, Password};
use crate::error::ServiceError;
use crate::store::links::{self, AddressLink, LinkLimit, NewLink};
use crate::store::sessions::{self, Revoked, TokenHash};
use crate::store::users::{self, EmailOutcome};

/// In which an account may ask for so many changes at most.
const LIMITED_IN: TimeDelta = TimeDelta::hours(1);

/// Another e-mail address for an account, once a link that was mailed there comes back. The address before it is told,
/// and can take the account back.
#[derive(Clone)]
pub(crate) struct EmailChanges {
    pub(crate) pool: PgPool,
    pub(crate) hasher: PasswordHasher,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    change_life: TimeDelta,
    restore_life: TimeDelta,
    per_hour: i64,
    /// Tells this instance's worker that a link is to be mailed.
    pub(crate) asked: Arc<Notify>,
}

/// Who asks for another address, from which login.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) user_id: UserId,
    pub(crate) session_id: Uuid,
}

impl EmailChanges {
    pub(crate) fn new(
        pool: PgPool,
        hasher: PasswordHasher,
        (clock, ids): (SharedClock, SharedIds),
        settings: &IdentitySettings,
    ) -> Self {
        Self {
            pool,
            hasher,
            clock,
            ids,
            change_life: TimeDelta::seconds(settings.email_change_seconds.into()),
            restore_life: TimeDelta::seconds(settings.email_restore_seconds.into()),
            per_hour: settings.email_changes_per_hour.into(),
            asked: Arc::default(),
        }
    }

    /// A link to the address that the account is to have.
    pub(super) fn link_to(&self, email: Email, asker: Asker) -> NewLink {
        let now = self.clock.now();
        NewLink {
            link_id: self.ids.next(),
            purpose: LinkPurpose::EmailChange,
            email,
            user_id: Some(asker.user_id),
            session_id: Some(asker.session_id),
            asked_at: now,
            expires_at: now + self.change_life,
        }
    }

    pub(super) fn limit(&self) -> LinkLimit {
        LinkLimit {
            count: self.per_hour,
            since: self.clock.now() - LIMITED_IN,
        }
    }

    /// Gives the account the address to which the link was mailed.
    pub(crate) async fn confirm(&self, token: &str) -> Result<(), ServiceError> {
        let presented = hash_of(token);
        let mut conn = self.pool.acquire().await.op("use a link")?;
        let link = links::present_address(&mut conn, presented, self.clock.now())
            .await?
            .ok_or(ServiceError::InvalidLink)?;
        drop(conn);
        // Hashing is slow, so it is done before the transaction.
        let unknown = match link.purpose {
            LinkPurpose::EmailRestore => Some(self.hash_that_nobody_knows().await?),
            _ => None,
        };
        let this = self.clone();
        run_tx(&self.pool, "change_email", move |conn| {
            let (this, unknown) = (this.clone(), unknown.clone());
            Box::pin(async move { this.change(conn, presented, unknown).await })
        })
        .await?;
        let result = link.purpose.mail();
        metrics::counter!("email_changes_total", "result" => result).increment(1);
        self.asked.notify_one();
        Ok(())
    }

    async fn hash_that_nobody_knows(&self) -> Result<String, ServiceError> {
        let (text, _) = new_link_token()?;
        let password = Password::parse(&text).map_err(|error| ServiceError::Hash(error.to_string()))?;
        self.hasher.hash(&password).await
    }

    async fn change(
        &self,
        conn: &mut PgConnection,
        presented: TokenHash,
        unknown: Option<String>,
    ) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let link = links::present_address(conn, presented, now)
            .await?
            .ok_or(ServiceError::InvalidLink)?;
        let before = users::find(conn, link.user_id)
            .await?
            .ok_or(ServiceError::InvalidLink)?;
        let mut addresses = [&before.user.email, &link.email];
        addresses.sort_by_key(|email| email.as_str());
        for email in addresses {
            links::lock_address(conn, email).await?;
        }
        if links::is_kept_for_another(conn, &link.email, Some(link.user_id), now).await? {
            return Err(ServiceError::EmailTaken);
        }
        let mut after = before.user.clone();
        after.email = link.email.clone();
        after.updated_at = now;
        let hash = unknown.unwrap_or(before.password_hash);
        match users::update(conn, &before.user, &after, &hash).await? {
            None => return Err(ServiceError::ConcurrentChange),
            Some(EmailOutcome::Taken) => return Err(ServiceError::EmailTaken),
            Some(EmailOutcome::Written) => {}
        }
        links::use_up(conn, link.user_id, now).await?;
        if link.purpose == LinkPurpose::EmailRestore {
            self.end_restored(conn, &link, now).await
        } else {
            self.end_changed(conn, &link, before.user.email, now).await
        }
    }

    /// The former address is told. The logins end, that one apart from which the change was asked for.
    async fn end_changed(
        &self,
        conn: &mut PgConnection,
        link: &AddressLink,
        former: Email,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        if former != link.email {
            let back = NewLink {
                link_id: self.ids.next(),
                purpose: LinkPurpose::EmailRestore,
                email: former,
                user_id: Some(link.user_id),
                session_id: None,
                asked_at: now,
                expires_at: now + self.restore_life,
            };
            links::insert(conn, &back).await?;
        }
        let ended =
            sessions::revoke_others(conn, link.user_id, link.session_id, Revoked::EmailChanged, now).await?;
        tracing::info!(user.id = %link.user_id, ended, "an account has another e-mail address");
        Ok(())
    }

    /// Somebody else had the account: all that they have of it ends.
    async fn end_restored(
        &self,
        conn: &mut PgConnection,
        link: &AddressLink,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        links::use_up_restoring(conn, link.user_id, link.asked_at, now).await?;
        let ended = sessions::revoke_all(conn, link.user_id, Revoked::EmailRestored, now).await?;
        tracing::warn!(user.id = %link.user_id, ended, "a former e-mail address took its account back");
        Ok(())
    }
}

use anyhow::Context;
use ferrocart_config::ExposeSecret;
use ferrocart_http_kit::Problem;
use ferrocart_pg_kit::{StoreResultExt, run_tx};
use ferrocart_types::{Email, SharedClock, SharedIds, Timestamp, UserId};
use sqlx::PgPool;

use super::email_changes::{Asker, EmailChanges};
use super::hashing::PasswordHasher;
use super::password_tries::PasswordTries;
use crate::config::IdentitySettings;
use crate::domain::{Password, PersonName, User, UserRole, UserRoles};
use crate::error::ServiceError;
use crate::store::links::{self, NewLink};
use crate::store::sessions::{self, Revoked};
use crate::store::users::{self, Credentials, EmailOutcome};

/// Accounts: registering them, reading and changing them.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) pool: PgPool,
    pub(crate) hasher: PasswordHasher,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) email_changes: EmailChanges,
    pub(crate) tries: PasswordTries,
}

/// What is to change of a profile.
#[derive(Debug, Default)]
pub(crate) struct ProfileChange {
    pub(crate) name: Option<PersonName>,
    pub(crate) email: Option<Email>,
    pub(crate) password: Option<Password>,
    /// Proves that it is the owner who changes the e-mail or the password, not a borrowed token.
    pub(crate) current_password: Option<String>,
}

impl Accounts {
    pub(crate) async fn register(
        &self,
        email: Email,
        name: PersonName,
        password: &Password,
    ) -> Result<User, ServiceError> {
        let roles = UserRoles::one(UserRole::Customer);
        self.create(email, name, password, roles).await
    }

    async fn create(
        &self,
        email: Email,
        name: PersonName,
        password: &Password,
        roles: UserRoles,
    ) -> Result<User, ServiceError> {
        // Before the connection is taken: hashing is slow.
        let hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        let user = User {
            id: UserId(self.ids.next()),
            email,
            name,
            roles,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let written = user.clone();
        run_tx(&self.pool, "register", move |conn| {
            let (user, hash) = (written.clone(), hash.clone());
            Box::pin(async move {
                links::lock_address(conn, &user.email).await?;
                if links::is_kept_for_another(conn, &user.email, None, now).await? {
                    return Err(ServiceError::EmailTaken);
                }
                match users::insert(conn, &user, &hash).await? {
                    EmailOutcome::Written => Ok(()),
                    EmailOutcome::Taken => Err(ServiceError::EmailTaken),
                }
            })
        })
        .await?;
        Ok(user)
    }

    /// Makes the first administrator, if the settings name one who does not exist.
    pub(crate) async fn bootstrap(&self, settings: &IdentitySettings) -> anyhow::Result<()> {
        if settings.bootstrap_admin_email.is_empty() {
            return Ok(());
        }
        let email = Email::parse(&settings.bootstrap_admin_email).context("bootstrap_admin_email")?;
        let mut conn = self.pool.acquire().await?;
        if users::find_by_email(&mut conn, &email).await?.is_some() {
            return Ok(());
        }
        drop(conn);
        let password = Password::parse(settings.bootstrap_admin_password.expose_secret())
            .context("bootstrap_admin_password")?;
        let name = PersonName::parse("Administrator")?;
        let roles = UserRoles::one(UserRole::Admin);
        match self.create(email, name, &password, roles).await {
            Ok(user) => tracing::info!(user.id = %user.id, "the first administrator was made"),
            // Another instance was faster.
            Err(ServiceError::EmailTaken) => {}
            Err(error) => return Err(error).context("making the first administrator"),
        }
        Ok(())
    }

    pub(crate) async fn get(&self, user_id: UserId) -> Result<User, ServiceError> {
        Ok(self.credentials(user_id).await?.user)
    }

    /// Of an owner's change, all but the e-mail address is done at once: that one waits for the link that is mailed there,
    /// and is answered beside the profile. `owner` is `None` when an administrator changes somebody else's profile.
    pub(crate) async fn change_profile(
        &self,
        user_id: UserId,
        change: ProfileChange,
        owner: Option<Asker>,
    ) -> Result<(User, Option<Email>), ServiceError> {
        let before = self.credentials(user_id).await?;
        let new_email = change.email.filter(|email| *email != before.user.email);
        if owner.is_some() && (new_email.is_some() || change.password.is_some()) {
            self.prove(&before, change.current_password.as_deref()).await?;
        }
        let mut after = before.user.clone();
        if let Some(name) = change.name {
            after.name = name;
        }
        let pending = match (new_email, owner) {
            (Some(email), Some(asker)) => {
                self.refuse_taken(&email, user_id).await?;
                Some(self.email_changes.link_to(email, asker))
            }
            (Some(email), None) => {
                after.email = email;
                None
            }
            (None, _) => None,
        };
        let new_hash = match &change.password {
            Some(password) => Some(self.hasher.hash(password).await?),
            None => None,
        };
        let pending_email = pending.as_ref().map(|link| link.email.clone());
        let user = self.write(before, after, new_hash, pending).await?;
        if pending_email.is_some() {
            self.email_changes.asked.notify_one();
        }
        Ok((user, pending_email))
    }

    /// Tells no more than registering does.
    async fn refuse_taken(&self, email: &Email, user_id: UserId) -> Result<(), ServiceError> {
        let mut conn = self.pool.acquire().await.op("look for an address")?;
        let now = self.clock.now();
        if users::find_by_email(&mut conn, email).await?.is_some()
            || links::is_kept_for_another(&mut conn, email, Some(user_id), now).await?
        {
            return Err(ServiceError::EmailTaken);
        }
        Ok(())
    }

    pub(crate) async fn set_roles(&self, user_id: UserId, roles: UserRoles) -> Result<User, ServiceError> {
        let before = self.credentials(user_id).await?;
        let after = User {
            roles,
            ..before.user.clone()
        };
        tracing::info!(user.id = %user_id, roles = ?after.roles.names(), "the roles of a user were set");
        self.write(before, after, None, None).await
    }

    async fn prove(&self, credentials: &Credentials, password: Option<&str>) -> Result<(), ServiceError> {
        let Some(password) = password else {
            let problem =
                Problem::invalid_field("current_password", "is needed to change e-mail or password");
            return Err(problem.into());
        };
        // Whoever borrowed a token must not find the password with it.
        let taken = self.tries.by_owner(credentials.user.id).await?;
        let hash = Some(credentials.password_hash.clone());
        if self.hasher.verify(password, hash).await? {
            self.tries.give_back(taken).await;
            return Ok(());
        }
        Err(Problem::invalid_field("current_password", "is wrong").into())
    }

    async fn credentials(&self, user_id: UserId) -> Result<Credentials, ServiceError> {
        let mut conn = self.pool.acquire().await.op("read user")?;
        users::find(&mut conn, user_id)
            .await?
            .ok_or(ServiceError::UserNotFound)
    }

    /// Writes a changed user; a new password ends all logins that the old one began.
    async fn write(
        &self,
        before: Credentials,
        mut after: User,
        new_hash: Option<String>,
        pending: Option<NewLink>,
    ) -> Result<User, ServiceError> {
        let now = self.clock.now();
        after.updated_at = now;
        after.version = before.user.version + 1;
        let ends_sessions = new_hash.is_some();
        let limit = self.email_changes.limit();
        let hash = new_hash.unwrap_or(before.password_hash);
        let written = after.clone();
        run_tx(&self.pool, "change_user", move |conn| {
            let (before, after, hash) = (before.user.clone(), after.clone(), hash.clone());
            let pending = pending.clone();
            Box::pin(async move {
                match users::update(conn, &before, &after, &hash).await? {
                    None => return Err(ServiceError::ConcurrentChange),
                    Some(EmailOutcome::Taken) => return Err(ServiceError::EmailTaken),
                    Some(EmailOutcome::Written) => {}
                }
                if ends_sessions {
                    sessions::revoke_all(conn, after.id, Revoked::PasswordChanged, now).await?;
                    links::use_up(conn, after.id, now).await?;
                }
                if after.email != before.email {
                    // An administrator's word goes before that of whoever reads a former address.
                    links::use_up(conn, after.id, now).await?;
                    links::use_up_restoring(conn, after.id, Timestamp::UNIX_EPOCH, now).await?;
                }
                match pending {
                    Some(link) if !links::ask(conn, &link, limit).await? => Err(ServiceError::TooManyLinks),
                    _ => Ok(()),
                }
            })
        })
        .await?;
        Ok(written)
    }
}

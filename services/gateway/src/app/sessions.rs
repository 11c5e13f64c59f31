use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ferrocart_http_kit::Role;
use ferrocart_pg_kit::{StoreResultExt, run_tx};
use ferrocart_types::{Email, SharedClock, SharedIds, Timestamp, UserId};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::hashing::{PasswordHasher, fill};
use super::keys::{AccessTokens, Subject};
use super::password_tries::{PasswordTries, Try};
use crate::config::IdentitySettings;
use crate::domain::User;
use crate::error::ServiceError;
use crate::store::sessions::{self, Revoked, Session, TokenHash};
use crate::store::users;

/// So that a token found in a log or a repository is recognized as one of ours.
const REFRESH_PREFIX: &str = "frt_";
const LINK_PREFIX: &str = "prt_";

/// The answer to a login, a refresh and the begin of a guest session.
#[derive(Debug)]
pub(crate) struct IssuedTokens {
    pub(crate) access_token: String,
    pub(crate) expires_in: u32,
    pub(crate) refresh_token: String,
}

/// Logins, guests, and the refresh tokens that keep them alive.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) pool: PgPool,
    pub(crate) hasher: PasswordHasher,
    pub(crate) tries: PasswordTries,
    pub(crate) tokens: AccessTokens,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
    pub(crate) session_life: TimeDelta,
    pub(crate) guest_life: TimeDelta,
}

/// Where a login comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) address: String,
    /// The device's last one, if it has any.
    pub(crate) refresh_token: Option<String>,
}

/// How the use of a refresh token ended; both ways are committed.
enum Refreshed {
    Rotated(Subject),
    Refused,
}

impl Sessions {
    pub(crate) fn new(
        pool: PgPool,
        (hasher, tries): (PasswordHasher, PasswordTries),
        tokens: AccessTokens,
        (clock, ids): (SharedClock, SharedIds),
        settings: &IdentitySettings,
    ) -> Self {
        Self {
            pool,
            hasher,
            tries,
            tokens,
            clock,
            ids,
            session_life: TimeDelta::seconds(settings.session_seconds.into()),
            guest_life: TimeDelta::seconds(settings.guest_session_seconds.into()),
        }
    }

    /// An unknown e-mail and a wrong password get the same answer after the same work.
    pub(crate) async fn log_in(
        &self,
        email: Option<Email>,
        password: &str,
        from: &Origin,
    ) -> Result<IssuedTokens, ServiceError> {
        let taken = match &email {
            Some(email) => Some(self.take_try(email, from).await?),
            None => None,
        };
        let found = match &email {
            Some(email) => {
                let mut conn = self.pool.acquire().await.op("log in")?;
                users::find_by_email(&mut conn, email).await?
            }
            None => None,
        };
        let hash = found.as_ref().map(|found| found.password_hash.clone());
        let matches = self.hasher.verify(password, hash).await?;
        let Some(found) = found.filter(|_| matches) else {
            metrics::counter!("logins_total", "result" => "refused").increment(1);
            return Err(ServiceError::InvalidCredentials);
        };
        if let Some(taken) = taken {
            self.tries.give_back(taken).await;
        }
        metrics::counter!("logins_total", "result" => "ok").increment(1);
        let session = Session {
            session_id: self.ids.next(),
            user_id: Some(found.user.id),
        };
        let refresh_token = self
            .begin(session, Some(from.address.clone()), self.session_life)
            .await?;
        self.answer(&user_subject(&found.user, session), refresh_token)
    }

    /// Strangers have their tries for an account together. When these are used up, a device and a network address from
    /// which it was logged in to have tries of their own.
    async fn take_try(&self, email: &Email, from: &Origin) -> Result<Try, ServiceError> {
        let refused = match self.tries.by_anybody(email).await {
            Err(refused @ ServiceError::TooManyTries(_)) => refused,
            taken => return taken,
        };
        let mut conn = self.pool.acquire().await.op("look for former logins")?;
        let token = from.refresh_token.as_deref().map(hash_of);
        let familiar = sessions::familiar(&mut conn, email, token, &from.address).await?;
        drop(conn);
        let taken = match familiar {
            Some(familiar) => self.tries.by_familiar(email, &familiar, &from.address).await,
            None => Err(refused),
        };
        if let Err(ServiceError::TooManyTries(_)) = &taken {
            metrics::counter!("logins_total", "result" => "limited").increment(1);
        }
        taken
    }

    pub(crate) async fn guest(&self) -> Result<IssuedTokens, ServiceError> {
        let session = Session {
            session_id: self.ids.next(),
            user_id: None,
        };
        let refresh_token = self.begin(session, None, self.guest_life).await?;
        self.answer(&guest_subject(session), refresh_token)
    }

    /// A new pair for a refresh token, which is thereby used up. A token that comes a second time was
    /// stolen, or its thief was faster: the whole session ends.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<IssuedTokens, ServiceError> {
        let presented = hash_of(refresh_token);
        let (next, next_hash) = new_refresh_token()?;
        let now = self.clock.now();
        let this = self.clone();
        let refreshed = run_tx(&self.pool, "refresh", move |conn| {
            let this = this.clone();
            Box::pin(async move { this.rotate(conn, presented, next_hash, now).await })
        })
        .await?;
        match refreshed {
            Refreshed::Rotated(subject) => self.answer(&subject, next),
            Refreshed::Refused => Err(ServiceError::InvalidRefreshToken),
        }
    }

    async fn rotate(
        &self,
        conn: &mut sqlx::PgConnection,
        presented: TokenHash,
        next: TokenHash,
        now: Timestamp,
    ) -> Result<Refreshed, ServiceError> {
        let Some(found) = sessions::present(conn, presented).await? else {
            return Ok(Refreshed::Refused);
        };
        let session = found.session;
        if found.is_used {
            tracing::warn!(session.id = %session.session_id, "a used refresh token came again: the session ends");
            metrics::counter!("refresh_token_reuse_total").increment(1);
            sessions::revoke(conn, session.session_id, Revoked::Reuse, now).await?;
            return Ok(Refreshed::Refused);
        }
        if found.is_revoked || found.expires_at <= now {
            return Ok(Refreshed::Refused);
        }
        let (subject, life) = match session.user_id {
            None => (guest_subject(session), self.guest_life),
            Some(user_id) => match users::find(conn, user_id).await? {
                Some(credentials) => (user_subject(&credentials.user, session), self.session_life),
                None => return Ok(Refreshed::Refused),
            },
        };
        sessions::mark_used(conn, presented, now).await?;
        sessions::insert_token(conn, session.session_id, next, now).await?;
        sessions::extend(conn, session.session_id, now + life).await?;
        Ok(Refreshed::Rotated(subject))
    }

    /// Ends the session of the token. Logging out twice, or with a token that nobody knows, is no error:
    /// the caller is logged out.
    pub(crate) async fn log_out(&self, refresh_token: &str) -> Result<(), ServiceError> {
        let presented = hash_of(refresh_token);
        let now = self.clock.now();
        run_tx(&self.pool, "log_out", move |conn| {
            Box::pin(async move {
                if let Some(found) = sessions::present(conn, presented).await? {
                    sessions::revoke(conn, found.session.session_id, Revoked::Logout, now).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Ends all logins of a user, wherever they are. Access tokens that are out end by themselves, within minutes.
    pub(crate) async fn log_out_everywhere(&self, user_id: UserId) -> Result<(), ServiceError> {
        let now = self.clock.now();
        run_tx(&self.pool, "log_out_everywhere", move |conn| {
            Box::pin(async move {
                let ended = sessions::revoke_all(conn, user_id, Revoked::LogoutEverywhere, now).await?;
                tracing::info!(user.id = %user_id, ended, "the logins of a user were ended");
                Ok(())
            })
        })
        .await
    }

    async fn begin(
        &self,
        session: Session,
        address: Option<String>,
        life: TimeDelta,
    ) -> Result<String, ServiceError> {
        let (token, hash) = new_refresh_token()?;
        let now = self.clock.now();
        run_tx::<_, ServiceError, _>(&self.pool, "begin_session", move |conn| {
            let address = address.clone();
            Box::pin(async move {
                sessions::insert(conn, session, address.as_deref(), (now, now + life)).await?;
                Ok(sessions::insert_token(conn, session.session_id, hash, now).await?)
            })
        })
        .await?;
        Ok(token)
    }

    fn answer(&self, subject: &Subject, refresh_token: String) -> Result<IssuedTokens, ServiceError> {
        Ok(IssuedTokens {
            access_token: self.tokens.issue(subject, self.ids.next())?,
            expires_in: self.tokens.life_seconds(),
            refresh_token,
        })
    }
}

fn user_subject(user: &User, session: Session) -> Subject {
    Subject {
        id: user.id.into(),
        roles: user.roles.to_roles(),
        email: Some(user.email.clone()),
        session_id: session.session_id,
        machine: None,
    }
}

fn guest_subject(session: Session) -> Subject {
    Subject {
        id: session.session_id,
        roles: vec![Role::Guest],
        email: None,
        session_id: session.session_id,
        machine: None,
    }
}

fn new_refresh_token() -> Result<(String, TokenHash), ServiceError> {
    new_token(REFRESH_PREFIX)
}

/// For a link that is mailed.
pub(crate) fn new_link_token() -> Result<(String, TokenHash), ServiceError> {
    new_token(LINK_PREFIX)
}

fn new_token(prefix: &str) -> Result<(String, TokenHash), ServiceError> {
    let mut random = [0; 32];
    fill(&mut random)?;
    let token = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random));
    let hash = hash_of(&token);
    Ok((token, hash))
}

pub(super) fn hash_of(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

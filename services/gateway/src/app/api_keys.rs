use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ferrocart_pg_kit::{StoreResultExt, run_tx};
use ferrocart_types::{SharedClock, SharedIds, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use super::hashing::fill;
use super::keys::{AccessTokens, Subject};
use super::sessions::hash_of;
use crate::domain::{ApiKey, PersonName, Scope, UserRoles};
use crate::error::ServiceError;
use crate::store::{api_keys, users};

/// So that a secret found in a log or a repository is recognized as one of ours.
const SECRET_PREFIX: &str = "fsk_";
/// Good keys of one user.
const KEYS_MAX: i64 = 20;
const LISTED_MAX: i64 = 200;

/// The credentials of machines: making and revoking them, and signing in with them.
#[derive(Clone)]
pub(crate) struct ApiKeys {
    pub(crate) pool: PgPool,
    pub(crate) tokens: AccessTokens,
    pub(crate) clock: SharedClock,
    pub(crate) ids: SharedIds,
}

/// What a new key shall be.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) name: PersonName,
    pub(crate) scope: Scope,
    /// Some of its owner's; without it, all.
    pub(crate) roles: Option<UserRoles>,
    pub(crate) life: Option<TimeDelta>,
}

/// An access token for a machine, which needs no refresh token: it has its key.
#[derive(Debug)]
pub(crate) struct MachineToken {
    pub(crate) access_token: String,
    pub(crate) expires_in: u32,
    pub(crate) scope: Scope,
}

impl ApiKeys {
    /// The key and its secret, which is told this once.
    pub(crate) async fn create(
        &self,
        user_id: UserId,
        new: NewKey,
    ) -> Result<(ApiKey, String), ServiceError> {
        let mut random = [0; 32];
        fill(&mut random)?;
        let secret = format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash = hash_of(&secret);
        let (now, id) = (self.clock.now(), self.ids.next());
        let key = run_tx(&self.pool, "create_api_key", move |conn| {
            let new = new.clone();
            Box::pin(async move {
                let owner = users::find(conn, user_id)
                    .await?
                    .ok_or(ServiceError::UserNotFound)?;
                let own = owner.user.roles;
                let roles = new.roles.unwrap_or_else(|| own.clone());
                if own.common(&roles).as_ref() != Some(&roles) {
                    return Err(ServiceError::RoleNotYours);
                }
                let key = ApiKey {
                    id,
                    user_id,
                    name: new.name,
                    scope: new.scope,
                    roles,
                    created_at: now,
                    expires_at: new.life.map(|life| now + life),
                    revoked_at: None,
                };
                if api_keys::insert(conn, &key, hash, KEYS_MAX).await? {
                    Ok(key)
                } else {
                    Err(ServiceError::KeyLimit(KEYS_MAX))
                }
            })
        })
        .await?;
        tracing::info!(user.id = %user_id, key.id = %key.id, scope = key.scope.as_str(), "an API key was made");
        Ok((key, secret))
    }

    pub(crate) async fn list(&self, user_id: UserId) -> Result<Vec<ApiKey>, ServiceError> {
        let mut conn = self.pool.acquire().await.op("list API keys")?;
        Ok(api_keys::list(&mut conn, user_id, LISTED_MAX).await?)
    }

    /// No new token is given for it from now on; those that are out end by themselves, within minutes.
    pub(crate) async fn revoke(&self, user_id: UserId, key_id: Uuid) -> Result<(), ServiceError> {
        let mut conn = self.pool.acquire().await.op("revoke API key")?;
        if api_keys::revoke(&mut conn, user_id, key_id, self.clock.now()).await? {
            tracing::info!(user.id = %user_id, key.id = %key_id, "an API key was revoked");
            Ok(())
        } else {
            Err(ServiceError::KeyNotFound)
        }
    }

    /// A token with the roles that the key was given and its owner still has.
    pub(crate) async fn sign_in(
        &self,
        key_id: &str,
        secret: &str,
        asked: Option<Scope>,
    ) -> Result<MachineToken, ServiceError> {
        let key_id: Uuid = key_id.parse().map_err(|_| ServiceError::InvalidClient)?;
        let mut conn = self.pool.acquire().await.op("sign in")?;
        let key = api_keys::find(&mut conn, key_id, hash_of(secret))
            .await?
            .filter(|key| key.is_good_at(self.clock.now()))
            .ok_or(ServiceError::InvalidClient)?;
        let owner = users::find(&mut conn, key.user_id)
            .await?
            .ok_or(ServiceError::InvalidClient)?;
        drop(conn);
        let roles = key
            .roles
            .common(&owner.user.roles)
            .ok_or(ServiceError::InvalidClient)?;
        let scope = key.scope.narrow(asked).ok_or(ServiceError::InvalidScope)?;
        let subject = Subject {
            id: key.user_id.into(),
            roles: roles.to_roles(),
            email: Some(owner.user.email),
            session_id: key.id,
            machine: Some((key.id, scope)),
        };
        Ok(MachineToken {
            access_token: self.tokens.issue(&subject, self.ids.next())?,
            expires_in: self.tokens.life_seconds(),
            scope,
        })
    }
}

use std::sync::Arc;
use std::time::Duration;

use ferrocart_http_kit::{Problem, Role, TokenIssuer, UserIdentity};
use ferrocart_types::UserId;
use moka::future::Cache;
use uuid::Uuid;

use super::table::Service;
use crate::app::AccessClaims;

const CACHED_MAX: u64 = 20_000;
/// Half of an internal token's life: the service gets it with at least the other half left.
const CACHED_FOR: Duration = Duration::from_secs(30);

/// The short-lived tokens in which services are told who is calling. One is reused for the calls that a
/// client makes with the same access token.
#[derive(Clone)]
pub(crate) struct InternalTokens {
    issuer: TokenIssuer,
    /// By access token, so that a change of roles shows with the next one.
    cache: Cache<(Uuid, Service), Arc<str>>,
}

impl InternalTokens {
    pub(crate) fn new(issuer: TokenIssuer) -> Self {
        let cache = Cache::builder()
            .max_capacity(CACHED_MAX)
            .time_to_live(CACHED_FOR)
            .build();
        Self { issuer, cache }
    }

    pub(crate) async fn token(
        &self,
        service: Service,
        claims: Option<&AccessClaims>,
    ) -> Result<Arc<str>, Problem> {
        let key = (claims.map_or_else(Uuid::nil, |claims| claims.jti), service);
        if let Some(token) = self.cache.get(&key).await {
            return Ok(token);
        }
        let token: Arc<str> = self
            .issuer
            .user_token(service.name(), &identity(claims, None))?
            .into();
        self.cache.insert(key, Arc::clone(&token)).await;
        Ok(token)
    }

    /// For calls of the gateway's own.
    pub(crate) fn service_token(&self, service: Service) -> Result<String, Problem> {
        self.issuer.service_token(service.name())
    }

    /// For the one call that brings a guest session along.
    pub(crate) fn token_with_guest(
        &self,
        service: Service,
        claims: &AccessClaims,
        guest_session: Uuid,
    ) -> Result<Arc<str>, Problem> {
        let identity = identity(Some(claims), Some(guest_session));
        Ok(self.issuer.user_token(service.name(), &identity)?.into())
    }
}

fn identity(claims: Option<&AccessClaims>, guest_session: Option<Uuid>) -> UserIdentity {
    match claims {
        None => UserIdentity {
            user_id: UserId(Uuid::nil()),
            roles: vec![Role::Anonymous],
            email: None,
            guest_session: None,
        },
        Some(claims) => UserIdentity {
            user_id: UserId(claims.sub),
            roles: claims.roles.clone(),
            email: claims.email.clone(),
            guest_session,
        },
    }
}

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ferrocart_http_kit::{KeyFiles, Problem, Role, signing_keys};
use ferrocart_types::{Email, SharedClock};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::outside::OutsideTokens;
use crate::config::IdentitySettings;
use crate::domain::Scope;

const AUDIENCE: &str = "ferrocart";
/// RFC 9068: an access token, so that no other JWT of ours passes for one.
const TOKEN_TYPE: &str = "at+jwt";
/// Longer ones are refused before anything is parsed.
const TOKEN_BYTES_MAX: usize = 4096;
/// Tokens whose signature was checked a moment ago.
pub(super) const CHECKED_MAX: u64 = 10_000;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The user, or the guest's session.
    pub(crate) sub: Uuid,
    pub(crate) roles: Vec<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<Email>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    /// Ours say none; what says that it is not valid yet is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<i64>,
    pub(crate) jti: Uuid,
    /// The session that the token belongs to; of a machine, its key.
    pub(crate) sid: Uuid,
    /// The API key with which a machine signed in (RFC 9068).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Scope>,
}

impl AccessClaims {
    pub(crate) fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Signs and checks the access tokens of users.
#[derive(Clone)]
pub(crate) struct AccessTokens {
    inner: Arc<Inner>,
}

struct Inner {
    keys: KeyFiles<KeyRing>,
    validation: Validation,
    issuer: String,
    life_seconds: u32,
    clock: SharedClock,
    outside: Option<OutsideTokens>,
}

/// The keys of the file: the first one signs, all of them check.
struct KeyRing {
    header: Header,
    signing: EncodingKey,
    checking: HashMap<String, DecodingKey>,
    jwks: serde_json::Value,
    /// Forgotten with the keys: what a key has signed that is not there any more is good no more.
    checked: Cache<String, Arc<AccessClaims>>,
}

impl KeyRing {
    fn new(file: &[u8]) -> anyhow::Result<Self> {
        let keys = signing_keys(file)?;
        let first = keys.first().context("there is no key")?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(thumbprint(&first.x));
        header.typ = Some(TOKEN_TYPE.to_owned());
        let mut checking = HashMap::new();
        let mut public = Vec::new();
        for key in &keys {
            let kid = thumbprint(&key.x);
            public.push(serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": key.x,
            }));
            checking.insert(kid, DecodingKey::from_ed_components(&key.x)?);
        }
        Ok(Self {
            header,
            signing: EncodingKey::from_ed_pem(first.pem.as_bytes())?,
            checking,
            jwks: serde_json::json!({ "keys": public }),
            checked: Cache::new(CHECKED_MAX),
        })
    }
}

impl AccessTokens {
    pub(crate) fn load(settings: &IdentitySettings, clock: SharedClock) -> anyhow::Result<Self> {
        let paths = vec![settings.jwt_signing_key_file.clone()];
        let keys = KeyFiles::load(paths, |files| {
            KeyRing::new(files.first().map_or(&[], Vec::as_slice))
        })
        .context("jwt_signing_key_file")?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&settings.token_issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // By our own clock, below: tests move it.
        validation.validate_exp = false;
        Ok(Self {
            inner: Arc::new(Inner {
                keys,
                validation,
                issuer: settings.token_issuer.clone(),
                life_seconds: settings.access_token_seconds,
                outside: OutsideTokens::new(&settings.oidc, clock.clone())?,
                clock,
            }),
        })
    }

    /// The outside issuer's, whose keys are to be fetched.
    pub(crate) fn outside(&self) -> Option<&OutsideTokens> {
        self.inner.outside.as_ref()
    }

    /// The public keys, as `/.well-known/jwks.json` gives them.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.inner.keys.get().jwks.clone()
    }

    pub(crate) fn life_seconds(&self) -> u32 {
        self.inner.life_seconds
    }

    pub(crate) fn issue(&self, subject: &Subject, jti: Uuid) -> Result<String, Problem> {
        let now = self.inner.clock.now().timestamp();
        let claims = AccessClaims {
            iss: self.inner.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.id,
            roles: subject.roles.clone(),
            email: subject.email.clone(),
            iat: now,
            exp: now + i64::from(self.inner.life_seconds),
            nbf: None,
            jti,
            sid: subject.session_id,
            client_id: subject.machine.map(|(key_id, _)| key_id),
            scope: subject.machine.map(|(_, scope)| scope),
        };
        let keys = self.inner.keys.get();
        encode(&keys.header, &claims, &keys.signing).map_err(|error| {
            tracing::error!(%error, "an access token could not be signed");
            Problem::internal()
        })
    }

    /// The claims of a valid token. Why one is refused helps only those who forge them, so it stands in the
    /// debug log alone; that a token is too old is told, because the holder can do something about it.
    pub(crate) async fn check(&self, token: &str) -> Result<Arc<AccessClaims>, TokenRefused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::Invalid);
        }
        if let Some(outside) = &self.inner.outside
            && issuer_of(token).as_deref() == Some(outside.issuer())
        {
            return outside.check(token).await;
        }
        let mut keys = self.inner.keys.get();
        let claims = if let Some(claims) = keys.checked.get(token).await {
            claims
        } else {
            let claims = Arc::new(self.verify(token, &mut keys).map_err(|error| {
                tracing::debug!(error = format!("{error:#}"), "an access token was refused");
                TokenRefused::Invalid
            })?);
            keys.checked.insert(token.to_owned(), Arc::clone(&claims)).await;
            claims
        };
        if claims.exp <= self.inner.clock.now().timestamp() {
            keys.checked.invalidate(token).await;
            return Err(TokenRefused::Expired);
        }
        Ok(claims)
    }

    fn verify(&self, token: &str, keys: &mut Arc<KeyRing>) -> anyhow::Result<AccessClaims> {
        let header = decode_header(token)?;
        let kid = header.kid.context("no `kid`")?;
        if !keys.checking.contains_key(&kid) {
            // A key that has just come.
            *keys = self.inner.keys.get_anew();
        }
        let key = keys.checking.get(&kid).context("unknown `kid`")?;
        anyhow::ensure!(header.typ.as_deref() == Some(TOKEN_TYPE), "no access token");
        // RFC 7515: what must be understood and is not makes a token invalid. We understand no extension.
        anyhow::ensure!(header.crit.is_none(), "an extension that must be understood");
        let claims = decode::<AccessClaims>(token, key, &self.inner.validation)?.claims;
        let now = self.inner.clock.now().timestamp();
        anyhow::ensure!(claims.nbf.is_none_or(|from| from <= now), "not valid yet");
        let foreign = [Role::Service, Role::Anonymous];
        anyhow::ensure!(
            !claims.roles.iter().any(|role| foreign.contains(role)),
            "a role that no user has"
        );
        anyhow::ensure!(
            claims.client_id.is_some() == claims.scope.is_some(),
            "a machine has a scope, and nobody else"
        );
        Ok(claims)
    }
}

/// Whom a token is for.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) id: Uuid,
    pub(crate) roles: Vec<Role>,
    pub(crate) email: Option<Email>,
    pub(crate) session_id: Uuid,
    /// The API key, and what may be done with the token.
    pub(crate) machine: Option<(Uuid, Scope)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRefused {
    #[error("the access token is not valid")]
    Invalid,
    #[error("the access token has expired: refresh it")]
    Expired,
}

impl From<TokenRefused> for Problem {
    fn from(refused: TokenRefused) -> Self {
        Self::unauthenticated(refused.to_string())
    }
}

/// Whose token it says it is; that is checked by whoever checks the token.
fn issuer_of(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some(serde_json::from_slice::<Issuer>(&claims).ok()?.iss)
}

/// RFC 7638 with RFC 8037: the key names itself, so that a new key is a new name.
fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ferrocart_http_kit::Role;
use ferrocart_types::{Email, SharedClock};
use futures::StreamExt;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keys::{AccessClaims, CHECKED_MAX, TokenRefused};
use crate::config::{OidcSettings, is_safe};
use crate::domain::{UserRole, UserRoles};

/// One call of the issuer.
const TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A set of keys is a few kilobytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 100;
/// How often the issuer is asked at most because of keys that are not known.
const MISSED_EVERY: Duration = Duration::from_secs(10);
const LEEWAY_SECONDS: i64 = 5;
/// What others sign with a secret that we should have to know is none of these.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Checks the access tokens of an outside issuer, by the keys that it publishes. While it is away, the keys that it had are
/// good.
#[derive(Clone)]
pub(crate) struct OutsideTokens {
    inner: Arc<Inner>,
}

struct Inner {
    settings: OidcSettings,
    http: reqwest::Client,
    clock: SharedClock,
    keys: RwLock<Arc<Keys>>,
    /// When the issuer was asked last.
    asked: Mutex<Option<Instant>>,
}

struct Keys {
    by_kid: HashMap<String, (DecodingKey, Algorithm)>,
    /// Forgotten with the keys.
    checked: Cache<String, Arc<AccessClaims>>,
}

impl Keys {
    fn new(set: &JwkSet) -> Self {
        let mut by_kid = HashMap::new();
        // A key of a kind that we do not know is for others.
        for jwk in set.keys.iter().take(KEYS_MAX) {
            if let (Some(kid), Some(algorithm), Ok(key)) =
                (&jwk.common.key_id, algorithm(jwk), DecodingKey::from_jwk(jwk))
            {
                by_kid.insert(kid.clone(), (key, algorithm));
            }
        }
        Self {
            by_kid,
            checked: Cache::new(CHECKED_MAX),
        }
    }
}

/// The one algorithm that a key is for: what a token says itself decides nothing.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let by_kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
        // A secret, or what we do not know.
        _ => return None,
    };
    match jwk.common.key_algorithm {
        None => Some(by_kind),
        Some(named) => Algorithm::from_str(&named.to_string())
            .ok()
            .filter(|named| ALGORITHMS.contains(named)),
    }
}

/// What is read of a foreign token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<bool>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl OutsideTokens {
    /// `None` when there is no outside issuer.
    pub(crate) fn new(settings: &OidcSettings, clock: SharedClock) -> anyhow::Result<Option<Self>> {
        if settings.oidc_issuer.is_empty() {
            return Ok(None);
        }
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Some(Self {
            inner: Arc::new(Inner {
                settings: settings.clone(),
                http,
                clock,
                keys: RwLock::new(Arc::new(Keys::new(&JwkSet { keys: Vec::new() }))),
                asked: Mutex::default(),
            }),
        }))
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.inner.settings.oidc_issuer
    }

    /// Fetches the keys at once, and then again and again.
    pub(crate) async fn refresh(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let period = Duration::from_secs(self.inner.settings.oidc_refresh_seconds.into());
        loop {
            let pause = match self.fetch().await {
                Ok(()) => period,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the outside issuer's keys could not be fetched"
                    );
                    period.min(MISSED_EVERY)
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<()> {
        let mut asked = self.inner.asked.lock().await;
        *asked = Some(Instant::now());
        let outcome = self.keys_of_issuer().await;
        let result = if outcome.is_ok() { "ok" } else { "error" };
        metrics::counter!("oidc_key_fetches_total", "result" => result).increment(1);
        let keys = Arc::new(Keys::new(&outcome?));
        *self.inner.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    async fn keys_of_issuer(&self) -> anyhow::Result<JwkSet> {
        let settings = &self.inner.settings;
        let url = if settings.oidc_jwks_url.is_empty() {
            let base = settings.oidc_issuer.trim_end_matches('/');
            let at = format!("{base}/.well-known/openid-configuration");
            let discovery: Discovery = self.get(&at).await?;
            ensure!(
                discovery.issuer == settings.oidc_issuer,
                "{at} speaks of another issuer: {}",
                discovery.issuer
            );
            ensure!(
                is_safe(&discovery.jwks_uri),
                "{} is not https",
                discovery.jwks_uri
            );
            discovery.jwks_uri
        } else {
            settings.oidc_jwks_url.clone()
        };
        // A key of a kind that nobody here knows must not hide the others.
        let set: Value = self.get(&url).await?;
        let keys = set["keys"].as_array().context("a JWK set is expected")?;
        let known = keys
            .iter()
            .filter_map(|key| serde_json::from_value(key.clone()).ok());
        Ok(JwkSet {
            keys: known.collect(),
        })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let answer = self.inner.http.get(url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
            ensure!(body.len() <= BODY_BYTES_MAX, "{url}: the answer is too long");
        }
        serde_json::from_slice(&body).with_context(|| format!("{url}: not what was expected"))
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.inner.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys, fetched anew if nobody did a moment ago.
    async fn keys_with(&self, kid: &str) -> Arc<Keys> {
        let keys = self.keys();
        if keys.by_kid.contains_key(kid) {
            return keys;
        }
        {
            // Whoever comes while somebody asks waits for that one's answer.
            let asked = self.inner.asked.lock().await;
            let keys = self.keys();
            if keys.by_kid.contains_key(kid) || asked.is_some_and(|at| at.elapsed() < MISSED_EVERY) {
                return keys;
            }
        }
        if let Err(error) = self.fetch().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "the outside issuer's keys could not be fetched"
            );
        }
        self.keys()
    }

    pub(crate) async fn check(&self, token: &str) -> Result<Arc<AccessClaims>, TokenRefused> {
        let refuse = |error: anyhow::Error| {
            tracing::debug!(
                error = format!("{error:#}"),
                "an outside issuer's token was refused"
            );
            TokenRefused::Invalid
        };
        let keys = self.keys();
        let claims = if let Some(claims) = keys.checked.get(token).await {
            claims
        } else {
            let kid = decode_header(token).map_err(|error| refuse(error.into()))?.kid;
            let kid = kid.context("no `kid`").map_err(refuse)?;
            let keys = self.keys_with(&kid).await;
            let claims = Arc::new(self.verify(token, &kid, &keys).map_err(refuse)?);
            keys.checked.insert(token.to_owned(), Arc::clone(&claims)).await;
            claims
        };
        if claims.exp + LEEWAY_SECONDS <= self.inner.clock.now().timestamp() {
            return Err(TokenRefused::Expired);
        }
        Ok(claims)
    }

    fn verify(&self, token: &str, kid: &str, keys: &Keys) -> anyhow::Result<AccessClaims> {
        let settings = &self.inner.settings;
        let (key, algorithm) = keys.by_kid.get(kid).context("unknown `kid`")?;
        let header = decode_header(token)?;
        ensure!(header.crit.is_none(), "an extension that must be understood");
        let typ = header.typ.map(|typ| typ.to_lowercase());
        ensure!(
            matches!(
                typ.as_deref(),
                None | Some("jwt" | "at+jwt" | "application/at+jwt")
            ),
            "no access token"
        );
        let mut validation = Validation::new(*algorithm);
        validation.set_audience(&[&settings.oidc_audience]);
        validation.set_issuer(&[&settings.oidc_issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // By our own clock: tests move it.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, key, &validation)?.claims;
        let now = self.inner.clock.now().timestamp();
        ensure!(
            claims.nbf.is_none_or(|from| from <= now + LEEWAY_SECONDS),
            "not valid yet"
        );
        ensure!(!claims.sub.is_empty(), "nobody");
        let user = self.user_id(&claims.sub);
        Ok(AccessClaims {
            iss: settings.oidc_issuer.clone(),
            aud: settings.oidc_audience.clone(),
            sub: user,
            roles: self.roles(&claims.others)?,
            // An address that nobody has looked at could be another customer's.
            email: claims
                .email
                .filter(|_| claims.email_verified == Some(true))
                .and_then(|email| Email::parse(&email).ok()),
            iat: claims.iat.unwrap_or(now),
            exp: claims.exp,
            nbf: claims.nbf,
            jti: Uuid::new_v5(&user, token.as_bytes()),
            sid: user,
            client_id: None,
            scope: None,
        })
    }

    /// The same one always, and nobody else's: made of issuer and subject.
    fn user_id(&self, subject: &str) -> Uuid {
        let issuer = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.inner.settings.oidc_issuer.as_bytes());
        Uuid::new_v5(&issuer, subject.as_bytes())
    }

    fn roles(&self, claims: &serde_json::Map<String, Value>) -> anyhow::Result<Vec<Role>> {
        let settings = &self.inner.settings;
        let theirs = at(claims, &settings.oidc_roles_claim);
        let names: Vec<&str> = match theirs {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            // As in `scope`.
            Some(Value::String(names)) => names.split_whitespace().collect(),
            _ => Vec::new(),
        };
        let mapped = names
            .iter()
            .flat_map(|name| settings.oidc_roles.iter().filter_map(|mapping| mapping.of(name)));
        let roles: Vec<UserRole> = mapped
            .chain(settings.oidc_default_roles.iter().copied())
            .collect();
        let roles = UserRoles::new(roles).context("no role of theirs is one of ours")?;
        Ok(roles.to_roles())
    }
}

/// A claim by its name, or by a path into it: names with a dot or a slash, as URLs have, are names first.
fn at<'a>(claims: &'a serde_json::Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_found_by_name_and_by_path() {
        let claims =
            serde_json::json!({"roles": 1, "https://shop.example/roles": 2, "realm_access": {"roles": 3}});
        let claims = claims.as_object().unwrap();
        let found = |path| at(claims, path).and_then(Value::as_i64);
        assert_eq!(found("roles"), Some(1));
        assert_eq!(found("https://shop.example/roles"), Some(2));
        assert_eq!(found("realm_access.roles"), Some(3));
        assert_eq!(found("realm_access.x"), None);
    }

    #[test]
    fn a_key_is_for_one_algorithm() {
        let of = |jwk: Value| {
            serde_json::from_value::<Jwk>(jwk)
                .ok()
                .and_then(|jwk| algorithm(&jwk))
        };
        let rsa = |more: Value| {
            let mut jwk = serde_json::json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
            jwk.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            of(jwk)
        };
        assert_eq!(rsa(serde_json::json!({})), Some(Algorithm::RS256));
        assert_eq!(rsa(serde_json::json!({"alg": "PS256"})), Some(Algorithm::PS256));
        assert_eq!(rsa(serde_json::json!({"alg": "HS256"})), None);
        assert_eq!(rsa(serde_json::json!({"use": "enc"})), None);
        assert_eq!(of(serde_json::json!({"kty": "oct", "k": "AQAB"})), None);
    }
}

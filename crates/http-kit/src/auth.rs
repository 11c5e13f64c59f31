//! Identity between processes. The gateway states in a short-lived token who the caller is, services
//! state in one who they are; each service checks every token itself, with public keys from a file,
//! so that no check waits on the network. The files may change while the service runs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use ferrocart_types::{Email, SharedClock, UserId};
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    get_current_timestamp,
};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::key_files::{KeyFiles, signing_keys};
use crate::problem::Problem;

/// How long an internal token is good for, in seconds.
const TOKEN_SECONDS: i64 = 60;
/// A service's own token is made anew this long before its end, in seconds.
const RENEW_SECONDS: i64 = 20;
/// How far two machines' clocks may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 5;
/// The most tokens that are remembered as good; at about a kilobyte each.
const VERIFIED_MAX: u64 = 10_000;
/// The one service that may speak for users.
const USER_ISSUER: &str = "gateway";

/// Where a service finds its keys; part of its settings.
#[derive(Debug, Clone, Deserialize)]
pub struct AuthSettings {
    /// This service's own Ed25519 key, PKCS#8 PEM.
    pub internal_signing_key_file: PathBuf,
    /// The public keys of all services: a JWK set whose `kid`s are `<service>:<n>`.
    pub internal_jwks_file: PathBuf,
}

/// What a caller may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nobody in particular: browsing without a token.
    Anonymous,
    Guest,
    Customer,
    Merchant,
    Warehouse,
    Support,
    Admin,
    /// Another service.
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    User,
    Service,
}

/// The claims of an internal token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InternalClaims {
    iss: String,
    aud: String,
    sub: String,
    kind: Kind,
    roles: Vec<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<Email>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest_session: Option<Uuid>,
    iat: i64,
    exp: i64,
}

/// A person, or nobody in particular, as the gateway vouches for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// The user or the guest session; the nil UUID for an anonymous caller.
    pub user_id: UserId,
    pub roles: Vec<Role>,
    pub email: Option<Email>,
    /// The guest session whose token was sent along in the body, as `POST /v1/cart/merge` does.
    pub guest_session: Option<Uuid>,
}

/// Who is calling, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    User(UserIdentity),
    Service(String),
}

impl Caller {
    pub fn has_role(&self, role: Role) -> bool {
        match self {
            Self::User(user) => user.roles.contains(&role),
            Self::Service(_) => role == Role::Service,
        }
    }

    /// 403 unless the caller has one of the roles; 401 for an anonymous one, who could log in.
    pub fn require_any(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.iter().any(|role| self.has_role(*role)) {
            return Ok(());
        }
        if self.has_role(Role::Anonymous) {
            return Err(Problem::unauthenticated(
                "log in first: a bearer token is needed here",
            ));
        }
        Err(Problem::forbidden("your account has no role that may do this"))
    }

    /// The person calling, guests included; 401 for an anonymous caller, 403 for a service.
    pub fn user(&self) -> Result<&UserIdentity, Problem> {
        match self {
            Self::User(user) if user.roles.contains(&Role::Anonymous) => Err(Problem::unauthenticated(
                "log in first: a bearer token is needed here",
            )),
            Self::User(user) => Ok(user),
            Self::Service(_) => Err(Problem::forbidden("this is for users, not for services")),
        }
    }

    /// The scope of idempotency keys: two callers never share a key.
    pub fn scope(&self) -> String {
        match self {
            Self::User(user) => format!("user:{}", user.user_id),
            Self::Service(name) => format!("service:{name}"),
        }
    }
}

/// Signs this service's tokens.
#[derive(Clone)]
pub struct TokenIssuer {
    service: &'static str,
    clock: SharedClock,
    signer: Arc<KeyFiles<Signer>>,
}

struct Signer {
    key: EncodingKey,
    header: Header,
    own: Mutex<HashMap<String, (String, i64)>>,
}

impl Signer {
    /// A key is used as soon as the set has it: nobody could check what it signs before.
    fn new(service: &str, files: &[Vec<u8>]) -> anyhow::Result<Self> {
        let [pem, set] = files else {
            anyhow::bail!("two files are read");
        };
        let key = signing_keys(pem)?.swap_remove(0);
        let set: JwkSet = serde_json::from_slice(set).context("a JWK set is expected")?;
        let kid = set
            .keys
            .iter()
            .filter(
                |jwk| matches!(&jwk.algorithm, AlgorithmParameters::OctetKeyPair(pair) if pair.x == key.x),
            )
            .filter_map(|jwk| jwk.common.key_id.clone())
            .find(|kid| belongs_to(kid, service))
            .with_context(|| format!("the JWK set does not have the key of {service}"))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid);
        Ok(Self {
            key: EncodingKey::from_ed_pem(key.pem.as_bytes())?,
            header,
            own: Mutex::default(),
        })
    }
}

fn belongs_to(kid: &str, service: &str) -> bool {
    kid.split_once(':').is_some_and(|(owner, _)| owner == service)
}

impl TokenIssuer {
    pub fn load(service: &'static str, settings: &AuthSettings, clock: SharedClock) -> anyhow::Result<Self> {
        let paths = vec![
            settings.internal_signing_key_file.clone(),
            settings.internal_jwks_file.clone(),
        ];
        let signer = KeyFiles::load(paths, move |files| Signer::new(service, files))?;
        Ok(Self {
            service,
            clock,
            signer: Arc::new(signer),
        })
    }

    /// A token with which this service calls `audience`; reused until shortly before its end.
    pub fn service_token(&self, audience: &str) -> Result<String, Problem> {
        let now = self.clock.now().timestamp();
        let signer = self.signer.get();
        let mut own = signer.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, expires)) = own.get(audience)
            && *expires - RENEW_SECONDS > now
        {
            return Ok(token.clone());
        }
        let claims = InternalClaims {
            iss: self.service.to_owned(),
            aud: audience.to_owned(),
            sub: self.service.to_owned(),
            kind: Kind::Service,
            roles: vec![Role::Service],
            email: None,
            guest_session: None,
            iat: now,
            exp: now + TOKEN_SECONDS,
        };
        let token = sign(&signer, &claims)?;
        own.insert(audience.to_owned(), (token.clone(), claims.exp));
        Ok(token)
    }

    /// A token in which the gateway states for `audience` who the user is.
    pub fn user_token(&self, audience: &str, user: &UserIdentity) -> Result<String, Problem> {
        let now = self.clock.now().timestamp();
        let claims = InternalClaims {
            iss: self.service.to_owned(),
            aud: audience.to_owned(),
            sub: user.user_id.to_string(),
            kind: Kind::User,
            roles: user.roles.clone(),
            email: user.email.clone(),
            guest_session: user.guest_session,
            iat: now,
            exp: now + TOKEN_SECONDS,
        };
        sign(&self.signer.get(), &claims)
    }
}

fn sign(signer: &Signer, claims: &InternalClaims) -> Result<String, Problem> {
    encode(&signer.header, claims, &signer.key).map_err(|error| {
        tracing::error!(%error, "an internal token could not be signed");
        Problem::internal()
    })
}

/// Checks the tokens that are sent to one service.
#[derive(Clone)]
pub struct TokenVerifier {
    inner: Arc<VerifierInner>,
}

struct VerifierInner {
    keys: KeyFiles<PublicKeys>,
    validation: Validation,
}

struct PublicKeys {
    by_kid: HashMap<String, DecodingKey>,
    /// Tokens that were found good, by their text, with their end: callers send the same one with many
    /// requests, and checking its signature costs more than many a request does. Forgotten with the keys: what
    /// a key has signed that is not in the set any more is good no more.
    verified: Cache<String, Verified>,
}

impl PublicKeys {
    fn new(set: &[u8]) -> anyhow::Result<Self> {
        let set: JwkSet = serde_json::from_slice(set).context("a JWK set is expected")?;
        let mut by_kid = HashMap::new();
        for jwk in &set.keys {
            let kid = jwk
                .common
                .key_id
                .clone()
                .context("a key of the set has no `kid`")?;
            by_kid.insert(kid, DecodingKey::from_jwk(jwk)?);
        }
        Ok(Self {
            by_kid,
            verified: Cache::new(VERIFIED_MAX),
        })
    }
}

#[derive(Clone)]
struct Verified {
    caller: Arc<Caller>,
    /// In seconds of Unix time.
    expires: u64,
}

impl Verified {
    /// As jsonwebtoken judges it.
    fn is_good_at(&self, now: u64) -> bool {
        now <= self.expires.saturating_add(LEEWAY_SECONDS)
    }
}

impl TokenVerifier {
    pub fn load(service: &str, settings: &AuthSettings) -> anyhow::Result<Self> {
        let paths = vec![settings.internal_jwks_file.clone()];
        let keys = KeyFiles::load(paths, |files| {
            PublicKeys::new(files.first().map_or(&[], Vec::as_slice))
        })?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[service]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.leeway = LEEWAY_SECONDS;
        Ok(Self {
            inner: Arc::new(VerifierInner { keys, validation }),
        })
    }

    /// The caller that the token speaks of. Any fault gives the same 401: why a token is refused helps
    /// only those who forge them; the reason is in the debug log.
    pub fn verify(&self, token: &str) -> Result<Arc<Caller>, Problem> {
        let keys = self.inner.keys.get();
        if let Some(known) = keys.verified.get(token)
            && known.is_good_at(get_current_timestamp())
        {
            return Ok(known.caller);
        }
        let verified = self.check(token, keys).map_err(|error| {
            tracing::debug!(error = format!("{error:#}"), "an internal token was refused");
            Problem::unauthenticated("the internal token is not valid here")
        })?;
        Ok(verified.caller)
    }

    fn check(&self, token: &str, mut keys: Arc<PublicKeys>) -> anyhow::Result<Verified> {
        let kid = decode_header(token)?.kid.context("no `kid`")?;
        if !keys.by_kid.contains_key(&kid) {
            // A key that has just come.
            keys = self.inner.keys.get_anew();
        }
        let key = keys.by_kid.get(&kid).context("unknown `kid`")?;
        let claims = decode::<InternalClaims>(token, key, &self.inner.validation)?.claims;
        let verified = Self::caller(&kid, claims)?;
        keys.verified.insert(token.to_owned(), verified.clone());
        Ok(verified)
    }

    fn caller(kid: &str, claims: InternalClaims) -> anyhow::Result<Verified> {
        // A service's key signs for that service alone.
        anyhow::ensure!(belongs_to(kid, &claims.iss), "the key is not the issuer's");
        let expires = u64::try_from(claims.exp)?;
        let caller = match claims.kind {
            Kind::Service => {
                anyhow::ensure!(claims.sub == claims.iss, "a service speaks for itself alone");
                Caller::Service(claims.sub)
            }
            Kind::User => {
                anyhow::ensure!(claims.iss == USER_ISSUER, "only the gateway speaks for users");
                anyhow::ensure!(!claims.roles.contains(&Role::Service), "a user is no service");
                Caller::User(UserIdentity {
                    user_id: claims.sub.parse()?,
                    roles: claims.roles,
                    email: claims.email,
                    guest_session: claims.guest_session,
                })
            }
        };
        Ok(Verified {
            caller: Arc::new(caller),
            expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ferrocart_types::{MockClock, Timestamp};

    use super::*;

    struct Keys {
        folder: tempfile::TempDir,
    }

    impl Keys {
        fn for_services(services: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut jwks = Vec::new();
            for service in services {
                let pair = Ed25519KeyPair::generate().unwrap();
                let der = pair.to_pkcs8v1().unwrap();
                let pem = format!(
                    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                    STANDARD.encode(der.as_ref())
                );
                std::fs::write(folder.path().join(format!("{service}.pem")), pem).unwrap();
                let public: &[u8] = pair.public_key().as_ref();
                jwks.push(serde_json::json!({
                    "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                    "kid": format!("{service}:1"), "x": URL_SAFE_NO_PAD.encode(public),
                }));
            }
            let set = serde_json::json!({ "keys": jwks }).to_string();
            std::fs::write(folder.path().join("jwks.json"), set).unwrap();
            Self { folder }
        }

        fn settings(&self, service: &str) -> AuthSettings {
            AuthSettings {
                internal_signing_key_file: self.folder.path().join(format!("{service}.pem")),
                internal_jwks_file: self.folder.path().join("jwks.json"),
            }
        }

        fn issuer(&self, service: &'static str, age_seconds: i64) -> TokenIssuer {
            let now = i64::try_from(get_current_timestamp()).unwrap() - age_seconds;
            let clock = MockClock::at(Timestamp::from_timestamp(now, 0).unwrap());
            TokenIssuer::load(service, &self.settings(service), clock).unwrap()
        }
    }

    fn ada(roles: Vec<Role>) -> UserIdentity {
        UserIdentity {
            user_id: UserId(Uuid::from_u128(7)),
            roles,
            email: None,
            guest_session: None,
        }
    }

    #[test]
    fn the_gateway_speaks_for_users_and_services_for_themselves() {
        let keys = Keys::for_services(&["gateway", "order", "cart"]);
        let cart = TokenVerifier::load("cart", &keys.settings("cart")).unwrap();
        let user = ada(vec![Role::Customer]);
        let token = keys.issuer("gateway", 0).user_token("cart", &user).unwrap();
        assert_eq!(*cart.verify(&token).unwrap(), Caller::User(user));
        let token = keys.issuer("order", 0).service_token("cart").unwrap();
        for _ in 0..2 {
            assert_eq!(
                *cart.verify(&token).unwrap(),
                Caller::Service("order".into()),
                "checked, then remembered"
            );
        }
    }

    #[test]
    fn refused_are_foreign_audiences_old_tokens_and_services_that_speak_for_users() {
        let keys = Keys::for_services(&["gateway", "order", "cart"]);
        let cart = TokenVerifier::load("cart", &keys.settings("cart")).unwrap();
        let user = ada(vec![Role::Admin]);
        let refused = [
            keys.issuer("gateway", 0).user_token("order", &user).unwrap(),
            keys.issuer("gateway", 3600).user_token("cart", &user).unwrap(),
            keys.issuer("order", 0).user_token("cart", &user).unwrap(),
            keys.issuer("gateway", 0)
                .user_token("cart", &ada(vec![Role::Service]))
                .unwrap(),
            String::new(),
            "a.b.c".to_owned(),
        ];
        for token in refused {
            assert_eq!(cart.verify(&token).unwrap_err().status().as_u16(), 401, "{token}");
        }
        let strangers = Keys::for_services(&["gateway"]);
        let forged = strangers.issuer("gateway", 0).user_token("cart", &user).unwrap();
        assert!(cart.verify(&forged).is_err(), "a foreign key was taken");
    }

    #[test]
    fn a_token_that_was_good_is_not_good_for_ever() {
        let keys = Keys::for_services(&["order", "cart"]);
        let cart = TokenVerifier::load("cart", &keys.settings("cart")).unwrap();
        let token = keys.issuer("order", 0).service_token("cart").unwrap();
        cart.verify(&token).unwrap();
        let verified = &cart.inner.keys.get().verified;
        let known = verified.get(&token).unwrap();
        let last = known.expires + LEEWAY_SECONDS;
        assert!(known.is_good_at(last) && !known.is_good_at(last + 1));
        // What is remembered beyond its end is checked again, and refused.
        let old = keys.issuer("order", 3_600).service_token("cart").unwrap();
        let expired = Verified {
            caller: known.caller,
            expires: get_current_timestamp() - 3_540,
        };
        verified.insert(old.clone(), expired);
        assert_eq!(cart.verify(&old).unwrap_err().status().as_u16(), 401);
    }

    #[test]
    fn a_new_key_is_taken_up_and_an_old_one_is_good_while_it_is_in_the_set() {
        let keys = Keys::for_services(&["order", "cart"]);
        let fresh = Keys::for_services(&["order"]);
        let cart = TokenVerifier::load("cart", &keys.settings("cart")).unwrap();
        let order = keys.issuer("order", 0);
        let old = order.service_token("cart").unwrap();
        cart.verify(&old).unwrap();
        let set = |keys: &Keys| -> Vec<serde_json::Value> {
            let text = std::fs::read(keys.folder.path().join("jwks.json")).unwrap();
            let set: serde_json::Value = serde_json::from_slice(&text).unwrap();
            set["keys"].as_array().unwrap().clone()
        };
        let mut second = set(&fresh).remove(0);
        second["kid"] = serde_json::json!("order:2");
        let both = [set(&keys), vec![second.clone()]].concat();
        let publish = |set: &[serde_json::Value]| {
            let set = serde_json::json!({ "keys": set }).to_string();
            std::fs::write(keys.folder.path().join("jwks.json"), set).unwrap();
        };
        // A key that nobody knows yet is not signed with.
        let new_pem = std::fs::read(fresh.folder.path().join("order.pem")).unwrap();
        std::fs::write(keys.folder.path().join("order.pem"), new_pem).unwrap();
        order.signer.look_now();
        assert_eq!(order.service_token("cart").unwrap(), old);
        publish(&both);
        order.signer.look_now();
        let new = order.service_token("cart").unwrap();
        assert_eq!(decode_header(&new).unwrap().kid.as_deref(), Some("order:2"));
        // The verifier was not told, and looks by itself for what it does not know.
        while cart.verify(&new).is_err() {
            std::thread::yield_now();
        }
        cart.verify(&old).unwrap();
        publish(&[second]);
        cart.inner.keys.look_now();
        cart.verify(&new).unwrap();
        assert!(cart.verify(&old).is_err(), "its key is not in the set any more");
    }

    #[test]
    fn a_service_token_is_reused_while_it_is_good() {
        let keys = Keys::for_services(&["order"]);
        let issuer = keys.issuer("order", 0);
        assert_eq!(
            issuer.service_token("cart").unwrap(),
            issuer.service_token("cart").unwrap()
        );
        assert_ne!(
            issuer.service_token("cart").unwrap(),
            issuer.service_token("catalog").unwrap()
        );
    }

    #[test]
    fn roles_decide() {
        let anonymous = Caller::User(ada(vec![Role::Anonymous]));
        assert_eq!(anonymous.user().unwrap_err().status().as_u16(), 401);
        let customer = Caller::User(ada(vec![Role::Customer]));
        assert_eq!(
            customer
                .require_any(&[Role::Merchant])
                .unwrap_err()
                .status()
                .as_u16(),
            403
        );
        assert!(customer.require_any(&[Role::Support, Role::Customer]).is_ok());
    }
}

//! Everything secret that a stack needs, made once and kept in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::component::Service;
use crate::layout::{Layout, write_private};

/// Letters and digits that nobody mistakes for one another; 32 of them, five bits each.
const READABLE: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A sample account, as `accounts.json` lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    pub role: String,
    pub email: String,
    pub password: String,
}

/// The roles that have a sample account; `admin` is made by the gateway itself at its first start.
pub(crate) const ACCOUNT_ROLES: [(&str, &str); 5] = [
    ("admin", "admin@example.com"),
    ("customer", "shopper@example.com"),
    ("merchant", "merchant@example.com"),
    ("warehouse", "warehouse@example.com"),
    ("support", "support@example.com"),
];

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// Names this stack, for what it has to keep outside its folder.
    pub(crate) stack_id: String,
    pub(crate) postgres_superuser: String,
    pub(crate) postgres_roles: BTreeMap<String, String>,
    pub(crate) redis: String,
    /// Folders of before have none.
    #[serde(default)]
    pub(crate) redis_cart: String,
    pub(crate) kafka_cluster_id: String,
    pub(crate) psp_api_key: String,
    pub(crate) psp_webhook_secret: String,
    /// Seals the secrets of merchants' endpoints; folders of before have none.
    #[serde(default)]
    pub(crate) webhook_seal_key: String,
    pub(crate) accounts: Vec<Account>,
}

impl Secrets {
    /// Reads them, or makes them when the folder is new.
    pub(crate) fn load_or_create(layout: &Layout) -> Result<Self> {
        let mut secrets = match Self::load(layout)? {
            Some(secrets) => secrets,
            None => Self::generate()?,
        };
        if secrets.webhook_seal_key.is_empty() || secrets.redis_cart.is_empty() {
            if secrets.webhook_seal_key.is_empty() {
                secrets.webhook_seal_key = STANDARD.encode(random_bytes::<32>()?);
            }
            if secrets.redis_cart.is_empty() {
                secrets.redis_cart = random_hex::<20>()?;
            }
            write_private(&layout.secrets(), &serde_json::to_string_pretty(&secrets)?)?;
        }
        create_keys(layout)?;
        write_private(
            &layout.accounts(),
            &serde_json::to_string_pretty(&secrets.accounts)?,
        )?;
        Ok(secrets)
    }

    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.secrets();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged", path.display()))
    }

    pub(crate) fn account(&self, role: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.role == role)
    }

    fn generate() -> Result<Self> {
        let mut postgres_roles = BTreeMap::new();
        for database in Service::ALL.into_iter().filter_map(Service::database) {
            postgres_roles.insert(database.to_owned(), random_hex::<20>()?);
        }
        let mut accounts = Vec::new();
        for (role, email) in ACCOUNT_ROLES {
            accounts.push(Account {
                role: role.to_owned(),
                email: email.to_owned(),
                password: readable_password()?,
            });
        }
        Ok(Self {
            stack_id: random_hex::<6>()?,
            postgres_superuser: random_hex::<20>()?,
            postgres_roles,
            redis: random_hex::<20>()?,
            redis_cart: String::new(),
            kafka_cluster_id: kafka_cluster_id()?,
            psp_api_key: format!("sk_test_{}", random_hex::<16>()?),
            psp_webhook_secret: format!("whsec_{}", random_hex::<24>()?),
            webhook_seal_key: String::new(),
            accounts,
        })
    }
}

/// A signing key for each service and the set of their public keys, by which they know one another.
fn create_keys(layout: &Layout) -> Result<()> {
    let mut public = Vec::new();
    for service in Service::ALL {
        let key = load_or_create_key(&layout.signing_key(service))?;
        public.push(json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": format!("{service}:1"),
            "x": URL_SAFE_NO_PAD.encode(key.public_key()),
        }));
    }
    load_or_create_key(&layout.gateway_jwt_key())?;
    write_private(
        &layout.internal_jwks(),
        &serde_json::to_string_pretty(&json!({ "keys": public }))?,
    )
}

fn load_or_create_key(path: &Path) -> Result<Ed25519KeyPair> {
    if !path.exists() {
        let key = Ed25519KeyPair::generate().map_err(|_| anyhow!("generate an Ed25519 key"))?;
        // Version 1 of PKCS#8, without the public key: the form that every library reads.
        let document = key.to_pkcs8v1().map_err(|_| anyhow!("encode an Ed25519 key"))?;
        let body = STANDARD.encode(document.as_ref());
        write_private(
            path,
            &format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"),
        )?;
    }
    let pem = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let document = STANDARD
        .decode(body)
        .with_context(|| format!("{} is not a PEM file", path.display()))?;
    Ed25519KeyPair::from_pkcs8(&document)
        .map_err(|reason| anyhow!("{} holds no Ed25519 key: {reason}", path.display()))
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no random numbers from the system"))?;
    Ok(bytes)
}

fn random_hex<const N: usize>() -> Result<String> {
    Ok(hex::encode(random_bytes::<N>()?))
}

/// A UUID in the short form in which Kafka writes its cluster ids. One that begins with a dash would be read
/// as an option by Kafka's storage tool.
fn kafka_cluster_id() -> Result<String> {
    loop {
        let id = URL_SAFE_NO_PAD.encode(random_bytes::<16>()?);
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
}

/// Four groups of four: 80 bits that a person can copy from the screen.
fn readable_password() -> Result<String> {
    let mut password = String::new();
    for (index, byte) in random_bytes::<16>()?.into_iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            password.push('-');
        }
        let letter = READABLE.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
        password.push(char::from(letter));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_signed_with_a_service_key_is_verified_by_the_key_set() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        Secrets::load_or_create(&layout).unwrap();

        let pem = fs::read(layout.signing_key(Service::Order)).unwrap();
        let claims = json!({ "sub": "order", "exp": 4_000_000_000_u64 });
        let key = EncodingKey::from_ed_pem(&pem).unwrap();
        let token = encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap();

        let keys: JwkSet = serde_json::from_slice(&fs::read(layout.internal_jwks()).unwrap()).unwrap();
        let verify = |kid: &str| {
            let public =
                DecodingKey::from_jwk(keys.find(kid).expect("the key set names every service")).unwrap();
            decode::<serde_json::Value>(&token, &public, &Validation::new(Algorithm::EdDSA))
        };
        assert_eq!(verify("order:1").unwrap().claims["sub"], "order");
        assert!(verify("cart:1").is_err());
    }

    #[test]
    fn secrets_are_made_once_and_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let first = Secrets::load_or_create(&layout).unwrap();
        let key = fs::read(layout.gateway_jwt_key()).unwrap();
        let second = Secrets::load_or_create(&layout).unwrap();
        assert_eq!(first.redis, second.redis);
        assert_eq!(first.redis_cart, second.redis_cart);
        assert_ne!(first.redis, first.redis_cart);
        assert_eq!(key, fs::read(layout.gateway_jwt_key()).unwrap());
        for path in [
            layout.secrets(),
            layout.accounts(),
            layout.gateway_jwt_key(),
            layout.internal_jwks(),
        ] {
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
    }
}

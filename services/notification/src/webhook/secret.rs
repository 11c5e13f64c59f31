use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferrocart_config::{ConfigError, ExposeSecret, SecretString};
use ferrocart_types::EndpointId;
use uuid::Uuid;

const PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// What an endpoint's messages are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Vec<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("no random numbers from the system")]
    Random,
    #[error("the secret cannot be sealed")]
    Seal,
    #[error("no key of webhook_seal_keys opens the secret")]
    Open,
}

impl Secret {
    pub(crate) fn generate() -> Result<Self, SecretError> {
        let mut bytes = vec![0; SECRET_BYTES];
        rand::fill(&mut bytes).map_err(|_| SecretError::Random)?;
        Ok(Self(bytes))
    }

    /// As its owner is shown it, once.
    pub(crate) fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

/// Not for logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One signature of the header `webhook-signature`.
pub(crate) fn signature(secret: &Secret, id: Uuid, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

/// A secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed(pub(crate) Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// Seals secrets with the first of its keys, and opens what any of them has sealed.
pub(crate) struct Safe {
    keys: Vec<RandomizedNonceKey>,
}

impl fmt::Debug for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Safe(..)")
    }
}

impl Safe {
    pub(crate) fn new(keys: &SecretString) -> Result<Self, ConfigError> {
        let rejected = || {
            ConfigError::rejected(
                "webhook_seal_keys",
                "keys of 32 bytes in base64 are expected, with commas between them: openssl rand -base64 32",
            )
        };
        let keys = keys.expose_secret().split(',').map(|text| {
            let bytes = STANDARD.decode(text.trim()).map_err(|_| rejected())?;
            if bytes.len() != KEY_BYTES {
                return Err(rejected());
            }
            RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| rejected())
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn seal(&self, endpoint: EndpointId, secret: &Secret) -> Result<Sealed, SecretError> {
        let key = self.keys.first().ok_or(SecretError::Seal)?;
        let mut text = secret.0.clone();
        let nonce = key
            .seal_in_place_append_tag(aad(endpoint), &mut text)
            .map_err(|_| SecretError::Seal)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(Sealed(sealed))
    }

    /// A row whose secret was moved to another endpoint does not open.
    pub(crate) fn open(&self, endpoint: EndpointId, sealed: &Sealed) -> Result<Secret, SecretError> {
        let (nonce, text) = sealed.0.split_at_checked(NONCE_LEN).ok_or(SecretError::Open)?;
        for key in &self.keys {
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::Open)?;
            let mut text = text.to_vec();
            if let Ok(secret) = key.open_in_place(nonce, aad(endpoint), &mut text) {
                return Ok(Secret(secret.to_vec()));
            }
        }
        Err(SecretError::Open)
    }
}

fn aad(endpoint: EndpointId) -> Aad<[u8; 16]> {
    Aad::from(*endpoint.as_uuid().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(fills: &[u8]) -> Safe {
        let keys: Vec<String> = fills.iter().map(|fill| STANDARD.encode([*fill; 32])).collect();
        Safe::new(&keys.join(",").into()).unwrap()
    }

    #[test]
    fn a_secret_opens_for_its_endpoint_alone_and_with_an_older_key_too() {
        let (ours, other) = (EndpointId(Uuid::from_u128(1)), EndpointId(Uuid::from_u128(2)));
        let secret = Secret::generate().unwrap();
        let sealed = safe(&[1]).seal(ours, &secret).unwrap();
        assert_eq!(safe(&[1]).open(ours, &sealed).unwrap(), secret);
        assert_eq!(safe(&[2, 1]).open(ours, &sealed).unwrap(), secret);
        assert_eq!(safe(&[2]).open(ours, &sealed), Err(SecretError::Open));
        assert_eq!(safe(&[1]).open(other, &sealed), Err(SecretError::Open));
        assert_ne!(
            safe(&[1]).seal(ours, &secret).unwrap(),
            sealed,
            "a nonce of its own"
        );
        for length in 0..sealed.0.len() {
            let cut = Sealed(sealed.0[..length].to_vec());
            assert_eq!(safe(&[1]).open(ours, &cut), Err(SecretError::Open));
        }
        assert!(!format!("{secret:?} {sealed:?}").contains(char::is_numeric));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for bad in [
            "",
            "x",
            "c2hvcnQ=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,",
        ] {
            assert!(Safe::new(&bad.to_owned().into()).is_err(), "{bad}");
        }
    }
}

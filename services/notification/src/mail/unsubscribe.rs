use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ferrocart_config::{ConfigError, ExposeSecret};
use ferrocart_types::UserId;
use uuid::Uuid;

use crate::config::Settings;
use crate::domain::{Channel, Kind, Standing};

/// Tells the key from what else is done with the same configured one.
const PURPOSE: &[u8] = b"ferrocart unsubscribe v1";
const ID_BYTES: usize = 16;
const PATH: &str = "/v1/notifications/unsubscribe";

/// Makes and reads the links by which a reader stops one kind of e-mail without logging in (RFC 8058). A link says whose
/// and which, signed; it does not expire, as the e-mail does not.
#[derive(Clone)]
pub(crate) struct Unsubscribe {
    /// The first signs, each verifies.
    keys: Vec<hmac::Key>,
    /// Where links lead; `None` makes none.
    base: Option<String>,
}

impl std::fmt::Debug for Unsubscribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsubscribe")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Unsubscribe {
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let rejected = |reason: &str| ConfigError::rejected("link_base", reason);
        let base = settings.link_base.trim_end_matches('/');
        if !base.is_empty() {
            let url = url::Url::parse(base).map_err(|_| rejected("a URL is expected"))?;
            if !matches!(url.scheme(), "https" | "http") || url.query().is_some() || url.fragment().is_some()
            {
                return Err(rejected("an http or https URL without a query is expected"));
            }
        }
        let keys = settings.webhook_seal_keys.expose_secret().split(',').map(|text| {
            let configured = STANDARD
                .decode(text.trim())
                .map_err(|_| ConfigError::rejected("webhook_seal_keys", "keys in base64 are expected"))?;
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &configured), PURPOSE);
            Ok(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
        });
        Ok(Self {
            keys: keys.collect::<Result<_, ConfigError>>()?,
            base: (!base.is_empty()).then(|| base.to_owned()),
        })
    }

    /// `None` for what cannot be stopped.
    pub(crate) fn link(&self, customer: UserId, kind: Kind) -> Option<String> {
        if kind.standing(Channel::Email) == Standing::Required {
            return None;
        }
        let base = self.base.as_ref()?;
        let mut token = said(customer, kind);
        let tag = hmac::sign(self.keys.first()?, &token);
        token.extend_from_slice(tag.as_ref());
        Some(format!("{base}{PATH}?token={}", URL_SAFE_NO_PAD.encode(token)))
    }

    /// Whose e-mails of which kind are to stop; `None` when it is no token of ours.
    pub(crate) fn read(&self, token: &str) -> Option<(UserId, Kind)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (said, tag) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let genuine = self.keys.iter().any(|key| hmac::verify(key, said, tag).is_ok());
        let (id, kind) = said.split_at_checked(ID_BYTES)?;
        let kind: Kind = std::str::from_utf8(kind).ok()?.parse().ok()?;
        genuine.then_some((UserId(Uuid::from_slice(id).ok()?), kind))
    }
}

fn said(customer: UserId, kind: Kind) -> Vec<u8> {
    let mut said = customer.as_uuid().as_bytes().to_vec();
    said.extend_from_slice(kind.as_str().as_bytes());
    said
}

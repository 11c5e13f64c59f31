//! The provider's webhooks: the signature over the raw bytes, then what the event is about.

use ferrocart_config::{ExposeSecret, SecretString};
use ferrocart_types::Timestamp;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::Intent;
use super::wire::{WireCharge, WireIntent};
use crate::domain::IntentId;

/// Older and newer events are refused: a recorded one cannot be sent again later.
const WINDOW_SECONDS: i64 = 300;
const SIGNATURES_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhook {
    #[error("the header Stripe-Signature is missing or malformed")]
    Header,
    #[error("the signature was made more than {WINDOW_SECONDS} s ago or ahead")]
    Stale,
    #[error("the signature does not match the body")]
    Signature,
    #[error("the body is not an event of the provider")]
    Body,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An intent, as it was when the event was made.
    Intent(Box<Intent>),
    /// An intent as far as one of its charges tells. A charge need not name our payment.
    Charge(Box<Intent>),
    /// A refund of the intent that was taken and failed afterwards.
    RefundFailed(IntentId),
    /// Nothing that concerns payments.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    pub id: String,
    pub kind: String,
    pub subject: Subject,
}

#[derive(Debug, Clone)]
pub struct WebhookVerifier {
    secret: SecretString,
}

#[derive(Deserialize)]
struct WireEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: WireData,
}

#[derive(Deserialize)]
struct WireData {
    object: serde_json::Value,
}

impl WebhookVerifier {
    pub fn new(secret: SecretString) -> Self {
        Self { secret }
    }

    /// The event, if the provider sent it just now.
    pub fn verify(
        &self,
        header: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, InvalidWebhook> {
        let (at, signatures) = parse_header(header.ok_or(InvalidWebhook::Header)?)?;
        let age = now.timestamp().saturating_sub(at);
        if age.saturating_abs() > WINDOW_SECONDS {
            return Err(InvalidWebhook::Stale);
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes())
            .map_err(|_| InvalidWebhook::Signature)?;
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        // `verify_slice` compares in constant time.
        if !signatures
            .iter()
            .any(|signature| mac.clone().verify_slice(signature).is_ok())
        {
            return Err(InvalidWebhook::Signature);
        }
        parse_event(body).ok_or(InvalidWebhook::Body)
    }
}

/// `t=<seconds>,v1=<hex>[,v1=<hex>…]`; several while a secret is being rolled.
fn parse_header(header: &str) -> Result<(i64, Vec<Vec<u8>>), InvalidWebhook> {
    let mut at = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", seconds)) => at = seconds.parse::<i64>().ok(),
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => {
                if let Ok(signature) = hex::decode(text) {
                    signatures.push(signature);
                }
            }
            _ => {}
        }
    }
    match (at, signatures.is_empty()) {
        (Some(at), false) => Ok((at, signatures)),
        _ => Err(InvalidWebhook::Header),
    }
}

fn parse_event(body: &[u8]) -> Option<ProviderEvent> {
    let event: WireEvent = serde_json::from_slice(body).ok()?;
    let object = event.data.object;
    let text = |name: &str| object.get(name).and_then(serde_json::Value::as_str);
    let subject = match text("object") {
        Some("payment_intent") => {
            let intent: WireIntent = serde_json::from_value(object).ok()?;
            Subject::Intent(Box::new(intent.read().ok()?))
        }
        Some("charge") => {
            let charge: WireCharge = serde_json::from_value(object).ok()?;
            let intent = charge.read().ok()?;
            intent.map_or(Subject::Other, |intent| Subject::Charge(Box::new(intent)))
        }
        // One that succeeds is told by its charge as well, with what went back in all.
        Some("refund") => match (text("status"), text("payment_intent")) {
            (Some("failed" | "canceled"), Some(id)) => Subject::RefundFailed(IntentId(id.to_owned())),
            _ => Subject::Other,
        },
        _ => Subject::Other,
    };
    Some(ProviderEvent {
        id: event.id,
        kind: event.kind,
        subject,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Seen;

    const BODY: &[u8] = br#"{"id":"evt_1","type":"refund.failed","data":{"object":{"object":"refund","status":"failed","payment_intent":"pi_1"}}}"#;
    const AT: i64 = 1_700_000_000;

    fn sign(secret: &str, at: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn verify(header: &str, body: &[u8], now: i64) -> Result<ProviderEvent, InvalidWebhook> {
        let verifier = WebhookVerifier::new("whsec_test".into());
        verifier.verify(Some(header), body, Timestamp::from_timestamp(now, 0).unwrap())
    }

    #[test]
    fn a_signed_event_is_read() {
        let event = verify(&sign("whsec_test", AT, BODY), BODY, AT + 299).unwrap();
        assert_eq!(event.id, "evt_1");
        assert_eq!(event.subject, Subject::RefundFailed(IntentId("pi_1".into())));
        let rolled = format!(
            "{},v1={}",
            sign("old", AT, BODY),
            &sign("whsec_test", AT, BODY)[16..]
        );
        assert!(
            verify(&rolled, BODY, AT).is_ok(),
            "one of several signatures suffices"
        );
    }

    fn charge(fields: &str) -> Subject {
        let body = format!(
            r#"{{"id":"evt_1","type":"x","data":{{"object":{{"object":"charge","currency":"usd","amount":500,
               "payment_intent":"pi_1",{fields}}}}}}}"#
        );
        parse_event(body.as_bytes()).unwrap().subject
    }

    #[test]
    fn a_charge_tells_what_was_captured_and_what_of_it_went_back() {
        let captured = |fields: &str| match charge(fields) {
            Subject::Charge(intent) => intent.seen,
            other => panic!("{other:?}"),
        };
        let seen = |captured_minor, refunded_minor| Seen::Captured {
            captured_minor,
            refunded_minor,
        };
        let whole = r#""status":"succeeded","captured":true,"amount_captured":500,"amount_refunded":120"#;
        assert_eq!(captured(whole), seen(500, 120));
        // A part was captured: the provider counts the rest, which was let go, as refunded.
        let part = r#""status":"succeeded","captured":true,"amount_captured":200,"amount_refunded":300"#;
        assert_eq!(captured(part), seen(200, 0));
        let part = r#""status":"succeeded","captured":true,"amount_captured":200,"amount_refunded":350"#;
        assert_eq!(captured(part), seen(200, 50));
        let held = r#""status":"succeeded","captured":false,"refunded":false,
                      "payment_method_details":{"card":{"capture_before":1700000000}}"#;
        let capture_before = Timestamp::from_timestamp(1_700_000_000, 0);
        assert_eq!(captured(held), Seen::Authorized { capture_before });
        let let_go = r#""status":"succeeded","captured":false,"refunded":true,"amount_refunded":500"#;
        assert_eq!(charge(let_go), Subject::Other);
    }

    #[test]
    fn what_is_stale_tampered_or_foreign_is_refused() {
        let good = sign("whsec_test", AT, BODY);
        assert_eq!(verify(&good, BODY, AT + 301), Err(InvalidWebhook::Stale));
        assert_eq!(verify(&good, BODY, AT - 301), Err(InvalidWebhook::Stale));
        let mut tampered = BODY.to_vec();
        tampered.push(b' ');
        assert_eq!(verify(&good, &tampered, AT), Err(InvalidWebhook::Signature));
        let later = good.replace(&AT.to_string(), &(AT + 1).to_string());
        assert_eq!(verify(&later, BODY, AT), Err(InvalidWebhook::Signature));
        assert_eq!(
            verify(&sign("other", AT, BODY), BODY, AT),
            Err(InvalidWebhook::Signature)
        );
        for header in ["", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=zz", "t=1,v0=00"] {
            assert_eq!(verify(header, BODY, AT), Err(InvalidWebhook::Header), "{header}");
        }
        let extreme = format!("t={},v1=00", i64::MIN);
        assert_eq!(verify(&extreme, BODY, AT), Err(InvalidWebhook::Stale));
    }
}

//! Stripe's JSON, as far as it is read. What is not read may change.

use std::collections::HashMap;

use ferrocart_config::SecretString;
use ferrocart_types::{Currency, Money, PaymentId, Timestamp};
use serde::Deserialize;

use super::{Intent, ProviderError};
use crate::domain::{IntentId, Seen};

#[derive(Debug, Deserialize)]
pub(super) struct WireIntent {
    pub(super) id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    amount_received: i64,
    #[serde(default)]
    metadata: HashMap<String, String>,
    next_action: Option<NextAction>,
    last_payment_error: Option<PaymentError>,
    cancellation_reason: Option<String>,
    latest_charge: Option<LatestCharge>,
}

/// Of an intent only what its customer confirms it with.
#[derive(Deserialize)]
pub(super) struct WireSecret {
    pub(super) client_secret: SecretString,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

#[derive(Debug, Deserialize)]
struct PaymentError {
    code: Option<String>,
    decline_code: Option<String>,
}

/// Embedded when it was asked for, else its id.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum LatestCharge {
    Expanded(Box<WireCharge>),
    Id(#[expect(dead_code, reason = "tells the variants apart")] String),
}

#[derive(Debug, Deserialize)]
pub(super) struct WireCharge {
    amount: i64,
    currency: String,
    #[serde(default)]
    amount_captured: i64,
    #[serde(default)]
    amount_refunded: i64,
    #[serde(default)]
    captured: bool,
    #[serde(default)]
    refunded: bool,
    #[serde(default)]
    status: String,
    failure_code: Option<String>,
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
    payment_method_details: Option<MethodDetails>,
}

#[derive(Debug, Deserialize)]
struct MethodDetails {
    card: Option<CardDetails>,
}

#[derive(Debug, Deserialize)]
struct CardDetails {
    capture_before: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SearchResult {
    pub(super) data: Vec<WireIntent>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) error: WireError,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireError {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) param: Option<String>,
    pub(super) payment_intent: Option<WireIntent>,
}

fn unreadable(what: &str) -> ProviderError {
    ProviderError::Unknown {
        reason: format!("the answer's {what} cannot be read"),
    }
}

fn money(amount_minor: i64, currency: &str) -> Result<Money, ProviderError> {
    let currency: Currency = currency
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| unreadable("currency"))?;
    Ok(Money::new(amount_minor, currency))
}

fn payment_of(metadata: &HashMap<String, String>) -> Option<PaymentId> {
    metadata.get("payment_id").and_then(|id| id.parse().ok())
}

impl WireCharge {
    /// What of the capture went back. The provider counts what a partial capture let go as refunded.
    fn refunded_minor(&self) -> i64 {
        if self.amount_captured == 0 {
            return 0;
        }
        let let_go = self.amount - self.amount_captured;
        (self.amount_refunded - let_go).max(0)
    }

    fn capture_before(&self) -> Option<Timestamp> {
        let card = self.payment_method_details.as_ref()?.card.as_ref()?;
        Timestamp::from_timestamp(card.capture_before?, 0)
    }

    /// The intent as far as its charge tells; `None` when the charge tells nothing of its own.
    pub(super) fn read(self) -> Result<Option<Intent>, ProviderError> {
        let seen = match self.status.as_str() {
            "failed" => Seen::Declined {
                code: self.failure_code.clone().unwrap_or_else(|| "declined".to_owned()),
            },
            "succeeded" if self.captured => Seen::Captured {
                captured_minor: self.amount_captured,
                refunded_minor: self.refunded_minor(),
            },
            "succeeded" if !self.refunded => Seen::Authorized {
                capture_before: self.capture_before(),
            },
            // Let go, or not decided yet: the intent's own event tells.
            _ => return Ok(None),
        };
        let amount = money(self.amount, &self.currency)?;
        let payment_id = payment_of(&self.metadata);
        Ok(self.payment_intent.map(|id| Intent {
            id: IntentId(id),
            payment_id,
            amount,
            seen,
        }))
    }
}

impl WireIntent {
    /// Whether it was made for a payment of this service.
    pub(super) fn names_a_payment(&self) -> bool {
        payment_of(&self.metadata).is_some()
    }

    pub(super) fn read(self) -> Result<Intent, ProviderError> {
        Ok(Intent {
            payment_id: payment_of(&self.metadata),
            amount: money(self.amount, &self.currency)?,
            seen: self.seen().ok_or_else(|| unreadable("status"))?,
            id: IntentId(self.id),
        })
    }

    /// `None` for a status that does not exist.
    fn seen(&self) -> Option<Seen> {
        let charge = match &self.latest_charge {
            Some(LatestCharge::Expanded(charge)) => Some(charge.as_ref()),
            _ => None,
        };
        Some(match self.status.as_str() {
            "requires_payment_method" => match &self.last_payment_error {
                Some(error) => {
                    let code = error.decline_code.as_ref().or(error.code.as_ref());
                    Seen::Declined {
                        code: code.map_or_else(|| "declined".to_owned(), Clone::clone),
                    }
                }
                None => Seen::Undecided,
            },
            "requires_confirmation" | "processing" => Seen::Undecided,
            "requires_action" => {
                let redirect = self.next_action.as_ref()?.redirect_to_url.as_ref()?;
                Seen::RequiresAction {
                    redirect_url: redirect.url.clone(),
                }
            }
            "requires_capture" => Seen::Authorized {
                capture_before: charge.and_then(WireCharge::capture_before),
            },
            "succeeded" => Seen::Captured {
                captured_minor: self.amount_received,
                refunded_minor: charge.map_or(0, WireCharge::refunded_minor),
            },
            "canceled" => Seen::Cancelled {
                reason: match self.cancellation_reason.as_deref() {
                    // The provider let it go by itself.
                    Some("automatic" | "expired") => "AUTHORIZATION_EXPIRED".to_owned(),
                    Some(reason) => reason.to_ascii_uppercase(),
                    None => "CANCELLED".to_owned(),
                },
            },
            _ => return None,
        })
    }
}

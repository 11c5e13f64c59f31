//! Stripe's JSON, as far as it is read. What is not read may change.

use std::collections::HashMap;

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
    Expanded(WireCharge),
    Id(#[expect(dead_code, reason = "tells the variants apart")] String),
}

#[derive(Debug, Deserialize)]
struct WireCharge {
    #[serde(default)]
    amount_refunded: i64,
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

impl WireIntent {
    pub(super) fn read(self) -> Result<Intent, ProviderError> {
        let unreadable = |what: &str| ProviderError::Unknown {
            reason: format!("the answer's {what} cannot be read"),
        };
        let currency: Currency = self
            .currency
            .to_ascii_uppercase()
            .parse()
            .map_err(|_| unreadable("currency"))?;
        let payment_id: Option<PaymentId> = self.metadata.get("payment_id").and_then(|id| id.parse().ok());
        Ok(Intent {
            payment_id,
            amount: Money::new(self.amount, currency),
            seen: self.seen().ok_or_else(|| unreadable("status"))?,
            id: IntentId(self.id),
        })
    }

    /// `None` for a status that does not exist.
    fn seen(&self) -> Option<Seen> {
        let charge = match &self.latest_charge {
            Some(LatestCharge::Expanded(charge)) => Some(charge),
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
                capture_before: charge
                    .and_then(|charge| {
                        charge
                            .payment_method_details
                            .as_ref()?
                            .card
                            .as_ref()?
                            .capture_before
                    })
                    .and_then(|seconds| Timestamp::from_timestamp(seconds, 0)),
            },
            "succeeded" => Seen::Captured {
                captured_minor: self.amount_received,
                refunded_minor: charge.map_or(0, |charge| charge.amount_refunded),
            },
            "canceled" => Seen::Cancelled {
                reason: match self.cancellation_reason.as_deref() {
                    // The provider let it go by itself.
                    Some("automatic") => "AUTHORIZATION_EXPIRED".to_owned(),
                    Some(reason) => reason.to_ascii_uppercase(),
                    None => "CANCELLED".to_owned(),
                },
            },
            _ => return None,
        })
    }
}

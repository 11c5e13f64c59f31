//! Stripe's JSON for what the ledger keeps.

use crate::domain::charge::{Charge, ChargeState};
use crate::domain::intent::{Intent, IntentState};
use crate::domain::method::{Decline, Method};
use crate::domain::refund::Refund;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The version whose shapes the sandbox answers with.
pub(crate) const API_VERSION: &str = "2025-03-31.basil";

#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// Where a browser reaches the sandbox.
    pub(crate) public_url: String,
    pub(crate) salt: [u8; 32],
}

impl Viewer {
    pub(crate) fn client_secret(&self, id: &str) -> String {
        let digest = Sha256::new()
            .chain_update(self.salt)
            .chain_update("client_secret")
            .chain_update(id);
        let hex = hex::encode(digest.finalize());
        format!("{id}_secret_{}", hex.get(..24).unwrap_or_default())
    }

    fn next_action(&self, intent: &Intent) -> Value {
        if intent.state != IntentState::RequiresAction {
            return Value::Null;
        }
        json!({
            "type": "redirect_to_url",
            "redirect_to_url": {
                "url": format!("{}/sandbox/3ds/{}", self.public_url, intent.id),
                "return_url": intent.return_url,
            },
        })
    }

    /// Where the customer's browser goes after the 3-D Secure page.
    pub(crate) fn return_location(&self, intent: &Intent, approved: bool) -> Option<String> {
        let mut url = reqwest::Url::parse(intent.return_url.as_deref()?).ok()?;
        url.query_pairs_mut()
            .append_pair("payment_intent", &intent.id)
            .append_pair("payment_intent_client_secret", &self.client_secret(&intent.id))
            .append_pair("redirect_status", if approved { "succeeded" } else { "failed" });
        Some(url.into())
    }

    /// `charge` is embedded instead of its id when it was asked for.
    pub(crate) fn intent(&self, intent: &Intent, charge: Option<&Charge>) -> Value {
        let (canceled_at, reason) = match &intent.state {
            IntentState::Canceled { at, reason } => (Some(*at), *reason),
            _ => (None, None),
        };
        let last_error = match &intent.state {
            IntentState::RequiresPaymentMethod { last_error } => *last_error,
            _ => None,
        };
        let latest_charge = charge.map_or_else(|| json!(intent.latest_charge), |charge| self.charge(charge));
        json!({
            "id": intent.id,
            "object": "payment_intent",
            "amount": intent.amount.minor(),
            "amount_capturable": intent.amount_capturable(),
            "amount_received": intent.amount_received(),
            "canceled_at": canceled_at,
            "cancellation_reason": reason,
            "capture_method": intent.capture_method,
            "client_secret": self.client_secret(&intent.id),
            "confirmation_method": "automatic",
            "created": intent.created,
            "currency": intent.currency,
            "customer": null,
            "description": intent.description,
            "last_payment_error": last_error.map(|error| payment_error(error, intent)),
            "latest_charge": latest_charge,
            "livemode": false,
            "metadata": intent.metadata,
            "next_action": self.next_action(intent),
            "payment_method": intent.method.map(Method::id),
            "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": null,
            "setup_future_usage": null,
            "shipping": null,
            "statement_descriptor": null,
            "status": intent.state.name(),
        })
    }

    /// `amount_refunded` counts what was let go of an authorization as well, as Stripe does.
    #[expect(clippy::unused_self, reason = "all views hang on the viewer")]
    pub(crate) fn charge(&self, charge: &Charge) -> Value {
        let failure = match charge.state {
            ChargeState::Failed { decline } => Some(decline),
            _ => None,
        };
        let (captured, refunded) = (charge.captured(), charge.returned());
        json!({
            "id": charge.id,
            "object": "charge",
            "amount": charge.amount.minor(),
            "amount_captured": captured,
            "amount_refunded": refunded,
            "billing_details": { "address": null, "email": null, "name": null, "phone": null },
            "captured": captured > 0,
            "created": charge.created,
            "currency": charge.currency,
            "disputed": false,
            "failure_code": failure.map(Decline::code),
            "failure_message": failure.map(Decline::message),
            "livemode": false,
            "metadata": charge.metadata,
            "outcome": {
                "network_status": if failure.is_some() { "declined_by_network" } else { "approved_by_network" },
                "reason": failure.and_then(Decline::decline_code),
                "type": if failure.is_some() { "issuer_declined" } else { "authorized" },
            },
            "paid": failure.is_none(),
            "payment_intent": charge.intent,
            "payment_method": charge.method.id(),
            "payment_method_details": {
                "type": "card",
                "card": card(charge),
            },
            "refunded": refunded == charge.amount.minor(),
            "status": if failure.is_some() { "failed" } else { "succeeded" },
        })
    }

    #[expect(clippy::unused_self, reason = "all views hang on the viewer")]
    pub(crate) fn refund(&self, refund: &Refund) -> Value {
        json!({
            "id": refund.id,
            "object": "refund",
            "amount": refund.amount.minor(),
            "charge": refund.charge,
            "created": refund.created,
            "currency": refund.currency,
            "metadata": refund.metadata,
            "payment_intent": refund.intent,
            "reason": refund.reason,
            "status": "succeeded",
        })
    }
}

fn card(charge: &Charge) -> Value {
    let profile = charge.method.profile();
    let mut card = json!({
        "brand": profile.brand,
        "last4": profile.last4,
        "country": "US",
        "funding": "credit",
        "exp_month": 12,
        "exp_year": 2040,
    });
    if let (ChargeState::Authorized { capture_before }, Some(card)) = (&charge.state, card.as_object_mut()) {
        card.insert("capture_before".to_owned(), json!(capture_before));
    }
    card
}

fn payment_error(decline: Decline, intent: &Intent) -> Value {
    let mut error = json!({
        "type": if decline == Decline::AuthenticationFailed { "invalid_request_error" } else { "card_error" },
        "code": decline.code(),
        "message": decline.message(),
    });
    // Left out where there is none: Stripe never says null here.
    if let Some(error) = error.as_object_mut() {
        if let Some(code) = decline.decline_code() {
            error.insert("decline_code".to_owned(), json!(code));
        }
        if let Some(charge) = &intent.latest_charge {
            error.insert("charge".to_owned(), json!(charge));
        }
    }
    error
}

/// Where an event comes from: Stripe's `request` field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) request_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

pub(crate) fn event(id: &str, kind: &str, created: i64, object: &Value, origin: &Origin) -> Value {
    json!({
        "id": id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": { "object": object },
        "livemode": false,
        "pending_webhooks": 1,
        "request": { "id": origin.request_id, "idempotency_key": origin.idempotency_key },
        "type": kind,
    })
}

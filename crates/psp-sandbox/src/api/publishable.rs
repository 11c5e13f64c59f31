//! What a customer's browser may do, as Stripe.js does it: with the publishable key and an intent's client secret
//! it reads and confirms that intent, and nothing else.

use super::error::ApiError;
use super::form::Form;
use super::view::Viewer;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

/// What of an intent is the shop's own affair.
const SHOPS_OWN: [&str; 5] = [
    "amount_capturable",
    "amount_received",
    "customer",
    "latest_charge",
    "metadata",
];

/// Refuses all that a customer may not do, and takes the client secret from the form.
pub(super) fn permit(
    viewer: &Viewer,
    method: &str,
    segments: &[&str],
    form: &mut Form,
) -> Result<(), ApiError> {
    let id = match (method, segments) {
        ("GET", ["payment_intents", id]) | ("POST", ["payment_intents", id, "confirm"])
            if *id != "search" =>
        {
            id
        }
        _ => return Err(ApiError::secret_key_required()),
    };
    let given = form.required("client_secret")?;
    if bool::from(given.as_bytes().ct_eq(viewer.client_secret(id).as_bytes())) {
        return Ok(());
    }
    let message = "The client_secret provided does not match any associated PaymentIntent on this account.";
    Err(ApiError::param_invalid("client_secret", None, message))
}

/// The answer without what is not the customer's to know.
pub(super) fn trim(body: &str) -> Result<String, ApiError> {
    let unreadable = |_| ApiError::ledger("The answer could not be written.");
    let mut body: Value = serde_json::from_str(body).map_err(unreadable)?;
    let place = match body.pointer("/error/payment_intent") {
        Some(_) => "/error/payment_intent",
        None => "",
    };
    if let Some(intent) = body.pointer_mut(place).and_then(Value::as_object_mut) {
        for name in SHOPS_OWN {
            intent.remove(name);
        }
    }
    Ok(body.to_string())
}

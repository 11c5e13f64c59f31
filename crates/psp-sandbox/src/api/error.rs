//! Stripe's error object.

use crate::domain::Refused;
use crate::domain::method::Decline;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: String,
    param: Option<String>,
    decline: Option<Decline>,
    charge: Option<String>,
    payment_intent: Option<Box<Value>>,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            kind,
            code,
            message,
            param: None,
            decline: None,
            charge: None,
            payment_intent: None,
        }
    }

    fn invalid(code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", code, message)
    }

    fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    pub(crate) fn with_intent(mut self, view: Value) -> Self {
        self.payment_intent = Some(Box::new(view));
        self
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(401, "invalid_request_error", None, message)
    }

    pub(crate) fn secret_key_required() -> Self {
        Self::new(
            403,
            "invalid_request_error",
            Some("secret_key_required"),
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
        )
    }

    pub(crate) fn unknown_route(method: &str, path: &str) -> Self {
        Self::new(
            404,
            "invalid_request_error",
            None,
            format!("Unrecognized request URL ({method}: {path})."),
        )
    }

    /// The object named by the path is not there.
    pub(crate) fn missing(what: &str, id: &str, param: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(
            404,
            "invalid_request_error",
            Some("resource_missing"),
            format!("No such {what}: '{id}'"),
        )
        .about(param)
    }

    /// An object named by a parameter is not there: 400, as Stripe answers.
    pub(crate) fn no_such(message: String, param: &str) -> Self {
        Self::invalid(Some("resource_missing"), message).about(param)
    }

    pub(crate) fn param_missing(param: &str) -> Self {
        Self::invalid(
            Some("parameter_missing"),
            format!("Missing required param: {param}."),
        )
        .about(param)
    }

    pub(crate) fn param_unknown(param: &str) -> Self {
        let param: String = param.chars().take(64).collect();
        Self::invalid(
            Some("parameter_unknown"),
            format!("Received unknown parameter: {param}"),
        )
        .about(&param)
    }

    pub(crate) fn param_invalid(param: &str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::invalid(code, message).about(param)
    }

    pub(crate) fn card_data(param: &str) -> Self {
        Self::invalid(
            Some("card_data_refused"),
            "Sending card numbers to the API is refused: send a payment method's id.",
        )
        .about(param)
    }

    pub(crate) fn malformed(message: &str) -> Self {
        Self::invalid(None, message)
    }

    pub(crate) fn key_reused(key: &str) -> Self {
        Self::new(
            400,
            "idempotency_error",
            None,
            format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{key}' if you meant to execute a different request."
            ),
        )
    }

    pub(crate) fn key_in_use(key: &str) -> Self {
        Self::new(
            409,
            "idempotency_error",
            Some("idempotency_key_in_use"),
            format!(
                "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): {key}. Please try again later."
            ),
        )
    }

    /// A fault asked for by the control endpoint.
    pub(crate) fn injected(status: u16) -> Self {
        match status {
            429 => Self::new(
                429,
                "invalid_request_error",
                Some("rate_limit"),
                "Too many requests.",
            ),
            status => Self::new(status, "api_error", None, "An injected fault: nothing was done."),
        }
    }

    pub(crate) fn ledger(message: &str) -> Self {
        Self::new(500, "api_error", None, message)
    }

    pub(crate) fn declined(decline: Decline, charge: Option<String>, view: Value) -> Self {
        let mut error = Self::new(402, "card_error", Some(decline.code()), decline.message());
        error.decline = Some(decline);
        error.charge = charge;
        error.with_intent(view)
    }

    /// What a refused move of an intent, or of its charge, reads like.
    pub(crate) fn refused(refused: &Refused, param: &str) -> Self {
        match refused {
            Refused::State { action, from } => Self::invalid(
                Some("payment_intent_unexpected_state"),
                format!("You cannot {action} this PaymentIntent because it has a status of {from}."),
            ),
            Refused::TooMuch { asked, at_most } => Self::invalid(
                Some("amount_too_large"),
                format!("The amount ({asked}) is greater than what is left ({at_most})."),
            )
            .about(param),
            Refused::Expired { capture_before } => Self::invalid(
                Some("charge_expired_for_capture"),
                format!(
                    "The charge cannot be captured as the authorization has expired (at {capture_before})."
                ),
            ),
            Refused::NotYet { capture_before } => Self::invalid(
                Some("payment_intent_unexpected_state"),
                format!("The authorization holds until {capture_before}."),
            ),
            Refused::AlreadyRefunded => Self::invalid(
                Some("charge_already_refunded"),
                "The charge has already been refunded.",
            ),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("type".to_owned(), json!(self.kind));
        error.insert("message".to_owned(), json!(self.message));
        if let Some(code) = self.code {
            error.insert("code".to_owned(), json!(code));
            error.insert(
                "doc_url".to_owned(),
                json!(format!("https://stripe.com/docs/error-codes/{code}")),
            );
        }
        if let Some(param) = &self.param {
            error.insert("param".to_owned(), json!(param));
        }
        if let Some(decline_code) = self.decline.and_then(Decline::decline_code) {
            error.insert("decline_code".to_owned(), json!(decline_code));
        }
        if let Some(charge) = &self.charge {
            error.insert("charge".to_owned(), json!(charge));
        }
        if let Some(intent) = &self.payment_intent {
            error.insert("payment_intent".to_owned(), (**intent).clone());
        }
        json!({ "error": error })
    }
}

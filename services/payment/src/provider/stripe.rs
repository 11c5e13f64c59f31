//! Stripe's HTTP API: form-encoded requests, a bearer key, an `Idempotency-Key` on whatever changes
//! something.

use std::time::Duration;

use async_trait::async_trait;
use ferrocart_config::{ExposeSecret, SecretString};
use ferrocart_types::PaymentId;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;

use super::breaker::BreakerSettings;
use super::guard::{Guard, Heard};
use super::wire::{ErrorAnswer, SearchResult, WireError, WireIntent, WireSecret};
use super::{Intent, ListedRefund, Listing, PaymentProvider, ProviderError, Refund, Window, listing};
use crate::domain::{IntentId, Payment};

/// The version whose shapes are read; a newer one at the provider changes nothing here.
const API_VERSION: &str = "2025-03-31.basil";
/// The largest answer that is read, in bytes: a page of a hundred intents with their charges.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// After a 429 or a refused key.
const TURNED_AWAY: Duration = Duration::from_secs(2);
const EXPAND: (&str, &str) = ("expand[]", "latest_charge");

#[derive(Debug, Clone)]
pub struct StripeSettings {
    pub base_url: String,
    pub api_key: SecretString,
    pub timeout: Duration,
    /// Where the bank's page sends the customer back to; `{order_id}` is filled in.
    pub return_url: String,
    pub concurrency_max: usize,
    pub queue_timeout: Duration,
    pub breaker: BreakerSettings,
}

#[derive(Debug)]
pub struct Stripe {
    http: reqwest::Client,
    settings: StripeSettings,
    guard: Guard,
}

impl Stripe {
    pub fn new(settings: StripeSettings) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2).min(settings.timeout))
            .pool_max_idle_per_host(settings.concurrency_max)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let guard = Guard::new(
            settings.breaker,
            settings.concurrency_max,
            settings.queue_timeout,
            settings.timeout,
        );
        Ok(Self {
            http,
            settings,
            guard,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.settings.base_url.trim_end_matches('/');
        self.http
            .request(method, format!("{base}{path}"))
            .bearer_auth(self.settings.api_key.expose_secret())
            .header("stripe-version", API_VERSION)
            .timeout(self.settings.timeout)
    }

    fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.request(Method::POST, path)
            .header("idempotency-key", key)
            .form(form)
    }

    fn return_url(&self, payment: &Payment) -> String {
        let order_id = payment.terms.order_id.to_string();
        self.settings.return_url.replace("{order_id}", &order_id)
    }

    async fn send(&self, operation: &'static str, request: RequestBuilder) -> Result<Raw, ProviderError> {
        self.guard.call(operation, read(request)).await
    }

    async fn intent_of(
        &self,
        operation: &'static str,
        request: RequestBuilder,
    ) -> Result<Intent, ProviderError> {
        let raw = self.send(operation, request).await?;
        if raw.status < 300 {
            return raw.parse::<WireIntent>()?.read();
        }
        let error = raw.error();
        match error {
            // A decline comes with the intent that was declined.
            Some(WireError {
                kind,
                payment_intent: Some(intent),
                ..
            }) if kind == "card_error" => intent.read(),
            error => Err(refusal(operation, raw.status, error.as_ref())),
        }
    }
}

struct Raw {
    status: u16,
    body: Vec<u8>,
}

impl Raw {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body).map_err(|error| ProviderError::Unknown {
            reason: format!("{}: the answer cannot be read: {error}", self.status),
        })
    }

    /// A list's answer, read by `read`.
    fn listed<W: DeserializeOwned, T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(W) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        if self.status < 300 {
            return read(self.parse()?);
        }
        Err(refusal(operation, self.status, self.error().as_ref()))
    }

    fn error(&self) -> Option<WireError> {
        serde_json::from_slice::<ErrorAnswer>(&self.body)
            .ok()
            .map(|answer| answer.error)
    }
}

/// What an error says about the request's effect.
fn refusal(operation: &'static str, status: u16, error: Option<&WireError>) -> ProviderError {
    let kind = error.map_or("", |error| error.kind.as_str());
    let code = error.and_then(|error| error.code.as_deref()).unwrap_or(kind);
    match status {
        // Stripe reads nothing of a request that it limits or whose key it does not know.
        429 => ProviderError::NotSent {
            reason: "the provider limits our rate".to_owned(),
            retry_after: TURNED_AWAY,
        },
        401 | 403 => {
            tracing::error!(
                psp.operation = operation,
                psp.status = status,
                "the provider does not take our key"
            );
            ProviderError::NotSent {
                reason: "the provider does not take our key".to_owned(),
                retry_after: TURNED_AWAY,
            }
        }
        // The first request with the key is still being worked on, or this one came too slowly or too early to
        // be judged (such answers may be a proxy's): no word on what was asked.
        408 | 409 | 425 => ProviderError::Unknown {
            reason: format!("{status} {code}"),
        },
        400..=499 if kind == "idempotency_error" => ProviderError::KeyConflict,
        400..=499 => {
            let param = error.and_then(|error| error.param.as_deref());
            tracing::warn!(
                psp.operation = operation,
                psp.status = status,
                psp.code = code,
                psp.param = param,
                "the provider refused"
            );
            ProviderError::Refused {
                code: match param {
                    Some("payment_method") => "invalid_payment_method".to_owned(),
                    _ if code.is_empty() => format!("http_{status}"),
                    _ => code.to_owned(),
                },
            }
        }
        _ => ProviderError::Unknown {
            reason: format!("{status} {code}"),
        },
    }
}

async fn read(request: RequestBuilder) -> Heard<Raw> {
    match try_read(request).await {
        Ok(raw) => Heard::Answer(raw),
        Err(error) if error.is_connect() || error.is_builder() => Heard::Nothing(ProviderError::NotSent {
            reason: format!("no connection: {}", reason(&error)),
            retry_after: Duration::from_secs(1),
        }),
        Err(error) => Heard::Nothing(ProviderError::Unknown {
            reason: reason(&error),
        }),
    }
}

async fn try_read(request: RequestBuilder) -> Result<Raw, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        // What is cut off does not parse, and is then an unknown outcome.
        let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(Raw { status, body })
}

/// Without the URL, which carries ids.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[async_trait]
impl PaymentProvider for Stripe {
    async fn authorize(&self, payment: &Payment, key: &str) -> Result<Intent, ProviderError> {
        let terms = &payment.terms;
        let (order_id, payment_id) = (terms.order_id.to_string(), payment.id.to_string());
        let amount = terms.amount.amount_minor.to_string();
        let currency = terms.amount.currency.as_str().to_ascii_lowercase();
        let return_url = self.return_url(payment);
        let mut form = vec![
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("capture_method", "manual"),
            ("payment_method_types[0]", "card"),
            ("metadata[order_id]", &order_id),
            ("metadata[payment_id]", &payment_id),
            EXPAND,
        ];
        if let Some(method) = &terms.method {
            form.extend([
                ("confirm", "true"),
                ("payment_method", method.as_str()),
                ("return_url", return_url.as_str()),
            ]);
        }
        self.intent_of("authorize", self.post("/v1/payment_intents", key, &form))
            .await
    }

    async fn confirm(
        &self,
        intent: &IntentId,
        payment: &Payment,
        key: &str,
    ) -> Result<Intent, ProviderError> {
        let path = format!("/v1/payment_intents/{intent}/confirm");
        let return_url = self.return_url(payment);
        let method = payment.terms.method.as_ref().map_or("", |method| method.as_str());
        let form = [
            ("payment_method", method),
            ("return_url", return_url.as_str()),
            EXPAND,
        ];
        self.intent_of("confirm", self.post(&path, key, &form)).await
    }

    async fn capture(
        &self,
        intent: &IntentId,
        amount_minor: i64,
        key: &str,
    ) -> Result<Intent, ProviderError> {
        let path = format!("/v1/payment_intents/{intent}/capture");
        let amount = amount_minor.to_string();
        let form = [("amount_to_capture", amount.as_str()), EXPAND];
        self.intent_of("capture", self.post(&path, key, &form)).await
    }

    async fn cancel(&self, intent: &IntentId, key: &str) -> Result<Intent, ProviderError> {
        let path = format!("/v1/payment_intents/{intent}/cancel");
        let form = [("cancellation_reason", "abandoned"), EXPAND];
        self.intent_of("cancel", self.post(&path, key, &form)).await
    }

    async fn refund(&self, intent: &IntentId, refund: Refund, key: &str) -> Result<(), ProviderError> {
        let amount = refund.amount_minor.to_string();
        let (order_id, payment_id) = (refund.order_id.to_string(), refund.payment_id.to_string());
        let operation_id = refund.operation_id.to_string();
        let form = [
            ("payment_intent", intent.0.as_str()),
            ("amount", &amount),
            ("metadata[order_id]", &order_id),
            ("metadata[payment_id]", &payment_id),
            ("metadata[operation_id]", &operation_id),
        ];
        let raw = self.send("refund", self.post("/v1/refunds", key, &form)).await?;
        if raw.status < 300 {
            return Ok(());
        }
        Err(refusal("refund", raw.status, raw.error().as_ref()))
    }

    async fn intent(&self, intent: &IntentId) -> Result<Intent, ProviderError> {
        let path = format!("/v1/payment_intents/{intent}");
        self.intent_of("read", self.request(Method::GET, &path).query(&[EXPAND]))
            .await
    }

    async fn client_secret(&self, intent: &IntentId) -> Result<SecretString, ProviderError> {
        let path = format!("/v1/payment_intents/{intent}");
        let raw = self.send("read_secret", self.request(Method::GET, &path)).await?;
        if raw.status < 300 {
            return Ok(raw.parse::<WireSecret>()?.client_secret);
        }
        Err(refusal("read_secret", raw.status, raw.error().as_ref()))
    }

    async fn find(&self, payment: PaymentId) -> Result<Option<Intent>, ProviderError> {
        let query = format!("metadata['payment_id']:'{payment}'");
        let request = self.request(Method::GET, "/v1/payment_intents/search").query(&[
            ("query", query.as_str()),
            ("limit", "2"),
            ("expand[]", "data.latest_charge"),
        ]);
        let raw = self.send("find", request).await?;
        if raw.status >= 300 {
            return Err(refusal("find", raw.status, raw.error().as_ref()));
        }
        let mut found = raw.parse::<SearchResult>()?.data.into_iter();
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(intent), None) => intent.read().map(Some),
            (Some(_), Some(_)) => {
                tracing::error!(payment.id = %payment, "the provider has two intents for one payment");
                Err(ProviderError::Unknown {
                    reason: "two intents for one payment".to_owned(),
                })
            }
        }
    }

    async fn intents(&self, window: Window, after: Option<&str>) -> Result<Listing<Intent>, ProviderError> {
        let request = self
            .request(Method::GET, "/v1/payment_intents")
            .query(&listing::page(window, after))
            .query(&[("expand[]", "data.latest_charge")]);
        let raw = self.send("list", request).await?;
        raw.listed("list", listing::intents)
    }

    async fn refunds(
        &self,
        window: Window,
        after: Option<&str>,
    ) -> Result<Listing<ListedRefund>, ProviderError> {
        let request = self
            .request(Method::GET, "/v1/refunds")
            .query(&listing::page(window, after));
        let raw = self.send("list_refunds", request).await?;
        raw.listed("list_refunds", listing::refunds)
    }

    fn closed_for(&self) -> Option<Duration> {
        self.guard.closed_for()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_what_was_asked_is_a_refusal() {
        for status in [408, 409, 425, 500, 503] {
            let error = refusal("authorize", status, None);
            assert!(
                matches!(error, ProviderError::Unknown { .. }),
                "{status}: {error}"
            );
        }
        for status in [400, 402, 404] {
            let error = refusal("authorize", status, None);
            assert!(
                matches!(error, ProviderError::Refused { .. }),
                "{status}: {error}"
            );
        }
    }
}

//! The payment provider: a seam, so that the rest of the service does not know whose API it is.

mod breaker;
mod guard;
mod listing;
mod stripe;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use ferrocart_config::SecretString;
use ferrocart_failpoint::Fault;
use ferrocart_types::{Money, OrderId, PaymentId, Timestamp};
use uuid::Uuid;

use crate::domain::{IntentId, Payment, Seen};

pub use breaker::{Breaker, BreakerSettings};
pub use stripe::{Stripe, StripeSettings};
pub use webhook::{InvalidWebhook, ProviderEvent, Subject, WebhookVerifier};

/// What the provider holds for one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub id: IntentId,
    /// Ours, from the intent's metadata; `None` for an intent that is not ours.
    pub payment_id: Option<PaymentId>,
    pub amount: Money,
    pub seen: Seen,
}

/// Why the provider gave no intent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The request did not take effect and never will: the breaker is open, the queue is full, there is
    /// no connection, or the provider turned it away unread.
    #[error("the provider was not asked: {reason}")]
    NotSent { reason: String, retry_after: Duration },
    /// Whether the request took effect is not known: it must be asked for.
    #[error("the provider's answer is not known: {reason}")]
    Unknown { reason: String },
    /// The key was used with other parameters: what was done under it must be read back.
    #[error("the provider knows the key from another request")]
    KeyConflict,
    /// A definite no.
    #[error("the provider refused: {code}")]
    Refused { code: String },
}

/// A failpoint's, which stands for an answer that is lost.
impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        Self::Unknown {
            reason: fault.to_string(),
        }
    }
}

/// A part or the whole of what was captured, to go back.
#[derive(Debug, Clone, Copy)]
pub struct Refund {
    pub operation_id: Uuid,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub amount_minor: i64,
}

/// A stretch of time, both ends included; the provider counts in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// A page of what the provider made within a window, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None` behind the last one.
    pub next: Option<String>,
}

/// A refund in the provider's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRefund {
    pub intent: IntentId,
    /// Ours, from the refund's metadata; `None` for a refund that was made elsewhere.
    pub operation_id: Option<Uuid>,
    /// The money has gone back, or is on its way.
    pub stands: bool,
}

/// Whatever changes something bears a key, and takes effect at most once for it.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// Holds the payment's amount; without a method makes the intent that the customer confirms. A decline is an
    /// answer, not an error.
    async fn authorize(&self, payment: &Payment, key: &str) -> Result<Intent, ProviderError>;

    /// Holds the amount of an intent that was made without a method.
    async fn confirm(&self, intent: &IntentId, payment: &Payment, key: &str)
    -> Result<Intent, ProviderError>;

    /// Takes a part or the whole of what is held, and lets the rest go.
    async fn capture(&self, intent: &IntentId, amount_minor: i64, key: &str)
    -> Result<Intent, ProviderError>;

    /// Lets go what is held.
    async fn cancel(&self, intent: &IntentId, key: &str) -> Result<Intent, ProviderError>;

    /// Gives money back. The new total is read with [`PaymentProvider::intent`].
    async fn refund(&self, intent: &IntentId, refund: Refund, key: &str) -> Result<(), ProviderError>;

    /// The intent as it stands now.
    async fn intent(&self, intent: &IntentId) -> Result<Intent, ProviderError>;

    /// What the customer confirms the intent with: read when it is asked for, and never kept.
    async fn client_secret(&self, intent: &IntentId) -> Result<SecretString, ProviderError>;

    /// The intent that was made for the payment, by its metadata.
    async fn find(&self, payment: PaymentId) -> Result<Option<Intent>, ProviderError>;

    /// A page of the intents that were made in the window and are ours by their metadata.
    async fn intents(&self, window: Window, after: Option<&str>) -> Result<Listing<Intent>, ProviderError>;

    /// A page of the refunds that were made in the window.
    async fn refunds(
        &self,
        window: Window,
        after: Option<&str>,
    ) -> Result<Listing<ListedRefund>, ProviderError>;

    /// How long the provider is not asked at all, if so.
    fn closed_for(&self) -> Option<Duration>;
}

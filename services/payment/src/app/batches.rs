//! What payments under way at the same time share a commit for; see ADR 25.

use ferrocart_pg_kit::{Batch, BoxFuture, StoreError};
use sqlx::PgPool;

use crate::error::PaymentError;
use crate::store::openings::{self, Opened, Opening};
use crate::store::outcomes::{self, Outcome};
use crate::store::provider_events::{self, Question, Standing};

/// Records authorizations before they are tried.
pub struct Openings(pub PgPool);

impl Batch for Openings {
    const NAME: &'static str = "payment.open";
    type Item = Opening;
    /// `false` when the order's place or the request's key is taken; nothing is written then.
    type Answer = bool;
    type Error = PaymentError;

    fn run<'a>(&'a self, items: &'a [Opening]) -> BoxFuture<'a, Result<Vec<bool>, PaymentError>> {
        Box::pin(async move {
            let mut conn = self.0.acquire().await?;
            match openings::open(&mut conn, items).await? {
                Opened::Payments(opened) => Ok(items
                    .iter()
                    .map(|item| opened.contains(&item.payment.id))
                    .collect()),
                Opened::KeyTaken if items.len() == 1 => Ok(vec![false]),
                // Whose key it is, the halves tell.
                Opened::KeyTaken => Err(PaymentError::KeyReused),
            }
        })
    }

    fn is_unavailable(error: &PaymentError) -> bool {
        matches!(error, PaymentError::Store(error) if error.is_unavailable())
    }
}

/// Writes down what operations came to.
pub struct Outcomes(pub PgPool);

impl Batch for Outcomes {
    const NAME: &'static str = "payment.outcome";
    type Item = Outcome;
    /// Whether the payment is to be voided; `None` when it has moved on and nothing was written.
    type Answer = Option<bool>;
    type Error = StoreError;

    fn run<'a>(&'a self, items: &'a [Outcome]) -> BoxFuture<'a, Result<Vec<Option<bool>>, StoreError>> {
        Box::pin(async move {
            let mut conn = self.0.acquire().await?;
            outcomes::record(&mut conn, items).await
        })
    }

    fn is_unavailable(error: &StoreError) -> bool {
        error.is_unavailable()
    }
}

/// Looks up what there is to know before the provider's events are taken.
pub struct Standings(pub PgPool);

impl Batch for Standings {
    const NAME: &'static str = "payment.standing";
    type Item = Question;
    type Answer = Standing;
    type Error = StoreError;

    fn run<'a>(&'a self, items: &'a [Question]) -> BoxFuture<'a, Result<Vec<Standing>, StoreError>> {
        Box::pin(async move {
            let mut conn = self.0.acquire().await?;
            provider_events::look_up(&mut conn, items).await
        })
    }

    fn is_unavailable(error: &StoreError) -> bool {
        error.is_unavailable()
    }
}

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::Payments;

/// Rounds between two house-cleanings.
const FORGET_EVERY: u32 = 300;

/// Looks every `interval`, or at once when woken, for payments that nobody brings to their end.
pub(crate) async fn run(
    payments: Arc<Payments>,
    interval: Duration,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let mut round = 0_u32;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(interval) => {}
            () = payments.to_recover.notified() => {}
        }
        let mut outcome = payments.recover().await.map(|_| ());
        if outcome.is_ok() {
            outcome = payments.measure().await;
        }
        if outcome.is_ok() && round.is_multiple_of(FORGET_EVERY) {
            outcome = payments.forget().await;
        }
        if let Err(error) = outcome {
            tracing::warn!(error = %error, "the recovery of payments tries again");
        }
        round = round.wrapping_add(1);
    }
}

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{Payments, Schedule};

/// How often it is looked whether it is time, or whether a run was left alone.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Compares with the provider's books, one run at a time over all replicas.
pub(crate) async fn run(
    payments: Arc<Payments>,
    schedule: Schedule,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = payments.to_reconcile.notified() => {}
        }
        let outcome = cancel.run_until_cancelled(payments.reconcile(schedule)).await;
        if let Some(Err(error)) = outcome {
            // The run stays where it is and is gone on with when its lease has ended.
            tracing::warn!(error = %error, "the reconciliation tries again");
        }
    }
}

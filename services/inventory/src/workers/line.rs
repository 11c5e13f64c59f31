use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{SaleDesk, SaleMeter, WaitDesk};

/// How often sales are started and stopped, and their counts handed over.
const TURN: Duration = Duration::from_secs(1);

/// Serves the lines of flash sales: at once after commits of this process, and a moment later after those of
/// others.
pub(crate) struct Server {
    pub(crate) desk: WaitDesk,
    pub(crate) poll: Duration,
}

impl Server {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = self.desk.tools.waiters.work() => {}
                () = tokio::time::sleep(self.poll) => {}
            }
            if let Err(error) = self.desk.serve().await {
                tracing::warn!(%error, "a line could not be served");
            }
        }
    }
}

/// Starts and stops sales by their times, and adds up their counts.
pub(crate) struct SaleKeeper {
    pub(crate) desk: SaleDesk,
    pub(crate) meter: SaleMeter,
}

impl SaleKeeper {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.desk.keep_times().await {
                tracing::warn!(%error, "flash sales could not be started or stopped");
            }
            if let Err(error) = self.meter.turn(&self.desk.pool).await {
                tracing::warn!(%error, "the counts of flash sales could not be added up");
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(TURN) => {}
            }
        }
    }
}

use std::time::Duration;

use ferrocart_pg_kit::{StoreError, run_tx};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::app::Actor;
use crate::batcher::{Move, Tools, settle};
use crate::domain::Command;
use crate::store::{self, StockRow};

/// How many reservations are released in one transaction.
const BATCH: i64 = 100;

/// Releases reservations whose time is up. Several replicas sweep side by side: each skips what another
/// has locked.
pub(crate) struct Sweeper {
    pub(crate) pool: PgPool,
    pub(crate) tools: Tools,
    pub(crate) interval: Duration,
}

impl Sweeper {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.sweep_all(&cancel).await {
                tracing::warn!(%error, "expired reservations could not be released");
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    /// As many batches as are due.
    async fn sweep_all(&self, cancel: &CancellationToken) -> Result<(), StoreError> {
        while !cancel.is_cancelled() {
            let tools = self.tools.clone();
            let (due, released, stock) = run_tx(&self.pool, "reservations.sweep", |conn| {
                let tools = tools.clone();
                Box::pin(async move { sweep(conn, &tools).await })
            })
            .await?;
            if released > 0 {
                self.tools.relay.poke();
                self.tools.admission.committed_rows(&stock);
                self.tools.waiters.committed(&stock);
                tracing::info!(released, "expired reservations were released");
                metrics::counter!("inventory_expired_total")
                    .increment(u64::try_from(released).unwrap_or_default());
            }
            if i64::try_from(due).is_ok_and(|due| due < BATCH) {
                break;
            }
        }
        Ok(())
    }
}

async fn sweep(
    conn: &mut sqlx::PgConnection,
    tools: &Tools,
) -> Result<(usize, usize, Vec<StockRow>), StoreError> {
    let due = store::lock_due(conn, tools.clock.now(), BATCH).await?;
    let requests: Vec<Move> = due
        .keys()
        .map(|order| Move {
            order_id: *order,
            command: Command::Expire,
            actor: Actor {
                name: "sweeper".to_owned(),
                traceparent: None,
            },
        })
        .collect();
    let (released, stock) = settle(tools, conn, &due, &requests).await?;
    Ok((due.len(), released, stock))
}

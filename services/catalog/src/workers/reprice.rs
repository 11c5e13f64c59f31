//! Looks for sales that begin or end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{Catalog, reprice::reprice};

/// What is asked of PostgreSQL is one look at an index that is mostly empty.
const EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn run(catalog: Catalog, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut more = false;
    loop {
        if !more {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        more = match reprice(catalog.clone()).await {
            Ok(more) => more && !cancel.is_cancelled(),
            Err(error) => {
                tracing::warn!(
                    error = crate::error::cause_chain(&error),
                    "prices that are due were not told; trying on"
                );
                false
            }
        };
    }
}

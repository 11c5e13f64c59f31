//! Our own catalog-events: tells Redis of changes that it could not be told of when they were made.
//!
//! Without this a change made while Redis was away would be hidden by the older version that Redis
//! still holds, for as long as an hour. The event is durable, so is the repair.

use async_trait::async_trait;
use ferrocart_kafka_kit::{BatchHandler, HandleError, Received};
use ferrocart_types::ProductId;

use crate::cache::SharedCache;

pub(crate) const GROUP: &str = "catalog-cache";
pub(crate) const BATCH_MAX: usize = 200;

pub(crate) struct CacheRepair {
    pub(crate) shared: SharedCache,
}

#[async_trait]
impl BatchHandler for CacheRepair {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let changes: Vec<(ProductId, i64)> = events
            .iter()
            .map(|event| &event.envelope)
            .map(|envelope| Ok((envelope.subject.parse()?, envelope.sequence)))
            .collect::<anyhow::Result<_>>()
            .map_err(HandleError::Reject)?;
        self.shared
            .forget_before(&changes)
            .await
            .map_err(|error| HandleError::Wait(error.into()))
    }
}

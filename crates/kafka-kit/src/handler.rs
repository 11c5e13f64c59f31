use async_trait::async_trait;
use ferrocart_contracts::{Envelope, Topic};

/// One event as it was read.
#[derive(Debug, Clone)]
pub struct Received {
    pub topic: Topic,
    pub partition: i32,
    pub offset: i64,
    pub envelope: Envelope,
}

#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Something that the handler needs is away: the event is tried again, with backoff, until it is
    /// back. Its partition waits.
    #[error("waiting: {0:#}")]
    Wait(anyhow::Error),
    /// The event cannot be applied. It is tried three times, then it goes to the dead-letter topic and
    /// the partition moves on.
    #[error("rejected: {0:#}")]
    Reject(anyhow::Error),
}

/// Applies events one by one. An event comes again after a crash or a rebalance, so applying it must
/// be recorded in the inbox, in the same transaction as its effect.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Unknown event types are to be passed over with `Ok`.
    async fn handle(&self, event: &Received) -> Result<(), HandleError>;
}

/// Applies events many at a time, in order; for stores in which a commit is dear.
#[async_trait]
pub trait BatchHandler: Send + Sync + 'static {
    /// All or none: after an error the whole batch comes again. When [`HandleError::Reject`] persists the
    /// events are tried one by one, and only those that fail alone become dead letters.
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError>;
}

/// A [`Handler`] is a batch handler for batches of one.
pub(crate) struct OneByOne<H>(pub(crate) H);

#[async_trait]
impl<H: Handler> BatchHandler for OneByOne<H> {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        for event in events {
            self.0.handle(event).await?;
        }
        Ok(())
    }
}

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells a worker of this replica that something is due.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkHandle(Arc<Notify>);

impl WorkHandle {
    /// Call it after the commit. Missing it costs the poll's interval, not the message.
    pub(crate) fn poke(&self) {
        self.0.notify_one();
    }

    pub(super) async fn notified(&self) {
        self.0.notified().await;
    }
}

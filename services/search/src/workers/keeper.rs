use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_types::SharedClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::watch;
use crate::app::{Followed, Serving};
use crate::consumers::Indexer;
use crate::engine::Indexes;

const POLL: Duration = Duration::from_millis(200);

/// Keeps the served index up to date. When a rebuild is asked for, fills a new one from the beginning of the
/// topics beside it, and lets it take over when it has caught up; reads never stop.
pub(crate) struct Keeper {
    pub(crate) serving: Arc<Serving>,
    pub(crate) indexes: Arc<dyn Indexes>,
    pub(crate) kafka: KafkaSettings,
    pub(crate) batch_max: usize,
    pub(crate) clock: SharedClock,
}

/// What brings events into one index.
struct Following {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Following {
    async fn end(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        (&mut self.task).await?
    }
}

async fn caught_up(index: &Followed) {
    while index.backlog.events_behind() != Some(0) {
        tokio::time::sleep(POLL).await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Keeper {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut current = self.follow(self.serving.current());
        loop {
            tokio::select! {
                () = cancel.cancelled() => return current.end().await,
                ended = &mut current.task => return ended?,
                () = self.serving.rebuild_asked() => {}
            }
            let Some(next) = self.rebuild(&mut current, &cancel).await? else {
                continue;
            };
            std::mem::replace(&mut current, next).end().await?;
        }
    }

    /// Answers the index that took over; `None` if it did not come to that.
    async fn rebuild(
        &self,
        current: &mut Following,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Option<Following>> {
        let next = match self.indexes.create().await {
            Ok(engine) => Followed::new(engine),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "no new index can be made");
                self.serving.give_up();
                return Ok(None);
            }
        };
        tracing::info!(index.id = next.engine.index_id(), "a new index is filled");
        self.serving.fill(next.clone());
        let mut following = self.follow(next.clone());
        tokio::select! {
            () = cancel.cancelled() => {
                following.end().await?;
                return Ok(None);
            }
            ended = &mut current.task => return ended?.map(|()| None),
            ended = &mut following.task => {
                let error = ended?.err().map(|error| format!("{error:#}"));
                tracing::error!(error, "the new index cannot be filled; the old one stays");
                self.serving.give_up();
                return Ok(None);
            }
            () = caught_up(&next) => {}
        }
        self.serving.swap(next.clone());
        let index_id = next.engine.index_id();
        self.indexes
            .promote(index_id)
            .await
            .context("promoting an index")?;
        tracing::info!(index.id = index_id, "the new index took over");
        Ok(Some(following))
    }

    fn follow(&self, index: Followed) -> Following {
        let stop = CancellationToken::new();
        let indexer = Indexer::new(Arc::clone(&index.engine), Arc::clone(&self.clock));
        let indexing = indexer.run(self.kafka.clone(), self.batch_max, stop.clone());
        let watching = watch(index, self.kafka.clone(), stop.clone());
        let task = ferrocart_telemetry::spawn("indexing", async move {
            tokio::try_join!(indexing, watching).map(|_| ())
        });
        Following { stop, task }
    }
}

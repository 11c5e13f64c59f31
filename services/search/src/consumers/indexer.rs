use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ferrocart_kafka_kit::{BatchHandler, Consumer, HandleError, KafkaSettings, Received, ensure_topics};
use ferrocart_types::{SharedClock, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{TOPICS, events, group};
use crate::engine::SearchEngine;

const RETRY: Duration = Duration::from_secs(1);

/// Brings events into the index, a batch a commit. Offsets are stored after the commit; what comes again
/// after a crash is known by its version.
pub(crate) struct Indexer {
    engine: Arc<dyn SearchEngine>,
    clock: SharedClock,
    started: Timestamp,
}

impl Indexer {
    pub(crate) fn new(engine: Arc<dyn SearchEngine>, clock: SharedClock) -> Self {
        let started = clock.now();
        Self {
            engine,
            clock,
            started,
        }
    }

    pub(crate) async fn run(
        self,
        kafka: KafkaSettings,
        batch_max: usize,
        cancel: CancellationToken,
    ) -> anyhow::Result<()> {
        let group = group(self.engine.index_id());
        // What is indexed can be searched with the broker away, for as long as it is.
        while let Err(error) = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            outcome = ensure_topics(&kafka, Some((&group, &TOPICS))) => outcome,
        } {
            tracing::warn!(error = format!("{error:#}"), "no topics to index yet");
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        Consumer::new(&kafka, &group, &TOPICS)?
            .run_batches(self, batch_max, cancel)
            .await
    }

    /// How long it took from the event to the moment it can be found. Events from before the start are
    /// apart: their lag tells when the service was away or was filled anew.
    fn record_lag(&self, events: &[Received]) {
        let now = self.clock.now();
        for event in events {
            let lag = (now - event.envelope.time).to_std().unwrap_or_default();
            let phase = if event.envelope.time < self.started {
                "replay"
            } else {
                "live"
            };
            metrics::histogram!("search_lag_seconds", "topic" => event.topic.name(), "phase" => phase)
                .record(lag);
        }
    }
}

#[async_trait]
impl BatchHandler for Indexer {
    async fn handle_batch(&self, events: &[Received]) -> Result<(), HandleError> {
        let changes = events
            .iter()
            .map(|event| events::change(&event.envelope))
            .collect::<anyhow::Result<Vec<_>>>()
            .map_err(HandleError::Reject)?;
        let changes: Vec<_> = changes.into_iter().flatten().collect();
        if changes.is_empty() {
            return Ok(());
        }
        let wait = |error: crate::engine::EngineError| HandleError::Wait(error.into());
        self.engine.apply(changes).await.map_err(wait)?;
        self.record_lag(events);
        Ok(())
    }
}

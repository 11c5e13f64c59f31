use std::time::{Duration, Instant};

use anyhow::Context;
use ferrocart_contracts::Topic;
use ferrocart_failpoint::{Pass, Site};
use futures::FutureExt;
use rdkafka::Message;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::dead_letter::DeadLetters;
use crate::handler::{BatchHandler, HandleError, Handler, OneByOne, Received};
use crate::lag::Lag;
use crate::record;
use crate::settings::KafkaSettings;
use crate::topics::replay_topic;

/// After so many failures an event goes to the dead letters.
const TRIES_MAX: u32 = 3;
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a group begins that has no offsets yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    /// For live views: only what happens from now on.
    Latest,
}

/// One member of a consumer group.
pub struct Consumer {
    member: StreamConsumer<Lag>,
    dead_letters: DeadLetters,
    settings: KafkaSettings,
    topics: Vec<Topic>,
    group: String,
}

impl Consumer {
    /// A durable member of `group`: it goes on where the group left off.
    pub fn new(settings: &KafkaSettings, group: &str, topics: &[Topic]) -> anyhow::Result<Self> {
        Self::starting_at(settings, group, topics, StartAt::Earliest)
    }

    pub fn starting_at(
        settings: &KafkaSettings,
        group: &str,
        topics: &[Topic],
        start: StartAt,
    ) -> anyhow::Result<Self> {
        let consumer: StreamConsumer<Lag> = settings
            .client()
            .set("group.id", settings.group_name(group))
            .set(
                "auto.offset.reset",
                if start == StartAt::Earliest {
                    "earliest"
                } else {
                    "latest"
                },
            )
            // Offsets are stored by hand, once the effect is durable, and committed in the background.
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "500")
            // The broker answers when so much is there, or after so long: without a least size, every single event
            // of a busy topic would be a request of its own for each group, over all partitions.
            .set("fetch.min.bytes", "65536")
            .set("fetch.wait.max.ms", "50")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            // A dependency may be away for long; waiting for it must not cost the membership.
            .set("max.poll.interval.ms", "1800000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("statistics.interval.ms", "5000")
            .create_with_context(Lag::new(settings, group))
            .with_context(|| format!("consumer of group {group}"))?;
        let mut names: Vec<String> = topics.iter().map(|topic| settings.topic_name(*topic)).collect();
        names.extend(topics.iter().map(|topic| replay_topic(settings, *topic, group)));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        consumer
            .subscribe(&names)
            .with_context(|| format!("subscribing to {names:?}"))?;
        Ok(Self {
            member: consumer,
            dead_letters: DeadLetters::new(settings, group),
            settings: settings.clone(),
            topics: topics.to_vec(),
            group: group.to_owned(),
        })
    }

    /// Hands over event by event until the token is cancelled.
    pub async fn run(self, handler: impl Handler, cancel: CancellationToken) -> anyhow::Result<()> {
        self.run_batches(OneByOne(handler), 1, cancel).await
    }

    /// Hands over as many events as are there, at most `batch_max`, until the token is cancelled.
    pub async fn run_batches(
        self,
        handler: impl BatchHandler,
        batch_max: usize,
        cancel: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let messages = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                messages = self.next_batch(batch_max) => messages,
            };
            match messages {
                Ok(messages) => {
                    if !self.apply(&handler, &messages, &cancel).await? {
                        return Ok(());
                    }
                }
                Err(error) => {
                    // librdkafka reconnects by itself; what it reports is worth a line and a breath.
                    tracing::warn!(%error, kafka.group = self.group, "kafka consumer");
                    tokio::time::sleep(WAIT_MIN).await;
                }
            }
        }
    }

    /// Waits for one message, then takes what has arrived besides.
    async fn next_batch(&self, batch_max: usize) -> KafkaResult<Vec<BorrowedMessage<'_>>> {
        let mut messages = vec![self.member.recv().await?];
        while messages.len() < batch_max {
            match self.member.recv().now_or_never() {
                Some(Ok(message)) => messages.push(message),
                Some(Err(_)) | None => break,
            }
        }
        Ok(messages)
    }

    /// Applies a batch and stores its offsets. `false` when cancelled meanwhile: nothing is stored then,
    /// and the batch comes again.
    async fn apply(
        &self,
        handler: &impl BatchHandler,
        messages: &[BorrowedMessage<'_>],
        cancel: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let started = Instant::now();
        let mut batch: Vec<(&BorrowedMessage<'_>, Received)> = Vec::with_capacity(messages.len());
        for message in messages {
            let topic = self.topic_of(message)?;
            match record::envelope(message) {
                Ok(envelope) => batch.push((
                    message,
                    Received {
                        topic,
                        partition: message.partition(),
                        offset: message.offset(),
                        envelope,
                    },
                )),
                Err(error) => {
                    self.dead_letters
                        .put(topic, message, 1, &error.to_string())
                        .await?;
                }
            }
        }
        let events: Vec<Received> = batch.iter().map(|(_, event)| event.clone()).collect();
        match self.try_hard(handler, &events, cancel).await {
            Outcome::Applied => {}
            Outcome::Cancelled => return Ok(false),
            Outcome::Rejected(_) if events.len() > 1 => {
                for (message, event) in &batch {
                    match self.try_hard(handler, std::slice::from_ref(event), cancel).await {
                        Outcome::Applied => {}
                        Outcome::Cancelled => return Ok(false),
                        Outcome::Rejected(error) => {
                            self.dead_letters
                                .put(event.topic, message, TRIES_MAX, &error)
                                .await?;
                        }
                    }
                }
            }
            Outcome::Rejected(error) => {
                for (message, event) in &batch {
                    self.dead_letters
                        .put(event.topic, message, TRIES_MAX, &error)
                        .await?;
                }
            }
        }
        if ferrocart_failpoint::reach(Site::ConsumerApply.after())
            .await
            .is_err()
        {
            self.rewind(messages)?;
            return Ok(true);
        }
        for message in messages {
            self.store_offset(message);
        }
        metrics::histogram!("kafka_handle_duration_seconds", "group" => self.group.clone())
            .record(started.elapsed());
        metrics::counter!("kafka_events_total", "group" => self.group.clone())
            .increment(u64::try_from(messages.len()).unwrap_or(0));
        Ok(true)
    }

    async fn try_hard(
        &self,
        handler: &impl BatchHandler,
        events: &[Received],
        cancel: &CancellationToken,
    ) -> Outcome {
        let Some(first) = events.first() else {
            return Outcome::Applied;
        };
        let span = tracing::info_span!(
            "kafka.consume",
            otel.name = format!("{} consume", first.envelope.event_type),
            otel.kind = "consumer",
            kafka.group = self.group,
            event.id = %first.envelope.id,
        );
        if let Some(parent) = &first.envelope.traceparent {
            ferrocart_telemetry::set_parent(&span, parent);
        }
        self.try_until_settled(handler, events, cancel)
            .instrument(span)
            .await
    }

    async fn try_until_settled(
        &self,
        handler: &impl BatchHandler,
        events: &[Received],
        cancel: &CancellationToken,
    ) -> Outcome {
        let mut wait = WAIT_MIN;
        let mut rejections = 0;
        loop {
            match hand_over(handler, events).await {
                Ok(()) => return Outcome::Applied,
                Err(HandleError::Reject(error)) => {
                    rejections += 1;
                    if rejections >= TRIES_MAX {
                        return Outcome::Rejected(format!("{error:#}"));
                    }
                    tracing::warn!(
                        error = format!("{error:#}"),
                        tries = rejections,
                        "an event was rejected"
                    );
                }
                Err(HandleError::Wait(error)) => {
                    tracing::warn!(error = format!("{error:#}"), ?wait, "an event waits");
                    metrics::counter!("kafka_waits_total", "group" => self.group.clone()).increment(1);
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return Outcome::Cancelled,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    fn topic_of(&self, message: &BorrowedMessage<'_>) -> anyhow::Result<Topic> {
        self.topics
            .iter()
            .copied()
            .find(|topic| {
                self.settings.topic_name(*topic) == message.topic()
                    || replay_topic(&self.settings, *topic, &self.group) == message.topic()
            })
            .with_context(|| {
                format!(
                    "a record of the topic {}, which was not subscribed",
                    message.topic()
                )
            })
    }

    /// Goes back to before the batch, as after a crash: the broker delivers it again.
    fn rewind(&self, messages: &[BorrowedMessage<'_>]) -> anyhow::Result<()> {
        let mut first = TopicPartitionList::new();
        for message in messages.iter().rev() {
            let (topic, partition) = (message.topic(), message.partition());
            let offset = Offset::Offset(message.offset());
            match first.find_partition(topic, partition) {
                Some(mut earlier) => earlier.set_offset(offset)?,
                None => first.add_partition_offset(topic, partition, offset)?,
            }
        }
        self.member
            .seek_partitions(first, SEEK_TIMEOUT)
            .context("going back to the last batch")
            .map(drop)
    }

    fn store_offset(&self, message: &BorrowedMessage<'_>) {
        match self.member.store_offset_from_message(message) {
            Ok(()) => {}
            // The partition went to another member, which reads the event again; the inbox knows it.
            Err(KafkaError::StoreOffset(error)) => {
                tracing::debug!(%error, "offset not stored: the partition has moved");
            }
            Err(error) => tracing::warn!(%error, "offset not stored"),
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

async fn hand_over(handler: &impl BatchHandler, events: &[Received]) -> Result<(), HandleError> {
    let pass = ferrocart_failpoint::reach(Site::ConsumerApply.before())
        .await
        .map_err(|fault| HandleError::Wait(fault.into()))?;
    handler.handle_batch(events).await?;
    match pass {
        Pass::Once => Ok(()),
        Pass::Twice => handler.handle_batch(events).await,
    }
}

enum Outcome {
    Applied,
    Rejected(String),
    Cancelled,
}

//! A relay that comes up before a full outbox.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferrocart_kafka_kit::{KafkaSettings, ensure_topics};
use ferrocart_pg_kit::outbox::append;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{Bench, PARTITIONS, TOPIC, events};
use crate::probe::{Limits, Probe};
use crate::stats::per_second;

const ROWS_OF_A_TRANSACTION: usize = 1_000;
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Sample {
    pub(super) per_second: u64,
    pub(super) limits: Limits,
}

pub(super) async fn measure(bench: &Bench, run: usize) -> Result<Sample> {
    let kafka = bench.kafka(&format!("backlog-{run}"));
    ensure_topics(&kafka, None).await?;
    let backlog = bench.options.backlog();
    for rows in events(backlog).chunks(ROWS_OF_A_TRANSACTION) {
        let mut tx = bench.pool.begin().await.context("begin")?;
        append(&mut tx, rows).await?;
        tx.commit().await.context("commit")?;
    }
    let probe = Probe::start(&bench.stack, &[]);
    let began = Instant::now();
    let relay = bench.relay(&kafka);
    bench.empty().await?;
    let lasted = began.elapsed();
    let limits = probe.finish().await?;
    relay.stop().await?;
    let published = tokio::task::spawn_blocking(move || on_the_topic(&kafka))
        .await
        .context("the topic")??;
    ensure!(
        usize::try_from(published) == Ok(backlog),
        "{backlog} events made {published} records"
    );
    Ok(Sample {
        per_second: per_second(u64::try_from(backlog)?, lasted),
        limits,
    })
}

fn on_the_topic(kafka: &KafkaSettings) -> Result<i64> {
    let asking: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.kafka_brokers)
        .create()
        .context("a client")?;
    let topic = format!("{}{TOPIC}", kafka.kafka_topic_prefix);
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let (low, high) = asking.fetch_watermarks(&topic, partition, ASK_TIMEOUT)?;
        records += high - low;
    }
    Ok(records)
}

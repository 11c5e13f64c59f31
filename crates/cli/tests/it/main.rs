//! `ferrocart events` against a real broker: what a person sees, and what a consumer group is given again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ferrocart_contracts::v1::StockUpdated;
use ferrocart_contracts::{Event as _, Topic};
use ferrocart_kafka_kit::{Consumer, HandleError, Handler, Received, ensure_topics};
use ferrocart_test_kit::{TestEnv, eventually};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const TOPICS: &[Topic] = &[Topic::Inventory];

fn stock(sku: &str, version: i64) -> StockUpdated {
    StockUpdated {
        sku_id: sku.to_owned(),
        available: 7,
        version,
        ..Default::default()
    }
}

fn run(env: &TestEnv, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferrocart"))
        .arg("events")
        .args(args)
        .args(["--brokers", &env.kafka.kafka_brokers])
        .args(["--topic-prefix", &env.kafka.kafka_topic_prefix])
        .output()
        .unwrap()
}

/// The lines of a command that must succeed.
fn lines(env: &TestEnv, args: &[&str]) -> Vec<Value> {
    let output = run(env, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_decoded_events_and_only_those_that_are_meant() {
    let env = TestEnv::new("inventory").await;
    ensure_topics(&env.kafka, None).await.unwrap();
    for version in 1..=3 {
        env.publish("inventory", &stock("sku-a", version)).await;
        env.publish("inventory", &stock("sku-b", version)).await;
    }
    let all = lines(&env, &["tail"]);
    assert_eq!(all.len(), 6);
    let of_a = lines(
        &env,
        &[
            "tail",
            "--topic",
            "inventory",
            "--key",
            "sku-a",
            "--type",
            "StockUpdated",
        ],
    );
    let sequences: Vec<i64> = of_a
        .iter()
        .map(|line| line["sequence"].as_i64().unwrap())
        .collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(of_a[0]["type"], StockUpdated::TYPE);
    assert_eq!(of_a[0]["data"]["skuId"], "sku-a");
    assert_eq!(of_a[0]["data"]["available"], "7");
    assert_eq!(lines(&env, &["tail", "--type", "StockLow"]).len(), 0);
    assert_eq!(lines(&env, &["tail", "--since", "1h"]).len(), 6);
    assert_eq!(lines(&env, &["tail", "--until", "1h"]).len(), 0);
    assert_eq!(
        lines(&env, &["tail", "--follow", "--since", "1h", "--limit", "4"]).len(),
        4
    );
    let wrong = run(&env, &["tail", "--type", "Nonsense"]);
    assert!(!wrong.status.success());
}

/// Rejects what it is told to reject; notes what it applied, as `version:ce_id`.
struct Picky {
    reject: Arc<AtomicBool>,
    applied: Arc<Mutex<Vec<(i64, String)>>>,
}

#[async_trait]
impl Handler for Picky {
    async fn handle(&self, event: &Received) -> Result<(), HandleError> {
        let version = event.envelope.decode::<StockUpdated>().unwrap().version;
        if version < 0 && self.reject.load(Ordering::SeqCst) {
            return Err(HandleError::Reject(anyhow::anyhow!("a negative version")));
        }
        let id = event.envelope.id.to_string();
        self.applied.lock().unwrap().push((version, id));
        Ok(())
    }
}

/// A member of a group, and what it applied.
struct Member {
    reject: Arc<AtomicBool>,
    applied: Arc<Mutex<Vec<(i64, String)>>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Member {
    async fn start(env: &TestEnv, group: &str, reject: bool) -> Self {
        ensure_topics(&env.kafka, Some((group, TOPICS))).await.unwrap();
        let reject = Arc::new(AtomicBool::new(reject));
        let applied: Arc<Mutex<Vec<(i64, String)>>> = Arc::default();
        let handler = Picky {
            reject: Arc::clone(&reject),
            applied: Arc::clone(&applied),
        };
        let cancel = CancellationToken::new();
        let consumer = Consumer::new(&env.kafka, group, TOPICS).unwrap();
        let task = ferrocart_telemetry::spawn("consumer", consumer.run(handler, cancel.clone()));
        Self {
            reject,
            applied,
            cancel,
            task,
        }
    }

    fn versions(&self) -> Vec<i64> {
        let applied = self.applied.lock().unwrap();
        applied.iter().map(|(version, _)| *version).collect()
    }

    fn id(&self, index: usize) -> String {
        self.applied.lock().unwrap()[index].1.clone()
    }

    async fn has_applied(&self, versions: &[i64]) {
        eventually(&format!("{versions:?}"), || async {
            (self.versions() == versions).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_and_replayed_to_their_group_alone() {
    let env = TestEnv::new("inventory").await;
    let kit = Member::start(&env, "kit", true).await;
    let other = Member::start(&env, "other", false).await;
    let bad = env.publish("inventory", &stock("sku", -1)).await.to_string();
    env.publish("inventory", &stock("sku", 2)).await;
    other.has_applied(&[-1, 2]).await;
    kit.has_applied(&[2]).await;

    let list = lines(&env, &["dlq", "list"]);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0]["group"], "kit");
    assert_eq!(list[0]["letters"], 1);
    let shown = lines(&env, &["dlq", "show", "inventory", "kit"]);
    assert_eq!(shown[0]["error"], "a negative version");
    assert_eq!(shown[0]["id"], bad);
    assert_eq!(shown[0]["data"]["version"], "-1");

    kit.reject.store(false, Ordering::SeqCst);
    let done = lines(&env, &["dlq", "replay", "inventory", "kit"]);
    assert_eq!(
        (&done[0]["replayed"], &done[0]["removed"]),
        (&1.into(), &1.into())
    );
    kit.has_applied(&[2, -1]).await;
    assert_eq!(kit.id(1), bad, "it has its own id: an inbox knows it");
    assert!(lines(&env, &["dlq", "list"]).is_empty());
    assert_eq!(other.versions(), [-1, 2], "replays are for the group that asked");
    kit.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_replayed_as_it_was_or_as_if_it_were_new() {
    let env = TestEnv::new("inventory").await;
    let kit = Member::start(&env, "kit", false).await;
    let first = env.publish("inventory", &stock("sku", 1)).await.to_string();
    env.publish("inventory", &stock("sku", 2)).await;
    kit.has_applied(&[1, 2]).await;
    let replay = ["replay", "--group", "kit", "--topic", "inventory", "--key", "sku"];
    assert_eq!(
        lines(&env, &[&replay[..], &["--dry-run"]].concat())[0]["events"],
        2
    );
    assert_eq!(lines(&env, &replay)[0]["events"], 2);
    kit.has_applied(&[1, 2, 1, 2]).await;
    assert_eq!(kit.id(2), first);
    lines(&env, &[&replay[..], &["--even-if-applied"]].concat());
    kit.has_applied(&[1, 2, 1, 2, 1, 2]).await;
    assert_ne!(kit.id(4), first, "an id that no inbox knows");
    let stranger = run(&env, &["replay", "--group", "nobody", "--topic", "inventory"]);
    assert!(!stranger.status.success());

    // Applied and committed: it is not behind. When it has stopped it is.
    eventually("no lag", || async {
        let lags = lines(&env, &["lag", "--group", "kit"]);
        let caught_up = lags.iter().all(|lag| lag["behind"] == 0 && lag["members"] == 1);
        (lags.len() == 2 && caught_up).then_some(())
    })
    .await;
    kit.stop().await;
    env.publish("inventory", &stock("sku", 3)).await;
    let lags = lines(&env, &["lag", "--group", "kit"]);
    let behind: i64 = lags.iter().map(|lag| lag["behind"].as_i64().unwrap()).sum();
    assert_eq!(behind, 1);
    assert!(!run(&env, &["lag", "--max", "0"]).status.success());
}

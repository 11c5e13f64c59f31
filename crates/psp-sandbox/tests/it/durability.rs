//! What was answered survives every end of the process.

use crate::client::{Client, KEY, authorization, id, start};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn a_restart_knows_everything_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let form = authorization("pm_card_visa", "order-1");
    let intent = client.send("/v1/payment_intents", "k", &form).await.unwrap().ok();
    let capture = format!("/v1/payment_intents/{}/capture", id(&intent));
    client
        .send(&capture, "c", &[("amount_to_capture", "600")])
        .await
        .unwrap()
        .ok();
    let before = client.ledger().await;
    // No graceful end.
    drop(running);
    let (running, client) = start(dir.path()).await;
    assert_eq!(client.ledger().await, before);
    let again = client.send("/v1/payment_intents", "k", &form).await.unwrap();
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.ok(), intent);
    let refund = [
        ("payment_intent", intent["id"].as_str().unwrap()),
        ("amount", "601"),
    ];
    client
        .post("/v1/refunds", &refund)
        .await
        .error(400, "amount_too_large");
    let other = client.post("/v1/payment_intents", &form).await.ok();
    assert_ne!(other["id"], intent["id"]);
    running.stop().await;
}

/// The process as it is shipped, ended by a signal that it cannot see.
struct Process {
    child: Child,
    client: Client,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferrocart-psp-sandbox"))
            .args(["--port", "0", "--disk-latency-ms", "50", "--data-dir"])
            .arg(dir)
            .env("PSP_API_KEY", KEY)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let base = line
            .trim()
            .strip_prefix("psp-sandbox listening on ")
            .unwrap()
            .to_owned();
        Self {
            child,
            client: Client::new(&base),
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A second kill of an ended process is no harm.
        if let Err(error) = self.child.kill() {
            eprintln!("{error}");
        }
        if let Err(error) = self.child.wait() {
            eprintln!("{error}");
        }
    }
}

/// Killed under load, on a disk so slow that an answer which does not wait for it would be lost: every payment that was answered is there, and every key has one payment.
#[tokio::test]
async fn kill_9_under_load_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    let count = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let (client, count) = (process.client.clone(), Arc::clone(&count));
            crate::client::spawn(async move {
                let mut answered = Vec::new();
                for number in 0..10_000 {
                    let key = format!("{worker}-{number}");
                    let form = authorization("pm_card_visa", &key);
                    let Ok(answer) = client.send("/v1/payment_intents", &key, &form).await else {
                        break;
                    };
                    answered.push((key, id(&answer.ok())));
                    count.fetch_add(1, Ordering::SeqCst);
                }
                answered
            })
        })
        .collect();
    // Asking the sandbox itself would wait for its disk, and the kill come at a quiet moment.
    crate::client::until("some load", || async {
        (count.load(Ordering::SeqCst) >= 200).then_some(())
    })
    .await;
    process.kill();
    let mut answered = Vec::new();
    for worker in workers {
        answered.extend(worker.await.unwrap());
    }
    assert!(answered.len() >= 200, "{}", answered.len());

    let process = Process::start(dir.path());
    for (key, id) in &answered {
        let form = authorization("pm_card_visa", key);
        let again = process
            .client
            .send("/v1/payment_intents", key, &form)
            .await
            .unwrap();
        assert_eq!(again.headers["idempotent-replayed"], "true", "{key}");
        assert_eq!(again.body["id"], *id, "{key}");
    }
    let lines = process.client.ledger().await;
    let intents: Vec<_> = lines
        .iter()
        .filter(|line| line["object"] == "payment_intent")
        .collect();
    let charges = lines.iter().filter(|line| line["object"] == "charge").count();
    assert_eq!(intents.len(), charges, "each transaction is whole");
    let mut orders: Vec<_> = intents
        .iter()
        .map(|i| i["metadata"]["order_id"].to_string())
        .collect();
    orders.sort();
    orders.dedup();
    assert_eq!(orders.len(), intents.len(), "one payment an order");
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    client.authorize("pm_card_visa").await;
    let before = client.ledger().await;
    running.stop().await;
    let path = dir.path().join("ledger.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"intents":[{"id":"pi_torn","#).unwrap();
    drop(file);
    let (running, client) = start(dir.path()).await;
    assert_eq!(client.ledger().await, before);
    client.authorize("pm_card_visa").await;
    running.stop().await;
    let (running, client) = start(dir.path()).await;
    assert_eq!(client.ledger().await.len(), before.len() + 2);
    running.stop().await;
}

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    process.client.authorize("pm_card_visa").await;
    let pid = process.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let status = crate::client::until("the end", || {
        let status = process.child.try_wait().unwrap();
        async move { status }
    })
    .await;
    assert!(status.success(), "{status}");
    let process = Process::start(dir.path());
    assert_eq!(process.client.ledger().await.len(), 3);
}

//! The binary itself: what it logs, and what is left when it is killed.

use ferrocart_config::ExposeSecret;
use ferrocart_test_kit::{Api, eventually};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::smtp_server::SmtpServer;
use crate::support::{Office, SEAL_KEY, TRACE, confirmed, fresh, order};

fn run(office: &Office, port: u16, more: &[(&str, &str)]) -> Child {
    let auth = office.env.auth();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrocart-notification"));
    command
        .arg("serve")
        .env("PORT", port.to_string())
        .env("INTERNAL_SIGNING_KEY_FILE", auth.internal_signing_key_file)
        .env("INTERNAL_JWKS_FILE", auth.internal_jwks_file)
        .env("DATABASE_URL", office.env.pg.database_url.expose_secret())
        .env("KAFKA_BROKERS", &office.env.kafka.kafka_brokers)
        .env("KAFKA_TOPIC_PREFIX", &office.env.kafka.kafka_topic_prefix)
        .env("LOG_LEVEL", "debug")
        .env("MAIL_DIR", office.mail_dir())
        .env("WEBHOOK_SEAL_KEYS", SEAL_KEY)
        .env("MAIL_TIMEOUT_MS", "1000")
        .env("SENDER__LEASE_MS", "2000")
        .envs(more.iter().copied())
        .stdout(std::fs::File::create(log_file(office)).unwrap())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

/// Where the process logs to: a pipe that nobody reads would stop it when it is full.
fn log_file(office: &Office) -> std::path::PathBuf {
    office.env.keys.folder().join("log")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn stop(office: &Office, mut child: Child) -> String {
    let pid = child.id().unwrap().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    assert!(killed.success());
    let status = child.wait().await.unwrap();
    let log = std::fs::read_to_string(log_file(office)).unwrap();
    assert!(status.success(), "{status}: {log}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_trace_and_never_the_recipient() {
    let server = SmtpServer::start().await;
    server.answer(|to| {
        to.starts_with("gone")
            .then(|| format!("550 5.1.1 <{to}>: no such user"))
    });
    let office = Office::closed(|_| ()).await;
    let port = free_port();
    let url = server.url();
    let child = run(&office, port, &[("MAIL_TRANSPORT", "smtp"), ("SMTP_URL", &url)]);
    let (good, mut gone) = (order(fresh()), order(fresh()));
    gone.email = "gone.away@buyers.test".to_owned();
    let api = Api::new(port);
    office.tell(&confirmed(&good)).await;
    office.tell(&confirmed(&gone)).await;
    eventually("one sent, one given up", || async {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notifications WHERE status <> 'PENDING'")
            .fetch_one(&office.pool)
            .await
            .ok()
            .filter(|count| *count == 2)
    })
    .await;
    office.settled(&good.order_id, "SENT", 1).await;
    office.settled(&gone.order_id, "FAILED", 1).await;
    let metrics = eventually("the metrics", || async {
        let text = api.get("/metrics").await.expect(200).text;
        (text.contains("status=\"SENT\"") && text.contains("notifications_backlog 0")).then_some(text)
    })
    .await;
    for name in [
        "notification_send_duration_seconds",
        "mail_transport_up",
        "status=\"FAILED\"",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    let document = api.get("/openapi.json").await.expect(200).json;
    assert!(document["paths"]["/v1/notifications"]["get"].is_object());

    let log = stop(&office, child).await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sent = lines
        .iter()
        .find(|line| line["message"] == "notification sent")
        .unwrap_or_else(|| panic!("no such line: {log}"));
    assert_eq!(sent["trace_id"], TRACE);
    assert_eq!(sent["order.id"], good.order_id);
    let failed = lines
        .iter()
        .find(|line| line["message"] == "notification given up")
        .unwrap();
    assert_eq!(failed["trace_id"], TRACE);
    for personal in ["lovelace", "gone.away", "buyers.test"] {
        assert!(!log.contains(personal), "{personal} stands in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_one_email_per_order() {
    const ORDERS: usize = 60;
    let office = Office::closed(|_| ()).await;
    let customer = fresh();
    let orders: Vec<_> = (0..ORDERS).map(|_| order(customer)).collect();
    for bought in &orders {
        office.tell(&confirmed(bought)).await;
    }
    let emails = || {
        office
            .files()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .count()
    };
    for killed_after in [1, ORDERS / 2] {
        let mut child = run(&office, free_port(), &[]);
        let enough = || async { (emails() >= killed_after).then_some(()) };
        eventually("some e-mails", enough).await;
        child.kill().await.unwrap();
    }
    let child = run(&office, free_port(), &[]);
    for bought in &orders {
        office.settled(&bought.order_id, "SENT", 1).await;
    }
    stop(&office, child).await;
    assert_eq!(emails(), ORDERS);
    assert_eq!(office.files().len(), ORDERS, "nothing else is left");
}

//! The binary itself: what it logs, and what is left when it is killed.

use std::collections::{HashMap, HashSet};

use ferrocart_config::ExposeSecret;
use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Api, eventually};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::merchant::{Merchant, Shown, genuine, order_of, upserted};
use crate::receiver::{Answer, Receiver, Request};
use crate::sms;
use crate::sms_server::{ACCOUNT, Fate, PASSWORD, SmsServer};
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

/// Runs it until it answers.
async fn serve(office: &Office, more: &[(&str, &str)]) -> (Child, Api) {
    let port = free_port();
    let child = run(office, port, more);
    eventually("a process that listens", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    (child, Api::new(port))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_sends_no_sms_twice() {
    let server = SmsServer::start().await;
    // Taken and never answered: there is something under way to be killed with.
    server.answer(|_, _| Fate::Silence);
    let mut office = Office::closed(|_| ()).await;
    let url = server.url();
    let settings = [
        ("SMS__URL", url.as_str()),
        ("SMS__ACCOUNT_SID", ACCOUNT),
        ("SMS__FROM", sms::FROM),
        ("SMS_AUTH_TOKEN", PASSWORD),
        ("SMS__TIMEOUT_MS", "1000"),
        ("SMS__LEASE_MS", "2000"),
    ];
    let (mut child, api) = serve(&office, &settings).await;
    office.api = api;
    office.ready().await;
    let (ada, token) = office.env.keys.new_user("notification", &[Role::Customer]);
    let wanted = json!({"phone": sms::PHONE,
        "items": [{"channel": "sms", "kind": "order_confirmed", "enabled": true}]});
    let ada_api = office.api.with_token(token);
    ada_api
        .put("/v1/notifications/preferences", &wanted)
        .await
        .expect(200);
    let bought = order(ada.as_uuid());
    office.tell(&confirmed(&bought)).await;
    eventually("an SMS that is under way", || async {
        (server.sent() > 0).then_some(())
    })
    .await;
    child.kill().await.unwrap();
    let (child, _) = serve(&office, &settings).await;
    office.settled(&bought.order_id, "SENT", 2).await;
    let log = stop(&office, child).await;
    assert_eq!((server.taken().len(), server.sent()), (1, 1));
    for secret in [sms::PHONE, PASSWORD] {
        assert!(!log.contains(secret), "{secret} stands in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_that_is_killed_loses_no_webhook() {
    const ORDERS: usize = 40;
    let mut office = Office::closed(|_| ()).await;
    let receiver = Receiver::start().await;
    // So many are answered and then none: there is something under way to be killed with.
    let answers = |answered| {
        move |before| match before {
            before if before < answered => Answer::Status(204, ""),
            _ => Answer::Silence,
        }
    };
    receiver.answer(answers(5));
    let settings = [
        ("WEBHOOKS__ALLOW_LOOPBACK", "true"),
        ("WEBHOOKS__TIMEOUT_MS", "2000"),
        ("WEBHOOKS__LEASE_MS", "4000"),
    ];
    let (mut child, api) = serve(&office, &settings).await;
    office.api = api;
    office.ready().await;
    let mut ada = Merchant::new(&office);
    let shown = ada
        .endpoint(json!({"url": receiver.url("/"), "event_types": ["order.confirmed"]}))
        .await;
    let shoe = ada.product();
    office.tell(&upserted(&shoe)).await;
    let mut orders = HashSet::new();
    for _ in 0..ORDERS {
        let bought = order_of(&[&shoe]);
        office.tell(&confirmed(&bought)).await;
        orders.insert(bought.order_id);
    }
    for answered in [20, usize::MAX] {
        receiver.until_waiting(1).await;
        child.kill().await.unwrap();
        receiver.answer(answers(answered));
        (child, office.api) = serve(&office, &settings).await;
        office.ready().await;
        ada.api = office.api.with_token(ada.token.clone());
    }
    let deliveries = ada.settled(&shown, "DELIVERED", ORDERS).await;
    for delivery in &deliveries {
        the_log_is_in_order(&ada, &shown, delivery).await;
    }
    stop(&office, child).await;

    let requests = receiver.requests();
    let told: HashSet<String> = requests
        .iter()
        .map(|request| request.json()["data"]["order_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, orders, "each is told of");
    let mut by_id: HashMap<&str, Vec<&Request>> = HashMap::new();
    for request in &requests {
        by_id
            .entry(request.header("webhook-id"))
            .or_default()
            .push(request);
    }
    let known: HashSet<&str> = deliveries
        .iter()
        .map(|item| item["message_id"].as_str().unwrap())
        .collect();
    assert_eq!(by_id.keys().copied().collect::<HashSet<_>>(), known);
    assert!(by_id.values().any(|same| same.len() > 1), "some were under way");
    for same in by_id.values() {
        assert!(same.iter().all(|request| request.body == same[0].body));
    }
    let cases: Vec<_> = requests
        .iter()
        .map(|request| (shown.secret.as_str(), request))
        .collect();
    assert!(genuine(&cases).is_none_or(|genuine| genuine.iter().all(|genuine| *genuine)));
}

/// Tries are counted up, one that a kill cut short has no line, and the last one alone was answered.
async fn the_log_is_in_order(ada: &Merchant, shown: &Shown, delivery: &Value) {
    let path = format!(
        "{}/deliveries/{}",
        shown.path,
        delivery["delivery_id"].as_str().unwrap()
    );
    let detail = ada.api.get(&path).await.expect(200).json;
    let log = detail["log"].as_array().unwrap();
    let numbers: Vec<u64> = log.iter().map(|line| line["attempt"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{detail}");
    assert_eq!(numbers.last().copied(), detail["attempts"].as_u64(), "{detail}");
    let times: Vec<&str> = log.iter().map(|line| line["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{detail}");
    let (last, earlier) = log.split_last().unwrap();
    assert_eq!(last["status_code"], 204, "{detail}");
    assert!(
        earlier.iter().all(|line| line["status_code"].is_null()),
        "{detail}"
    );
}

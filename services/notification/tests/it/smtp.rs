//! By SMTP, to a server that is sometimes away or says no.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use ferrocart_test_kit::eventually;
use tokio::process::Command;

use crate::python;
use crate::reader::Email;
use crate::smtp_server::SmtpServer;
use crate::support::{Office, confirmed, fresh, next, order, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn an_email_arrives() {
    let server = SmtpServer::start().await;
    let office = Office::with_smtp(&server.url()).await;
    let bought = order(fresh());
    office.tell(&confirmed(&bought)).await;
    let rows = office.settled(&bought.order_id, "SENT", 1).await;
    let arrived = server.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].from, "shop@shop.test");
    assert_eq!(arrived[0].to, ["ada.lovelace@buyers.test"]);
    let email = Email::parse(&arrived[0].data);
    assert!(
        email
            .header("message-id")
            .contains(&rows[0].notification_id.to_string())
    );
    assert!(email.text().contains(&bought.order_id));
    assert!(office.files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for() {
    let mut server = SmtpServer::start().await;
    let office = Office::with_smtp(&server.url()).await;
    // A connection is in the pool when the server goes.
    let before = order(fresh());
    office.tell(&confirmed(&before)).await;
    office.settled(&before.order_id, "SENT", 1).await;
    server.stop().await;
    let bought = order(fresh());
    office.tell(&confirmed(&bought)).await;
    // More tries than refusals are allowed.
    let waiting = eventually("some tries", || async {
        let rows = office.rows(&bought.order_id).await;
        rows.into_iter().find(|row| row.attempts > 6)
    })
    .await;
    assert_eq!((waiting.status.as_str(), waiting.refusals), ("PENDING", 0));
    office.api.get("/health/ready").await.expect(200);
    server.listen().await;
    office.settled(&bought.order_id, "SENT", 1).await;
    assert_eq!(server.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_is_final_and_says_nothing_of_the_address() {
    let server = SmtpServer::start().await;
    server.answer(|to| {
        to.starts_with("gone")
            .then(|| format!("550 5.1.1 <{to}>: no such user"))
    });
    let office = Office::with_smtp(&server.url()).await;
    let mut gone = order(fresh());
    gone.email = "gone.away@buyers.test".to_owned();
    office.tell(&confirmed(&gone)).await;
    let rows = office.settled(&gone.order_id, "FAILED", 1).await;
    assert_eq!((rows[0].attempts, rows[0].refusals), (1, 1));
    assert_eq!(
        rows[0].last_error.as_deref(),
        Some("the mail server answered 550")
    );
    // It is done with: the order's next e-mail is tried for itself.
    office.tell(&shipped(&next(&gone))).await;
    office.settled(&gone.order_id, "FAILED", 2).await;
    assert!(server.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_now_is_tried_again_a_bounded_number_of_times() {
    let server = SmtpServer::start().await;
    let asked = AtomicU32::new(0);
    server.answer(move |to| {
        let greylisted = to.starts_with("grey") && asked.fetch_add(1, Ordering::SeqCst) < 2;
        (greylisted || to.starts_with("full")).then(|| "450 4.2.2 later".to_owned())
    });
    let office = Office::with_smtp(&server.url()).await;
    let (mut grey, mut full) = (order(fresh()), order(fresh()));
    grey.email = "grey@buyers.test".to_owned();
    full.email = "full@buyers.test".to_owned();
    office.tell(&confirmed(&grey)).await;
    office.tell(&confirmed(&full)).await;
    // Held back by the first, so that the buyer reads them in order.
    office.tell(&shipped(&next(&grey))).await;
    let rows = office.settled(&grey.order_id, "SENT", 2).await;
    assert_eq!((rows[0].attempts, rows[0].refusals), (3, 2));
    assert_eq!(rows[1].attempts, 1);
    let rows = office.settled(&full.order_id, "FAILED", 1).await;
    assert_eq!((rows[0].attempts, rows[0].refusals), (4, 4));
    let subjects: Vec<String> = server
        .arrived()
        .iter()
        .map(|arrived| Email::parse(&arrived.data).header("subject").to_owned())
        .collect();
    assert!(
        subjects[0].contains("confirmed") && subjects[1].contains("on its way"),
        "{subjects:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_costs_no_email() {
    let server = SmtpServer::start().await;
    server.answer(|_| Some("535 5.7.8 who are you?".to_owned()));
    let office = Office::with_smtp(&server.url()).await;
    let bought = order(fresh());
    office.tell(&confirmed(&bought)).await;
    eventually("some tries", || async {
        let rows = office.rows(&bought.order_id).await;
        rows.into_iter().find(|row| row.attempts > 5 && row.refusals == 0)
    })
    .await;
    server.answer(|_| None);
    office.settled(&bought.order_id, "SENT", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work_and_send_nothing_twice() {
    let server = SmtpServer::start().await;
    let mut office = Office::with_smtp(&server.url()).await;
    office.start();
    office.start();
    let customer = fresh();
    let orders: Vec<_> = (0..40).map(|_| order(customer)).collect();
    for bought in &orders {
        office.tell(&confirmed(bought)).await;
    }
    for bought in &orders {
        let rows = office.settled(&bought.order_id, "SENT", 1).await;
        assert_eq!(rows[0].attempts, 1);
    }
    let ids: HashSet<String> = server
        .arrived()
        .iter()
        .map(|arrived| Email::parse(&arrived.data).header("message-id").to_owned())
        .collect();
    assert_eq!((ids.len(), server.arrived().len()), (40, 40));
}

/// The server above is as strict as we made it; this one is another's.
#[tokio::test(flavor = "multi_thread")]
async fn an_email_arrives_at_aiosmtpd() {
    let Some(packages) = python::packages("aiosmtpd") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("arrived");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let _server = Command::new("python3")
        .env("PYTHONPATH", packages)
        .args(["-u", "-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")])
        .args(["-c", "aiosmtpd.handlers.Debugging", "stdout"])
        .stdout(Stdio::from(std::fs::File::create(&output).unwrap()))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let office = Office::with_smtp(&format!("smtp://127.0.0.1:{port}")).await;
    let bought = order(fresh());
    office.tell(&confirmed(&bought)).await;
    let rows = office.settled(&bought.order_id, "SENT", 1).await;
    let printed = eventually("an e-mail that is printed", || async {
        let printed = std::fs::read_to_string(&output).unwrap();
        printed.contains("END MESSAGE").then_some(printed)
    })
    .await;
    assert!(
        printed.contains(&rows[0].notification_id.to_string()),
        "{printed}"
    );
    assert!(printed.contains(&bought.order_id), "{printed}");
}

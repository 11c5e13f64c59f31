use std::time::Duration;

use ferrocart_http_kit::Role;
use ferrocart_payment::app::Schedule;
use ferrocart_test_kit::{Answer, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::desk::{AMOUNT, Desk, fresh, hasty, usd};

const PATH: &str = "/v1/admin/payments/reconciliation";

/// A run over all there is, to its end.
async fn reconcile(desk: &Desk) -> Value {
    let (_, admin) = desk.as_user(&[Role::Admin]);
    // The clocks of the provider and of this service are one; it counts in whole seconds.
    let until = chrono::DateTime::from_timestamp(crate::desk::now() + 2, 0).unwrap();
    let started = admin.post(PATH, json!({ "until": until })).await.expect(202).json;
    eventually("the run is over", || async {
        let report = report(desk, "").await;
        let over = report["run"]["run_id"] == started["run_id"] && report["run"]["phase"] == "DONE";
        over.then_some(report)
    })
    .await
}

async fn report(desk: &Desk, query: &str) -> Value {
    let (_, support) = desk.as_user(&[Role::Support]);
    support.get(&format!("{PATH}{query}")).await.expect(200).json
}

fn kinds(report: &Value) -> Vec<(String, Value)> {
    let items = report["items"].as_array().unwrap();
    let kind = |item: &Value| {
        (
            item["kind"].as_str().unwrap().to_owned(),
            item["order_id"].clone(),
        )
    };
    items.iter().map(kind).collect()
}

async fn intent_of(desk: &Desk, order: Uuid) -> String {
    desk.psp.ledger().await.intent_id(order)
}

#[tokio::test]
async fn books_that_agree_show_nothing() {
    let desk = Desk::open().await;
    desk.authorized("pm_card_visa").await;
    let refunded = desk.captured().await;
    desk.act(refunded, "refund", json!({ "amount": usd(2_000) }))
        .await
        .expect(200);
    let part = desk.authorized("pm_card_visa").await;
    desk.act(part, "capture", json!({ "amount": usd(4_000) }))
        .await
        .expect(200);
    desk.act(part, "refund", json!({ "amount": usd(500) }))
        .await
        .expect(200);
    let voided = desk.authorized("pm_card_visa").await;
    desk.act(voided, "void", json!({})).await.expect(200);
    desk.authorize(fresh(), "pm_card_chargeDeclined").await;
    desk.authorize(fresh(), "pm_card_threeDSecure2Required")
        .await
        .expect(201);
    // What others do with the same account is not ours to judge.
    let foreign = [
        ("amount", "700"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
    ];
    desk.psp.post("/v1/payment_intents", &foreign).await;
    let report = reconcile(&desk).await;
    assert_eq!(report["items"], json!([]), "{report}");
    assert_eq!(
        (&report["run"]["checked"], &report["run"]["differences"]),
        (&json!(6), &json!(0)),
        "{report}"
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM reconciliation_seen")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    assert_eq!(left, 0, "a run leaves nothing but its report");
}

#[tokio::test]
async fn webhooks_that_never_came_are_made_good() {
    let desk = Desk::open().await;
    let (cancelled, captured, refunded) = (
        desk.authorized("pm_card_visa").await,
        desk.authorized("pm_card_visa").await,
        desk.captured().await,
    );
    let path = |intent: &str, action: &str| format!("/v1/payment_intents/{intent}/{action}");
    let intent = intent_of(&desk, cancelled).await;
    desk.psp.post(&path(&intent, "cancel"), &[]).await;
    let intent = intent_of(&desk, captured).await;
    desk.psp
        .post(&path(&intent, "capture"), &[("amount_to_capture", "4000")])
        .await;
    let intent = intent_of(&desk, refunded).await;
    let refund = [("payment_intent", intent.as_str()), ("amount", "2500")];
    desk.psp.post("/v1/refunds", &refund).await;

    let report = reconcile(&desk).await;
    assert_eq!(report["items"], json!([]), "nothing is left to people: {report}");
    assert_eq!(report["run"]["repaired"], 3, "{report}");
    assert_eq!(desk.status(cancelled).await, "VOIDED");
    assert_eq!(desk.get(captured).await["captured"], usd(4_000));
    assert_eq!(desk.get(refunded).await["refunded"], usd(2_500));
    let mut repaired = kinds(&self::report(&desk, "?state=all").await);
    repaired.sort_by_key(|(_, order)| order.to_string());
    let mut expected = [
        ("STATE_DIFFERS".to_owned(), json!(cancelled)),
        ("STATE_DIFFERS".to_owned(), json!(captured)),
        ("AMOUNT_DIFFERS".to_owned(), json!(refunded)),
    ];
    expected.sort_by_key(|(_, order)| order.to_string());
    assert_eq!(repaired, expected);
    desk.assert_books().await;
    assert_eq!(reconcile(&desk).await["run"]["repaired"], 0, "once");
}

#[tokio::test]
async fn what_cannot_be_repaired_is_shown_until_it_is_gone() {
    let desk = Desk::open().await;
    let short = desk.captured().await;
    let intent = intent_of(&desk, short).await;
    desk.psp.tamper(&intent, json!({ "captured": 4_000 })).await;
    let dearer = desk.authorized("pm_card_visa").await;
    let dearer_intent = intent_of(&desk, dearer).await;
    desk.psp.tamper(&dearer_intent, json!({ "amount": 20_000 })).await;
    let taken = desk.authorized("pm_card_visa").await;
    desk.act(taken, "void", json!({})).await.expect(200);
    let taken_intent = intent_of(&desk, taken).await;
    desk.psp
        .tamper(&taken_intent, json!({ "captured": AMOUNT }))
        .await;

    let report = reconcile(&desk).await;
    let mut found = kinds(&report);
    found.sort_by_key(|(_, order)| order.to_string());
    let mut expected = [
        ("AMOUNT_DIFFERS".to_owned(), json!(short)),
        ("AMOUNT_DIFFERS".to_owned(), json!(dearer)),
        ("STATE_DIFFERS".to_owned(), json!(taken)),
    ];
    expected.sort_by_key(|(_, order)| order.to_string());
    assert_eq!(found, expected, "{report}");
    assert_eq!(
        desk.get(short).await["captured"],
        usd(AMOUNT),
        "nothing is changed here"
    );
    assert_eq!(desk.status(taken).await, "VOIDED");

    // A page at a time, the newest first.
    let first = self::report(&desk, "?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = self::report(&desk, &format!("?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (first["items"].as_array().unwrap().len(), kinds(&second).len()),
        (2, 1)
    );
    assert!(second["next_cursor"].is_null());

    // Met again, it stays one difference; put right at the provider, it is gone.
    desk.psp.tamper(&dearer_intent, json!({ "amount": AMOUNT })).await;
    desk.psp.tamper(&intent, json!({ "captured": AMOUNT })).await;
    let report = reconcile(&desk).await;
    assert_eq!(kinds(&report), [("STATE_DIFFERS".to_owned(), json!(taken))]);
    assert_eq!(kinds(&self::report(&desk, "?state=all").await).len(), 3);
}

#[tokio::test]
async fn what_one_side_does_not_have_is_shown() {
    let desk = Desk::open().await;
    let lost = desk.authorized("pm_card_visa").await;
    let real = intent_of(&desk, lost).await;
    sqlx::query("UPDATE payments SET provider_intent = 'pi_lost' WHERE order_id = $1")
        .bind(lost)
        .execute(desk.pool())
        .await
        .unwrap();
    let (payment, order) = (fresh().to_string(), fresh().to_string());
    let unknown = [
        ("amount", "900"),
        ("currency", "usd"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("metadata[order_id]", &order),
        ("metadata[payment_id]", &payment),
    ];
    let stray = desk.psp.post("/v1/payment_intents", &unknown).await["id"].clone();

    let report = reconcile(&desk).await;
    let items = report["items"].as_array().unwrap();
    let find = |kind: &str| {
        let item = items.iter().find(|item| item["kind"] == kind);
        item.unwrap_or_else(|| panic!("no {kind}: {report}"))["provider_intent"].clone()
    };
    assert_eq!(find("MISSING_AT_PROVIDER"), "pi_lost");
    assert_eq!(find("DUPLICATE_INTENT"), real);
    assert_eq!(find("MISSING_HERE"), stray);
    assert_eq!(items.len(), 3);
    // Let go at the provider, the stray one holds nobody's money any more.
    let path = format!("/v1/payment_intents/{}/cancel", stray.as_str().unwrap());
    desk.psp.post(&path, &[]).await;
    assert_eq!(reconcile(&desk).await["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_under_way_is_left_alone() {
    let desk = Desk::open_with(hasty).await;
    let order = desk.authorized("pm_card_visa").await;
    desk.psp.faults(json!({ "drop_next": 3 })).await;
    desk.act(order, "capture", json!({}))
        .await
        .expect_problem(504, "PAYMENT_OUTCOME_UNKNOWN");
    desk.psp.faults(json!({ "drop_next": 0 })).await;
    let report = reconcile(&desk).await;
    assert_eq!(
        (&report["items"], &report["run"]["repaired"]),
        (&json!([]), &json!(0)),
        "{report}"
    );
    desk.act(order, "capture", json!({})).await.expect(200);
    desk.assert_books().await;
}

/// A process that dies leaves its run behind; the next one goes on where it stood.
#[tokio::test]
async fn a_run_is_gone_on_with_page_by_page_and_never_driven_twice() {
    let desk = Desk::open().await;
    for _ in 0..3 {
        desk.authorized("pm_card_visa").await;
    }
    let run = fresh();
    sqlx::query(
        "INSERT INTO reconciliation_runs (run_id, window_from, window_until, phase, attempt, checked, leased_until, started_at)
         VALUES ($1, now() - interval '1 day', now() + interval '2 s', 'REFUNDS', 4, 17, now() + interval '1 h', now())",
    )
    .bind(run)
    .execute(desk.pool())
    .await
    .unwrap();
    let schedule = Schedule {
        every: Duration::from_hours(24),
        window: chrono::TimeDelta::days(8),
        pause: Duration::ZERO,
    };
    // Somebody drives it: hands off, and no second one.
    desk.payments.reconcile(schedule).await.unwrap();
    assert_eq!(report(&desk, "").await["run"]["phase"], "REFUNDS");
    let (_, admin) = desk.as_user(&[Role::Admin]);
    let refused = admin.post(PATH, json!({})).await;
    refused.expect_problem(409, "RECONCILIATION_RUNNING");
    sqlx::query("UPDATE reconciliation_runs SET leased_until = now() - interval '1 s'")
        .execute(desk.pool())
        .await
        .unwrap();
    desk.payments.reconcile(schedule).await.unwrap();
    let over = report(&desk, "").await["run"].clone();
    assert_eq!((&over["run_id"], &over["phase"]), (&json!(run), &json!("DONE")));
    assert_eq!(
        over["checked"],
        17 + 3,
        "the intents were behind it; ours were not seen, so they are asked for"
    );
    // It is not time yet for another one.
    desk.payments.reconcile(schedule).await.unwrap();
    assert_eq!(report(&desk, "").await["run"]["run_id"], json!(run));
}

#[tokio::test]
async fn the_provider_is_read_in_pages() {
    let desk = Desk::open().await;
    for _ in 0..105 {
        desk.authorized("pm_card_visa").await;
    }
    let (before, _) = desk.psp.served().await;
    let report = reconcile(&desk).await;
    assert_eq!(
        (&report["run"]["checked"], &report["items"]),
        (&json!(105), &json!([]))
    );
    let (after, _) = desk.psp.served().await;
    assert_eq!(
        after - before,
        3,
        "two pages of intents, one of refunds, and nothing one by one"
    );
}

#[tokio::test]
async fn reconciliation_is_for_staff() {
    let desk = Desk::open().await;
    let forbidden = |answer: Answer| {
        answer.expect_problem(403, "FORBIDDEN");
    };
    for role in [Role::Customer, Role::Merchant, Role::Warehouse] {
        let (_, api) = desk.as_user(&[role]);
        forbidden(api.get(PATH).await);
        forbidden(api.post(PATH, json!({})).await);
    }
    let (_, support) = desk.as_user(&[Role::Support]);
    support.get(PATH).await.expect(200);
    forbidden(support.post(PATH, json!({})).await);
    let (_, admin) = desk.as_user(&[Role::Admin]);
    admin
        .post(
            PATH,
            json!({ "until": "2020-01-01T00:00:00Z", "from": "2021-01-01T00:00:00Z" }),
        )
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}

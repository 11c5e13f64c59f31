//! The line for what comes free in a flash sale.

use std::time::{Duration, Instant};

use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Answer, Api};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{PATIENCE, Shop, fresh, text};

async fn sell_out(shop: &Shop, sku: Uuid, units: usize) -> Vec<String> {
    let mut sold = Vec::new();
    for _ in 0..units {
        let body =
            json!({"order_id": fresh(), "buyer_id": fresh(), "items": [{"sku_id": sku, "quantity": 1}]});
        let made = shop.api.post("/v1/inventory/reserve", body).await.expect(201);
        sold.push(text(&made.json["reservation_id"]));
    }
    sold
}

async fn walk_in(shop: &Shop, sku: Uuid) -> Answer {
    let body = json!({"order_id": fresh(), "buyer_id": fresh(), "items": [{"sku_id": sku, "quantity": 1}]});
    shop.api.post("/v1/inventory/reserve", body).await
}

async fn join(api: &Api, sku: Uuid) -> String {
    let joined = api
        .post_once("/v1/waitlist", &fresh().to_string(), json!({"sku_id": sku}))
        .await
        .expect(202);
    assert_eq!(joined.json["status"], "WAITING");
    text(&joined.json["ticket"])
}

async fn status(shop: &Shop, ticket: &str) -> String {
    sqlx::query_scalar("SELECT status FROM waitlist WHERE ticket_id = $1")
        .bind(ticket.parse::<Uuid>().expect("an id"))
        .fetch_one(&shop.pool)
        .await
        .expect("a ticket")
}

async fn reaches(shop: &Shop, ticket: &str, state: &str) {
    let reached = async {
        while status(shop, ticket).await != state {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect(state);
}

/// The events of a stream that has come to its end: name, id and data.
async fn events(api: &Api, path: &str, last: Option<i64>) -> Vec<(String, i64, Value)> {
    let last = last.map(|id| id.to_string());
    let headers: Vec<(&str, &str)> = last.iter().map(|id| ("last-event-id", id.as_str())).collect();
    let answer = api
        .send(reqwest::Method::GET, path, None::<&Value>, &headers)
        .await
        .expect(200);
    let blocks = answer.text.split("\n\n").filter(|block| block.contains("data: "));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a field").to_owned()
    };
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data: ")).expect("json");
            (
                field(block, "event: "),
                field(block, "id: ").parse().expect("a number"),
                data,
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_who_wait_are_served_in_the_order_in_which_they_came() {
    let shop = Shop::open().await;
    let (sku, _) = shop.sale(5, 1, 100).await;
    let mut sold = sell_out(&shop, sku, 5).await;
    let mut line = Vec::new();
    for _ in 0..50 {
        let (_, api) = shop.user(&[Role::Customer]);
        line.push(join(&api, sku).await);
    }
    for ticket in &line {
        // A hold of the one before is given back as well as what was bought at first.
        let unit = sold.remove(0);
        shop.command("release", &unit).await.expect(200);
        walk_in(&shop, sku)
            .await
            .expect_problem(409, "INSUFFICIENT_STOCK");
        reaches(&shop, ticket, "GRANTED").await;
        let order: Uuid = ticket.parse().expect("an id");
        let hold = ferrocart_inventory::domain::reservation_of(ferrocart_types::OrderId(order));
        assert_eq!(shop.reservation(&hold.to_string()).await["status"], "RESERVED");
        sold.push(hold.to_string());
    }
    let granted: Vec<Uuid> = sqlx::query_scalar("SELECT ticket_id FROM waitlist ORDER BY ended_at, position")
        .fetch_all(&shop.pool)
        .await
        .expect("tickets");
    let granted: Vec<String> = granted.iter().map(ToString::to_string).collect();
    assert_eq!(granted, line);
    assert_eq!(shop.stock(sku).await["reserved"], 5);
    shop.audit().await;
}

/// All at once: whoever comes, no unit goes past the line and none is granted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn walk_ins_never_overtake_while_units_come_free_at_once() {
    let shop = Shop::open().await;
    let replica = shop.replica().await;
    let (sku, _) = shop.sale(20, 1, 100).await;
    let sold = sell_out(&shop, sku, 20).await;
    let mut line = Vec::new();
    for _ in 0..40 {
        let (_, api) = shop.user(&[Role::Customer]);
        line.push(join(&api, sku).await);
    }
    let releases: Vec<_> = sold
        .into_iter()
        .map(|unit| {
            let api = shop.api.clone();
            ferrocart_telemetry::spawn("release", async move {
                let body = json!({"reservation_id": unit});
                api.post("/v1/inventory/release", body).await.expect(200);
            })
        })
        .collect();
    let walk_ins: Vec<_> = (0..100)
        .map(|n| {
            let api = if n % 2 == 0 { &shop.api } else { &replica.api }.clone();
            ferrocart_telemetry::spawn("walk-in", async move {
                let body = json!({"order_id": fresh(), "buyer_id": fresh(),
                                  "items": [{"sku_id": sku, "quantity": 1}]});
                let answer = api.post("/v1/inventory/reserve", body).await;
                answer.expect_problem(409, "INSUFFICIENT_STOCK");
            })
        })
        .collect();
    for task in releases.into_iter().chain(walk_ins) {
        task.await.expect("no overtaking");
    }
    reaches(&shop, &line[19], "GRANTED").await;
    for (place, ticket) in line.iter().enumerate() {
        let expected = if place < 20 { "GRANTED" } else { "WAITING" };
        assert_eq!(status(&shop, ticket).await, expected, "{place}");
    }
    assert_eq!(shop.stock(sku).await["reserved"], 20);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_of_thirty_seconds_is_answered_when_a_unit_comes_free() {
    let shop = Shop::open().await;
    let (sku, _) = shop.sale(1, 1, 10).await;
    let sold = sell_out(&shop, sku, 1).await;
    let (_, buyer) = shop.user(&[Role::Customer]);
    let started = Instant::now();
    let body = json!({"sku_id": sku, "wait_seconds": 30});
    let waiting = {
        let (buyer, body) = (buyer.clone(), body.clone());
        ferrocart_telemetry::spawn("waiter", async move {
            buyer.post_once("/v1/waitlist", "k", body).await
        })
    };
    let in_line = async {
        while shop.stock(sku).await["version"] == 2 {
            tokio::task::yield_now().await;
        }
        let one = "SELECT count(*) FROM waitlist";
        while sqlx::query_scalar::<_, i64>(one)
            .fetch_one(&shop.pool)
            .await
            .expect("a count")
            == 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, in_line).await.expect("a ticket");
    shop.command("release", &sold[0]).await.expect(200);
    let granted = waiting.await.expect("an answer").expect(201);
    assert!(started.elapsed() < PATIENCE, "the release did not wake it");
    assert_eq!(granted.json["status"], "GRANTED");
    let hold = shop.reservation(&text(&granted.json["hold_id"])).await;
    assert_eq!(
        (&hold["status"], &hold["expires_at"]),
        (&json!("RESERVED"), &granted.json["expires_at"])
    );
    // The same request again has the same ticket.
    let again = buyer.post_once("/v1/waitlist", "k", body).await.expect(201);
    assert_eq!(again.json, granted.json);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_keeps_the_place_unless_it_says_otherwise() {
    let shop = Shop::open().await;
    let (sku, _) = shop.sale(1, 1, 10).await;
    sell_out(&shop, sku, 1).await;
    let (_, patient) = shop.user(&[Role::Customer]);
    let (_, hasty) = shop.user(&[Role::Customer]);
    let mut body = json!({"sku_id": sku, "wait_seconds": 1});
    let kept = patient.post_once("/v1/waitlist", "k", &body).await.expect(202);
    assert_eq!(
        (&kept.json["status"], &kept.json["ahead"]),
        (&json!("WAITING"), &json!(0))
    );
    body["leave_after_wait"] = json!(true);
    hasty
        .post_once("/v1/waitlist", "k", &body)
        .await
        .expect_problem(409, "TICKET_CANCELLED");
    assert_eq!(status(&shop, &text(&kept.json["ticket"])).await, "WAITING");
    shop.audit().await;
    body["wait_seconds"] = json!(31);
    hasty
        .post_once("/v1/waitlist", "k2", &body)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_bounded_and_a_buyer_stands_in_it_once() {
    let shop = Shop::open().await;
    let (sku, _) = shop.sale(1, 2, 2).await;
    let (one_id, one) = shop.user(&[Role::Customer]);
    let refused = one.post_once("/v1/waitlist", "k", json!({"sku_id": sku})).await;
    refused.expect_problem(409, "IN_STOCK");
    sell_out(&shop, sku, 1).await;
    let first = join(&one, sku).await;
    assert_eq!(join(&one, sku).await, first);
    let (_, two) = shop.user(&[Role::Customer]);
    let many = json!({"sku_id": sku, "quantity": 2});
    two.post_once("/v1/waitlist", "k", many)
        .await
        .expect_problem(409, "WAITLIST_FULL");
    let second = join(&two, sku).await;
    let (_, three) = shop.user(&[Role::Customer]);
    let full = three.post_once("/v1/waitlist", "k", json!({"sku_id": sku})).await;
    full.expect_problem(409, "WAITLIST_FULL");
    // What is another's is not there.
    let path = format!("/v1/waitlist/{first}");
    two.get(&path).await.expect_problem(404, "TICKET_NOT_FOUND");
    two.delete(&path).await.expect_problem(404, "TICKET_NOT_FOUND");
    assert_eq!(one.delete(&path).await.expect(200).json["status"], "CANCELLED");
    let third = join(&three, sku).await;
    let (_, merchant) = shop.user(&[Role::Merchant]);
    let merchants = merchant
        .post_once("/v1/waitlist", "k", json!({"sku_id": sku}))
        .await;
    merchants.expect_problem(403, "FORBIDDEN");
    // Time ends what nobody else does.
    shop.advance(3_601);
    reaches(&shop, &second, "EXPIRED").await;
    reaches(&shop, &third, "EXPIRED").await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM waitlist WHERE buyer_id = $1")
        .bind(one_id.as_uuid())
        .fetch_one(&shop.pool)
        .await
        .expect("a count");
    assert_eq!(rows, 1);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_not_redeemed_passes_to_the_next_and_the_end_ends_the_rest() {
    let shop = Shop::open().await;
    let (sku, sale) = shop.sale(1, 1, 10).await;
    let sold = sell_out(&shop, sku, 1).await;
    let buyers: Vec<Api> = (0..3).map(|_| shop.user(&[Role::Customer]).1).collect();
    let mut line = Vec::new();
    for buyer in &buyers {
        line.push(join(buyer, sku).await);
    }
    shop.command("release", &sold[0]).await.expect(200);
    reaches(&shop, &line[0], "GRANTED").await;
    assert_eq!(status(&shop, &line[1]).await, "WAITING");
    shop.advance(121);
    reaches(&shop, &line[1], "GRANTED").await;
    assert_eq!(status(&shop, &line[2]).await, "WAITING");
    let paths: Vec<String> = line
        .iter()
        .map(|ticket| format!("/v1/waitlist/{ticket}"))
        .collect();
    let last = {
        let (api, path) = (buyers[2].clone(), paths[2].clone());
        ferrocart_telemetry::spawn("stream", async move { events(&api, &path, None).await })
    };
    shop.command_sale(sale, "stop").await.expect(200);
    let last = tokio::time::timeout(PATIENCE, last)
        .await
        .expect("an end")
        .expect("events");
    assert_eq!(
        last.last().map(|(_, id, data)| (*id, data["status"].clone())),
        Some((2, json!("SALE_ENDED")))
    );
    assert_eq!(status(&shop, &line[2]).await, "SALE_ENDED");
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_the_state_first_then_the_grant_and_resumes() {
    let shop = Shop::open().await;
    let replica = shop.replica().await;
    let (sku, _) = shop.sale(1, 1, 10).await;
    let sold = sell_out(&shop, sku, 1).await;
    let (_, token) = shop.env.keys.new_user("inventory", &[Role::Customer]);
    let (here, there) = (shop.api.with_token(token.clone()), replica.api.with_token(token));
    let ticket = join(&here, sku).await;
    let path = format!("/v1/waitlist/{ticket}");
    // On both replicas, of which one serves the line.
    let streams: Vec<_> = [(&here, None), (&there, None), (&there, Some(1))]
        .into_iter()
        .map(|(api, last)| {
            let (api, path) = (api.clone(), path.clone());
            ferrocart_telemetry::spawn("stream", async move { events(&api, &path, last).await })
        })
        .collect();
    shop.command("release", &sold[0]).await.expect(200);
    for (stream, first) in streams.into_iter().zip([1, 1, 2]) {
        let told = tokio::time::timeout(PATIENCE, stream)
            .await
            .expect("an end")
            .expect("events");
        let (name, sequence, data) = told.last().expect("the grant");
        assert_eq!(
            (name.as_str(), *sequence, &data["status"]),
            ("ticket", 2, &json!("GRANTED"))
        );
        assert!(data["hold_id"].is_string() && data["expires_at"].is_string());
        // The stream may have been opened after the grant.
        assert!(told[0].1 == first || told[0].1 == 2, "{told:?}");
    }
    let over = [("last-event-id", "2")];
    let over = here
        .send(reqwest::Method::GET, &path, None::<&Value>, &over)
        .await;
    over.expect(204);
    let (_, other) = shop.user(&[Role::Customer]);
    other.get(&path).await.expect_problem(404, "TICKET_NOT_FOUND");
    shop.audit().await;
}

/// Whoever had a place has it after the service has gone and come back, and is served by what comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_line_outlives_the_service() {
    let shop = Shop::open().await;
    let (sku, _) = shop.sale(2, 1, 10).await;
    let sold = sell_out(&shop, sku, 2).await;
    let (_, buyer) = shop.user(&[Role::Customer]);
    let (_, second) = shop.user(&[Role::Customer]);
    let (ticket, later) = (join(&buyer, sku).await, join(&second, sku).await);
    shop.stop().await;
    let again = shop.replica().await;
    for (unit, ticket) in sold.iter().zip([&ticket, &later]) {
        assert_eq!(status(&shop, ticket).await, "WAITING");
        let body = json!({"reservation_id": unit});
        again.api.post("/v1/inventory/release", body).await.expect(200);
        reaches(&shop, ticket, "GRANTED").await;
    }
    shop.audit().await;
}

/// Asks in vain until the replica counts it; answers how often.
async fn counted_by(shop: &Shop, api: &Api, (sku, sale): (Uuid, Uuid)) -> i64 {
    let counted = || async {
        sqlx::query_scalar::<_, i64>("SELECT refused FROM flash_sales WHERE sale_id = $1")
            .bind(sale)
            .fetch_one(&shop.pool)
            .await
            .expect("a count")
    };
    let before = counted().await;
    let mut asked = 0;
    let seen = async {
        while counted().await == before {
            let body =
                json!({"order_id": fresh(), "buyer_id": fresh(), "items": [{"sku_id": sku, "quantity": 1}]});
            let early = api.post("/v1/inventory/reserve", body).await;
            early.expect_problem(409, "SALE_NOT_STARTED");
            asked += 1;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("a count");
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_can_be_watched_by_anybody_and_its_numbers_are_right() {
    let shop = Shop::open().await;
    let replica = shop.replica().await;
    let sku = shop.sku(3).await;
    let sale = shop.drafted(sku, 1, 10).await;
    shop.command_sale(sale, "preload").await.expect(200);
    let mut refused = 0;
    for api in [&shop.api, &replica.api] {
        refused += counted_by(&shop, api, (sku, sale)).await;
    }
    shop.command_sale(sale, "start").await.expect(200);
    sell_out(&shop, sku, 2).await;
    let body = json!({"order_id": fresh(), "buyer_id": fresh(), "items": [{"sku_id": sku, "quantity": 1}]});
    replica.api.post("/v1/inventory/reserve", body).await.expect(201);
    for _ in 0..4 {
        walk_in(&shop, sku)
            .await
            .expect_problem(409, "INSUFFICIENT_STOCK");
        refused += 1;
    }
    let (_, buyer) = shop.user(&[Role::Customer]);
    join(&buyer, sku).await;
    let (_, viewer) = shop.user(&[Role::Anonymous]);
    let path = format!("/v1/flash-sales/{sale}/events");
    let told = {
        let path = path.clone();
        ferrocart_telemetry::spawn("viewer", async move { events(&viewer, &path, None).await })
    };
    let counted = async {
        let sums = "SELECT admitted = 3 AND refused BETWEEN 6 AND $2 FROM flash_sales WHERE sale_id = $1";
        while !sqlx::query_scalar::<_, bool>(sums)
            .bind(sale)
            .bind(refused)
            .fetch_one(&shop.pool)
            .await
            .expect("a look")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted)
        .await
        .expect("the counts of both replicas");
    shop.command_sale(sale, "stop").await.expect(200);
    let told = tokio::time::timeout(PATIENCE, told)
        .await
        .expect("an end")
        .expect("events");
    let (_, _, last) = told.last().expect("a view");
    assert_eq!(last["state"], "ENDED");
    for (field, value) in [("sold", 3), ("available", 0), ("waiting", 0), ("admitted", 3)] {
        assert_eq!(last[field], value, "{field}: {last}");
    }
}

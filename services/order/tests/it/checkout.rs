use futures::future::join_all;
use serde_json::json;

use crate::shop::{Buyer, Shop, body, id_of, statuses};
use crate::world::fresh;

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_confirmed_in_four_recorded_steps() {
    let shop = Shop::open().await;
    let (buyer, first, second) = (
        shop.customer(),
        shop.world.sku(1_999, 10),
        shop.world.sku(500, 10),
    );
    shop.fill(&buyer, &[(first, 2), (second, 1)]);
    let answer = buyer.checkout("pm_card_visa").await.expect(201);
    let id = id_of(&answer);
    let order = &answer.json;
    assert_eq!(answer.headers["location"], format!("/v1/orders/{id}").as_str());
    assert!(!answer.headers.contains_key("idempotent-replayed"));
    assert_eq!(order["status"], "CONFIRMED");
    assert_eq!(
        order["total"],
        json!({ "amount_minor": 4_498, "currency": "USD" })
    );
    assert_eq!(order["items"][0]["line_total"]["amount_minor"], 3_998);
    assert_eq!(order["payment"]["status"], "AUTHORIZED");
    assert_eq!(statuses(order), ["PLACED", "PAYMENT_PENDING", "CONFIRMED"]);
    assert_eq!(buyer.order(&id).await, *order, "what was answered is what stands");
    assert_eq!(
        shop.log(&id).await,
        [
            "RESERVE STARTED",
            "RESERVE SUCCEEDED",
            "AUTHORIZE STARTED",
            "AUTHORIZE SUCCEEDED",
            "CONFIRM STARTED",
            "CONFIRM SUCCEEDED"
        ]
    );
    assert_eq!(shop.world.reservation(&id), Some("CONFIRMED"));
    assert_eq!(
        (shop.world.available(first), shop.world.available(second)),
        (8, 9)
    );
    assert_eq!(
        shop.world.lock().carts[&buyer.cart].1.as_deref(),
        Some(id.as_str()),
        "the cart is marked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_before_an_order_leave_none() {
    let shop = Shop::open().await;
    let (buyer, sku) = shop.customer_with_cart();
    let key = fresh().to_string();

    // The price rises after the buyer has seen it.
    shop.world.lock().prices.insert(sku, 2_999);
    let refused = buyer
        .checkout_with(&key, &body("pm_card_visa"))
        .await
        .expect_problem(409, "PRICE_CHANGED");
    let change = &refused.json["changes"][0];
    assert_eq!(change["cart_price"]["amount_minor"], 1_999);
    assert_eq!(change["current_price"]["amount_minor"], 2_999);
    // The buyer agrees to the new price; the key was not used up.
    shop.fill(&buyer, &[(sku, 1)]);
    buyer.checkout_with(&key, &body("pm_card_visa")).await.expect(201);

    let empty = shop.customer();
    empty
        .checkout("pm_card_visa")
        .await
        .expect_problem(409, "CART_EMPTY");
    let stranger = shop.customer();
    withdrawn(&shop, &stranger);
    stranger
        .checkout("pm_card_visa")
        .await
        .expect_problem(409, "PRODUCT_UNAVAILABLE");

    let mut foreign = body("pm_card_visa");
    foreign["cart_id"] = json!(stranger.cart);
    buyer
        .checkout_with("foreign", &foreign)
        .await
        .expect_problem(404, "CART_NOT_FOUND");
    let mut card = body("4242424242424242");
    buyer
        .checkout_with("card", &card)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    card = body("pm_card_visa");
    card["shipping_address"]["country"] = json!("United Kingdom");
    let refused = buyer
        .checkout_with("country", &card)
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(refused.json["errors"][0]["field"], "shipping_address.country");
    buyer
        .api
        .post("/v1/checkout", body("pm_card_visa"))
        .await
        .expect_problem(400, "IDEMPOTENCY_KEY_MISSING");
    let anonymous = shop.api.with_token(shop.env.keys.anonymous_token("order"));
    anonymous
        .post_once("/v1/checkout", "k", body("pm_card_visa"))
        .await
        .expect_problem(401, "UNAUTHENTICATED");

    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(orders, 1);
    assert_eq!(shop.world.count("authorize"), 1);
}

/// Rows that one transaction wrote bear its id.
async fn transactions(shop: &Shop, table: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT count(DISTINCT xmin::text) FROM {table}"
    )))
    .fetch_one(&shop.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_shares_its_commits_and_one_that_is_refused_harms_nobody() {
    let shop = Shop::open_with(|settings| settings.neighbours.call_timeout_ms = 5_000).await;
    let sku = shop.world.sku(1_999, 1_000);
    let buyers: Vec<Buyer> = (0..60).map(|_| shop.customer()).collect();
    for buyer in &buyers {
        shop.fill(buyer, &[(sku, 1)]);
    }
    // Every tenth sends its cart twice, under two keys: one of the two is refused, in whatever batch it is.
    let twice = || buyers.iter().step_by(10);
    let checkouts = buyers
        .iter()
        .chain(twice())
        .map(|buyer| buyer.checkout("pm_card_visa"));
    let answers = join_all(checkouts).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (60, 6));
    for answer in refused {
        answer.expect_problem(409, "CART_CHECKED_OUT");
    }
    assert_eq!(shop.world.available(sku), 940);
    for answer in &made {
        let id = id_of(answer);
        assert_eq!(shop.world.money_moves(&id, "authorize"), 1);
        assert_eq!(statuses(&answer.json), ["PLACED", "PAYMENT_PENDING", "CONFIRMED"]);
        assert_eq!(shop.log(&id).await.len(), 6, "{id}");
    }
    let (beginnings, records) = (
        transactions(&shop, "order_lines").await,
        transactions(&shop, "saga_log").await,
    );
    assert!(beginnings < 45, "{beginnings} transactions for 60 beginnings");
    assert!(records < 160, "{records} transactions for 240 records");
    assert_eq!(shop.unfinished_sagas().await, 0);
}

/// A SKU that was put into a cart and has left the catalog since.
fn withdrawn(shop: &Shop, buyer: &Buyer) {
    let sku = shop.world.sku(1, 1);
    shop.fill(buyer, &[(sku, 1)]);
    shop.world.lock().prices.remove(&sku);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_stock_no_payment_is_asked_for() {
    let shop = Shop::open().await;
    let (buyer, plenty, rare) = (shop.customer(), shop.world.sku(100, 10), shop.world.sku(100, 1));
    shop.fill(&buyer, &[(plenty, 1), (rare, 2)]);
    let refused = buyer
        .checkout("pm_card_visa")
        .await
        .expect_problem(409, "INSUFFICIENT_STOCK");
    assert_eq!(
        refused.json["errors"][0]["reason"],
        format!("{rare}: 2 requested, 1 available")
    );
    let order = buyer.order(&id_of(&refused)).await;
    assert_eq!(order["status"], "CANCELLED");
    assert_eq!(order["cancel_reason"], "INSUFFICIENT_STOCK");
    assert_eq!(shop.world.count("authorize"), 0);
    assert_eq!(shop.world.available(plenty), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_gives_the_stock_back_and_another_card_is_taken() {
    let shop = Shop::open().await;
    let (buyer, sku) = shop.customer_with_cart();
    let refused = buyer
        .checkout("pm_declined")
        .await
        .expect_problem(402, "PAYMENT_DECLINED");
    assert_eq!(refused.json["decline_code"], "generic_decline");
    let id = id_of(&refused);
    let order = buyer.order(&id).await;
    assert_eq!(order["cancel_reason"], "PAYMENT_DECLINED");
    assert_eq!(order["payment"]["status"], "DECLINED");
    assert_eq!(shop.world.available(sku), 10);
    assert_eq!(shop.world.count("confirm"), 0);

    // The cart service hears of the cancellation a moment later; the buyer is quicker.
    let world = shop.world.clone();
    let cart = buyer.cart.clone();
    let giving_back = ferrocart_telemetry::spawn("give-back", async move {
        ferrocart_test_kit::eventually("the cart is asked for again", || async {
            (world.count("cart") >= 3).then_some(())
        })
        .await;
        world.lock().carts.get_mut(&cart).unwrap().1 = None;
    });
    buyer.checkout("pm_card_visa").await.expect(201);
    giving_back.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_buys_with_an_email_and_a_customers_comes_from_the_account() {
    let shop = Shop::open().await;
    let (guest, sku) = (shop.guest(), shop.world.sku(100, 10));
    shop.fill(&guest, &[(sku, 1)]);
    let refused = guest
        .checkout("pm_card_visa")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(refused.json["errors"][0]["field"], "email");
    let mut with_email = body("pm_card_visa");
    with_email["email"] = json!("Grace@Example.com");
    let order = guest.checkout_with("g", &with_email).await.expect(201);
    assert_eq!(order.json["email"], "grace@example.com");
    assert_eq!(order.json["customer_id"], guest.id.to_string());

    let (customer, _) = shop.customer_with_cart();
    with_email["email"] = json!("mallory@example.com");
    let order = customer.checkout_with("c", &with_email).await.expect(201);
    assert_ne!(order.json["email"], "mallory@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_checkouts_of_one_cart_with_keys_of_their_own_make_one_order() {
    let shop = Shop::open().await;
    let (buyer, sku) = shop.customer_with_cart();
    let answers = join_all((0..8).map(|_| buyer.checkout("pm_card_visa"))).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(won.len(), 1);
    for lost in answers.into_iter().filter(|answer| answer.status != 201) {
        lost.expect_problem(409, "CART_CHECKED_OUT");
    }
    assert_eq!(shop.world.available(sku), 9);
    let authorized = shop
        .world
        .lock()
        .payments
        .values()
        .filter(|(_, status)| *status == "AUTHORIZED")
        .count();
    assert_eq!(authorized, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_needs_its_customer_goes_on_when_they_have_acted() {
    let shop = Shop::open_with_kafka(|settings| settings.checkout_deadline_ms = 300).await;
    let (buyer, _) = shop.customer_with_cart();
    let answer = buyer.checkout_with("3ds", &body("pm_3ds")).await.expect(202);
    let id = id_of(&answer);
    // A busy machine may not have come so far when the request is answered.
    ferrocart_test_kit::eventually("the payment waits for its customer", || async {
        let order = buyer.order(&id).await;
        (order["payment"]["status"] == "REQUIRES_ACTION").then_some(())
    })
    .await;
    assert_eq!(buyer.order(&id).await["status"], "PAYMENT_PENDING");
    let payment = {
        let mut state = shop.world.lock();
        let payment = state.payments.get_mut(&id).unwrap();
        payment.1 = "AUTHORIZED";
        payment.0
    };
    let event = ferrocart_contracts::v1::PaymentAuthorized {
        payment: Some(ferrocart_contracts::v1::Payment {
            payment_id: payment.to_string(),
            order_id: id.clone(),
            status: ferrocart_contracts::v1::PaymentStatus::Authorized.into(),
            sequence: 2,
            ..Default::default()
        }),
        ..Default::default()
    };
    shop.env.publish("payment", &event).await;
    buyer.until(&id, "CONFIRMED").await;
    assert_eq!(shop.world.money_moves(&id, "authorize"), 1);
    let replayed = buyer.checkout_with("3ds", &body("pm_3ds")).await.expect(201);
    assert_eq!(replayed.headers["idempotent-replayed"], "true");
}

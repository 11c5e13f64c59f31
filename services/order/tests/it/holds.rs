//! Orders that are made from holds, paid at once or later.

use ferrocart_contracts::v1::{Payment, PaymentAuthorized, PaymentStatus};
use ferrocart_failpoint::Site;
use ferrocart_test_kit::{Answer, eventually};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Buyer, Shop, body, id_of, statuses};
use crate::world::{Fault, fresh};

impl Shop {
    /// A hold of two units of ten; a fake's hold has its order's id.
    fn hold(&self, buyer: &Buyer) -> (Uuid, String) {
        let sku = self.world.sku(1_999, 10);
        let id = fresh().to_string();
        let mut state = self.world.lock();
        *state.stock.get_mut(&sku).unwrap() -= 2;
        let items = vec![json!({ "sku_id": sku, "quantity": 2 })];
        state.reservations.insert(id.clone(), ("RESERVED", items));
        state.holders.insert(id.clone(), buyer.id);
        drop(state);
        (sku, id)
    }
}

fn order_body(hold: &str, method: Option<&str>) -> Value {
    let mut order = body("pm_card_visa");
    order["hold_id"] = json!(hold);
    match method {
        Some(method) => order["payment_method"] = json!(method),
        None => {
            order.as_object_mut().unwrap().remove("payment_method");
        }
    }
    order
}

impl Buyer {
    async fn redeem(&self, key: &str, hold: &str, method: Option<&str>) -> Answer {
        self.api
            .post_once("/v1/orders", key, order_body(hold, method))
            .await
    }

    async fn pay(&self, order: &str, method: &str) -> Answer {
        let body = json!({ "payment_method": method });
        self.api.put(&format!("/v1/orders/{order}/payment"), body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_becomes_one_order_and_the_same_key_gets_the_same_answer() {
    let shop = Shop::open().await;
    let buyer = shop.customer();
    let (sku, hold) = shop.hold(&buyer);
    let first = buyer.redeem("key", &hold, Some("pm_card_visa")).await.expect(201);
    let id = id_of(&first);
    assert_eq!(id, hold, "the hold names its order");
    assert_eq!(statuses(&first.json), ["PLACED", "PAYMENT_PENDING", "CONFIRMED"]);
    assert_eq!(first.json["total"]["amount_minor"], 3_998);
    assert_eq!(shop.world.reservation(&id), Some("CONFIRMED"));
    let again = buyer.redeem("key", &hold, Some("pm_card_visa")).await.expect(201);
    assert_eq!(again.text, first.text);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = buyer.redeem("other", &hold, Some("pm_card_visa")).await;
    let other = other.expect_problem(409, "HOLD_ALREADY_REDEEMED");
    assert_eq!(other.json["order_id"], json!(id));
    assert_eq!(shop.world.available(sku), 8);
    assert_eq!(shop.world.count("reserve"), 0);
    assert_eq!(shop.world.count("mark"), 0, "there is no cart");
    assert_eq!(shop.world.money_moves(&id, "authorize"), 1);
    assert_eq!(buyer.order(&id).await["status"], "CONFIRMED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_redemptions_at_once_make_one_order() {
    let shop = Shop::open().await;
    let buyer = shop.customer();
    let (_, hold) = shop.hold(&buyer);
    let answers = join_all(
        (0..100).map(async |n: u32| buyer.redeem(&n.to_string(), &hold, Some("pm_card_visa")).await),
    )
    .await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1);
    for answer in refused {
        answer.expect_problem(409, "HOLD_ALREADY_REDEEMED");
    }
    assert_eq!(shop.world.money_moves(&hold, "authorize"), 1);
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(orders, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_expired_released_and_unknown_holds_are_refused() {
    let shop = Shop::open().await;
    let (buyer, stranger) = (shop.customer(), shop.customer());
    let visa = Some("pm_card_visa");
    let (_, hold) = shop.hold(&buyer);
    stranger
        .redeem("1", &hold, visa)
        .await
        .expect_problem(404, "HOLD_NOT_FOUND");
    for (status, code) in [("EXPIRED", "HOLD_EXPIRED"), ("RELEASED", "HOLD_RELEASED")] {
        let (_, hold) = shop.hold(&buyer);
        shop.world.lock().reservations.get_mut(&hold).unwrap().0 = status;
        buyer.redeem(status, &hold, visa).await.expect_problem(409, code);
    }
    let unknown = fresh().to_string();
    let refused = buyer.redeem("4", &unknown, visa).await;
    let refused = refused.expect_problem(404, "HOLD_NOT_FOUND");
    assert_eq!(refused.json["errors"][0]["field"], "hold_id");
    buyer
        .redeem("5", "x", visa)
        .await
        .expect_problem(400, "INVALID_RESERVATION_ID");
    let card = buyer.redeem("6", &hold, Some("4242424242424242")).await;
    card.expect_problem(400, "VALIDATION_ERROR");
    shop.guest()
        .redeem("7", &hold, visa)
        .await
        .expect_problem(403, "FORBIDDEN");
    // It runs out between the look and the saga's own.
    shop.world
        .fail("prices", Fault::Slow(std::time::Duration::from_millis(300)));
    let world = shop.world.clone();
    let expiry = ferrocart_telemetry::spawn("expiry", {
        let hold = hold.clone();
        async move {
            eventually("the prices are asked for", || async {
                (world.count("prices") > 0).then_some(())
            })
            .await;
            world.lock().release(&hold);
        }
    });
    let late = buyer
        .redeem("8", &hold, visa)
        .await
        .expect_problem(409, "HOLD_EXPIRED");
    expiry.await.unwrap();
    assert_eq!(buyer.order(&id_of(&late)).await["status"], "CANCELLED");
    assert_eq!(shop.world.count("authorize"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redemption_that_dies_anywhere_is_confirmed_by_the_worker() {
    let shop = Shop::open().await;
    for site in [
        Site::OrderReserve,
        Site::OrderAuthorize,
        Site::OrderConfirm,
        Site::OrderConfirmRecord,
    ] {
        for point in [site.before(), site.after()] {
            let buyer = shop.customer();
            let (sku, hold) = shop.hold(&buyer);
            shop.stop_at(point);
            let answer = buyer
                .redeem(&fresh().to_string(), &hold, Some("pm_card_visa"))
                .await;
            assert!(shop.has_stopped_at(point), "{point} was not reached");
            assert_eq!(answer.status, 201, "{point}: {}", answer.text);
            assert_eq!(shop.world.money_moves(&hold, "authorize"), 1, "{point}");
            assert_eq!(shop.world.available(sku), 8, "{point}");
        }
    }
    assert_eq!(shop.unfinished_sagas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_payment_method_waits_and_is_paid_later() {
    let shop = Shop::open().await;
    let (buyer, stranger) = (shop.customer(), shop.customer());
    let (sku, hold) = shop.hold(&buyer);
    let placed = buyer.redeem("key", &hold, None).await.expect(202);
    let id = id_of(&placed);
    assert_eq!(placed.json["status"], "PAYMENT_PENDING");
    assert_eq!(
        placed.json["payment"]["status"], "PENDING",
        "it can be paid at the provider"
    );
    let again = buyer.redeem("key", &hold, None).await.expect(202);
    assert_eq!(id_of(&again), id);
    stranger
        .pay(&id, "pm_card_visa")
        .await
        .expect_problem(404, "ORDER_NOT_FOUND");
    let paid = buyer.pay(&id, "pm_card_visa").await.expect(200);
    assert_eq!(paid.json["status"], "CONFIRMED");
    assert_eq!(shop.world.money_moves(&id, "authorize"), 1);
    assert_eq!(shop.world.available(sku), 8);
    buyer
        .pay(&id, "pm_card_visa")
        .await
        .expect_problem(409, "ORDER_NOT_PAYABLE");
    // The placing request is answered with the end from now on.
    let end = buyer.redeem("key", &hold, None).await.expect(201);
    assert_eq!(end.json["status"], "CONFIRMED");
    let kept: Option<String> = sqlx::query_scalar("SELECT payment_method FROM sagas")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(kept, None, "the method is forgotten");

    let (sku, hold) = shop.hold(&buyer);
    let id = id_of(&buyer.redeem("declined", &hold, None).await.expect(202));
    let declined = buyer.pay(&id, "pm_declined").await.expect(200);
    assert_eq!(declined.json["cancel_reason"], "PAYMENT_DECLINED");
    assert_eq!(shop.world.available(sku), 10);
}

/// Lets sagas that wait look now: their next look is long away.
async fn look_now(shop: &Shop) {
    sqlx::query("UPDATE sagas SET next_attempt_at = now() WHERE state <> 'DONE'")
        .execute(&shop.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_paid_at_the_provider_is_confirmed() {
    let shop = Shop::open().await;
    let buyer = shop.customer();
    let (sku, hold) = shop.hold(&buyer);
    let id = id_of(&buyer.redeem("key", &hold, None).await.expect(202));
    shop.world.lock().payments.get_mut(&id).unwrap().1 = "AUTHORIZED";
    eventually("the order is confirmed", || async {
        look_now(&shop).await;
        (buyer.order(&id).await["status"] == "CONFIRMED").then_some(())
    })
    .await;
    assert_eq!(shop.world.reservation(&id), Some("CONFIRMED"));
    assert_eq!(shop.world.available(sku), 8);
}

/// The driver is told that the payment waits, and before it has written that down the event is applied that says
/// that it does not: nobody would look for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn news_that_come_while_a_driver_is_at_work_are_looked_at_by_it() {
    let shop = Shop::open_with_kafka(|settings| {
        settings.saga.payment_look_ms = 60_000;
        settings.saga.saga_lease_ms = 60_000;
        settings.neighbours.payment_timeout_ms = 50_000;
    })
    .await;
    let buyer = shop.customer();
    let (_, hold) = shop.hold(&buyer);
    shop.world.fail("authorize", Fault::Held);
    let redeemed = ferrocart_telemetry::spawn("redeem", {
        let (buyer, hold) = (buyer.clone(), hold.clone());
        async move { buyer.redeem("key", &hold, None).await }
    });
    eventually("the answer is held", || async {
        (shop.world.lock().held == 1).then_some(())
    })
    .await;
    let payment_id = {
        let mut state = shop.world.lock();
        let payment = state.payments.get_mut(&hold).unwrap();
        payment.1 = "AUTHORIZED";
        payment.0.to_string()
    };
    let payment = Payment {
        payment_id,
        order_id: hold.clone(),
        status: PaymentStatus::Authorized.into(),
        sequence: 1,
        ..Default::default()
    };
    let authorized = PaymentAuthorized {
        payment: Some(payment),
        ..Default::default()
    };
    let event = shop.env.publish("payment", &authorized).await;
    eventually("the event is applied", || async {
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox WHERE event_id = $1")
            .bind(event.as_uuid())
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        (seen == 1).then_some(())
    })
    .await;
    shop.world.let_go();
    buyer.until(&hold, "CONFIRMED").await;
    redeemed.await.unwrap().expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_its_payment_while_payment_is_away() {
    let shop = Shop::open().await;
    let buyer = shop.customer();
    let (_, hold) = shop.hold(&buyer);
    shop.world.fail_always("authorize", Fault::Error);
    let id = id_of(&buyer.redeem("key", &hold, None).await.expect(202));
    let tried = shop.world.count("authorize");
    // More often than the tries of a step that is not waited for.
    eventually("payment is asked again and again", || async {
        look_now(&shop).await;
        (shop.world.count("authorize") > tried + 6).then_some(())
    })
    .await;
    assert_eq!(buyer.order(&id).await["status"], "PAYMENT_PENDING");
    shop.world.heal();
    eventually("there is a payment", || async {
        look_now(&shop).await;
        (buyer.order(&id).await["payment"]["status"] == "PENDING").then_some(())
    })
    .await;
    let paid = buyer.pay(&id, "pm_card_visa").await.expect(200);
    assert_eq!(paid.json["status"], "CONFIRMED");
}

/// The buyer's payment, their wish to cancel and the end of the time come at once.
#[tokio::test(flavor = "multi_thread")]
async fn payment_cancel_and_expiry_at_once_end_in_one_of_two_whole_states() {
    let shop = Shop::open().await;
    for _ in 0..10 {
        let buyer = shop.customer();
        let (sku, hold) = shop.hold(&buyer);
        let id = id_of(&buyer.redeem(&fresh().to_string(), &hold, None).await.expect(202));
        let pay = async {
            if let Some(payment) = shop.world.lock().payments.get_mut(&id)
                && payment.1 == "PENDING"
            {
                payment.1 = "AUTHORIZED";
            }
            look_now(&shop).await;
        };
        let path = format!("/v1/orders/{id}/cancel");
        let cancel = buyer.api.put(&path, json!({}));
        let expire = async { shop.world.lock().release(&id) };
        tokio::join!(pay, cancel, expire);
        let order = eventually("the order ends", || async {
            look_now(&shop).await;
            let order = buyer.order(&id).await;
            matches!(order["status"].as_str(), Some("CONFIRMED" | "CANCELLED")).then_some(order)
        })
        .await;
        assert_eq!(order["status"], "CANCELLED", "its units were gone");
        assert_eq!(shop.world.payment(&id), Some("VOIDED"));
        assert_eq!(shop.world.available(sku), 10);
        assert_eq!(shop.world.money_moves(&id, "capture"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_paid_in_time_is_cancelled_and_its_units_are_back() {
    let shop = Shop::open_with(|settings| settings.saga.payment_later_seconds_max = 1).await;
    let buyer = shop.customer();
    let (sku, hold) = shop.hold(&buyer);
    let id = id_of(&buyer.redeem("key", &hold, None).await.expect(202));
    // Its next look is long away: let it be now.
    eventually("the order is cancelled", || async {
        look_now(&shop).await;
        (buyer.order(&id).await["status"] == "CANCELLED").then_some(())
    })
    .await;
    assert_eq!(buyer.order(&id).await["cancel_reason"], "PAYMENT_TIMEOUT");
    assert_eq!(shop.world.available(sku), 10);
    assert_eq!(
        shop.world.payment(&id),
        Some("VOIDED"),
        "nothing can be authorized later"
    );
    buyer
        .redeem("key", &hold, None)
        .await
        .expect_problem(402, "PAYMENT_TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_kept_while_a_payment_is_waited_for_and_lost_ones_end_the_order() {
    let shop = Shop::open().await;
    let buyer = shop.customer();
    let (sku, hold) = shop.hold(&buyer);
    let id = id_of(&buyer.redeem("key", &hold, None).await.expect(202));
    // A fake says nothing of the end, so that every look asks for more time.
    let seen = shop.world.count("extend");
    assert!(seen >= 2, "redeemed and kept");
    shop.world.lock().release(&hold);
    eventually("the order is cancelled", || async {
        look_now(&shop).await;
        (buyer.order(&id).await["status"] == "CANCELLED").then_some(())
    })
    .await;
    assert_eq!(buyer.order(&id).await["cancel_reason"], "RESERVATION_EXPIRED");
    assert_eq!(shop.world.payment(&id), Some("VOIDED"));
    assert_eq!(shop.world.available(sku), 10);
}

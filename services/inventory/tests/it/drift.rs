//! Counters, reservations and ledger that were changed past the service are found, explained and repaired.

use ferrocart_contracts::Topic;
use ferrocart_contracts::v1::StockUpdated;
use ferrocart_http_kit::Role;
use ferrocart_inventory::store;
use ferrocart_test_kit::eventually;
use ferrocart_types::SkuId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, fresh, reserve_body, text};

impl Shop {
    async fn by_hand(&self, statement: &'static str, sku: Uuid) {
        let done = sqlx::query(statement).bind(sku).execute(&self.pool).await;
        assert_eq!(done.expect("a change by hand").rows_affected(), 1, "{statement}");
    }

    async fn drift(&self, sku: Uuid) -> Value {
        let path = format!("/v1/inventory/{sku}/drift");
        self.merchant.get(&path).await.expect(200).json
    }

    async fn corrections(&self, sku: Uuid) -> Vec<(i64, i64, Option<Uuid>, String)> {
        sqlx::query_as(
            "SELECT on_hand_delta, reserved_delta, order_id, reason FROM stock_ledger
             WHERE sku_id = $1 AND kind = 'RECONCILED' AND actor = 'reconciler' ORDER BY version",
        )
        .bind(sku)
        .fetch_all(&self.pool)
        .await
        .expect("the ledger")
    }

    async fn repaired(&self, sku: Uuid) -> Value {
        eventually("the drift to be repaired", async || {
            let drift = self.drift(sku).await;
            let corrected = !self.corrections(sku).await.is_empty();
            (corrected && drift["in_order"] == true).then_some(drift)
        })
        .await
    }

    /// Comes back when the reconciler has walked over all SKUs that there were: it keeps the sum of a long
    /// ledger, and a SKU of now comes last.
    async fn walked(&self) {
        let last = self.sku(1).await;
        // One statement: the reconciler must not see the half of it.
        sqlx::query(
            "WITH ledger AS (
                 INSERT INTO stock_ledger (sku_id, version, kind, on_hand_delta, reserved_delta, actor, at)
                 SELECT $1, version, 'CONFIRMED', 0, 0, 'test', now() FROM generate_series(2, 1500) version)
             UPDATE stock SET version = 1500 WHERE sku_id = $1",
        )
        .bind(last)
        .execute(&self.pool)
        .await
        .expect("a long ledger");
        eventually("the reconciler to walk by", async || {
            let kept: Option<i64> = sqlx::query_scalar(
                "SELECT on_hand FROM stock_ledger_sums WHERE sku_id = $1 AND version = 1500",
            )
            .bind(last)
            .fetch_optional(&self.pool)
            .await
            .expect("the sums");
            kept
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_counters_are_found_and_repaired_from_the_ledger() {
    let shop = Shop::open().await;
    let mut log = shop.env.events(Topic::Inventory);
    for _ in 0..7 {
        shop.sku(2).await;
    }
    let sku = shop.sku(10).await;
    shop.reserved(&[(sku, 2)]).await;
    for (statement, word) in [
        (
            "UPDATE stock SET on_hand = on_hand + 3 WHERE sku_id = $1",
            "on_hand is 13",
        ),
        ("UPDATE stock SET reserved = 0 WHERE sku_id = $1", "reserved is 0"),
        ("UPDATE stock SET version = 1 WHERE sku_id = $1", "version is 1"),
    ] {
        let before = shop.corrections(sku).await.len();
        shop.by_hand(statement, sku).await;
        eventually("a correction", async || {
            (shop.corrections(sku).await.len() > before).then_some(())
        })
        .await;
        let corrections = shop.corrections(sku).await;
        let (on_hand, reserved, order, reason) = corrections.last().unwrap();
        assert_eq!(
            (*on_hand, *reserved, *order),
            (0, 0, None),
            "the ledger was right"
        );
        assert!(reason.contains(word), "{reason}");
        assert_eq!(shop.stock(sku).await["on_hand"], 10);
        assert_eq!(shop.stock(sku).await["reserved"], 2);
        shop.audit().await;
    }
    let drift = shop.repaired(sku).await;
    assert_eq!(drift["on_hand"], json!({"row": 10, "ledger": 10}));
    assert_eq!(
        drift["reserved"],
        json!({"row": 2, "reservations": 2, "ledger": 2})
    );
    log.find::<StockUpdated>(|event| {
        event.sku_id == sku.to_string() && event.reason == "ADJUSTED" && event.available == 8
    })
    .await;
    // It sells as before.
    shop.reserved(&[(sku, 8)]).await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_reservation_gives_its_units_back() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let (lost, kept) = (fresh(), fresh());
    for (order, units) in [(lost, 4), (kept, 3)] {
        let made = shop.reserve(order, &[(sku, units)]).await.expect(201);
        let id = text(&made.json["reservation_id"]);
        shop.command("confirm", &id).await.expect(200);
    }
    shop.by_hand("DELETE FROM reservations WHERE order_id = $1", lost)
        .await;
    let drift = shop.repaired(sku).await;
    assert_eq!(
        drift["reserved"],
        json!({"row": 3, "reservations": 3, "ledger": 3})
    );
    let corrections = shop.corrections(sku).await;
    assert_eq!(
        corrections.iter().map(|row| (row.1, row.2)).collect::<Vec<_>>(),
        [(-4, Some(lost)), (0, None)]
    );
    assert_eq!(shop.stock(sku).await["available"], 7);
    shop.audit().await;

    // One that appeared from nowhere is a promise all the same.
    sqlx::query(
        "INSERT INTO reservations (order_id, status, sku_ids, quantities, expires_at, created_at, updated_at)
         SELECT $1, status, sku_ids, '{2}', expires_at, created_at, updated_at FROM reservations WHERE order_id = $2",
    )
    .bind(fresh())
    .bind(kept)
    .execute(&shop.pool)
    .await
    .unwrap();
    eventually("the promise to be kept", async || {
        (shop.stock(sku).await["reserved"] == 5).then_some(())
    })
    .await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discontinued_sku_is_repaired_without_going_on_sale() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let order = fresh();
    shop.reserve(order, &[(sku, 4)]).await.expect(201);
    shop.merchant
        .delete(&format!("/v1/inventory/{sku}"))
        .await
        .expect(204);
    shop.by_hand("DELETE FROM reservations WHERE order_id = $1", order)
        .await;
    let drift = shop.repaired(sku).await;
    assert_eq!(drift["on_hand"], json!({"row": 0, "ledger": 0}));
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing() {
    let shop = Shop::open_set(|settings| settings.reconcile_repair = false).await;
    let (one, two) = (shop.sku(10).await, shop.sku(10).await);
    let order = fresh();
    shop.reserve(order, &[(two, 4)]).await.expect(201);
    shop.by_hand("UPDATE stock SET on_hand = 7 WHERE sku_id = $1", one)
        .await;
    shop.by_hand("DELETE FROM reservations WHERE order_id = $1", order)
        .await;
    shop.walked().await;
    let drift = shop.drift(one).await;
    assert_eq!(
        (&drift["in_order"], &drift["on_hand"]),
        (&json!(false), &json!({"row": 7, "ledger": 10}))
    );
    let explained = text(&drift["explanation"]);
    assert!(
        explained.contains("on_hand is 7 and the ledger adds up to 10"),
        "{explained}"
    );
    let drift = shop.drift(two).await;
    assert_eq!(
        drift["reserved"],
        json!({"row": 4, "reservations": 0, "ledger": 4})
    );
    let explained = text(&drift["explanation"]);
    assert!(
        explained.contains(&format!("order {order} holds 0, by the ledger 4")),
        "{explained}"
    );
    for sku in [one, two] {
        assert_eq!(shop.corrections(sku).await, []);
    }
    let metrics = shop.api.get("/metrics").await.expect(200).text;
    for counter in ["on_hand", "reserved"] {
        let line = format!("inventory_drift_total{{counter=\"{counter}\"");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_promises_more_than_there_is_is_left_to_people() {
    let shop = Shop::open().await;
    let sku = shop.sku(2).await;
    shop.reserved(&[(sku, 1)]).await;
    shop.by_hand(
        "UPDATE reservations SET quantities = '{3}' WHERE sku_ids[1] = $1",
        sku,
    )
    .await;
    shop.walked().await;
    let drift = shop.drift(sku).await;
    assert_eq!(
        drift["reserved"],
        json!({"row": 1, "reservations": 3, "ledger": 1})
    );
    let explained = text(&drift["explanation"]);
    assert!(
        explained.contains("more is promised than there is"),
        "{explained}"
    );
    assert_eq!(shop.corrections(sku).await, []);
}

/// Reserves, and then confirms, deducts, releases or leaves it.
async fn trade(shop: &Shop, skus: &[Uuid; 3], rounds: usize) {
    let traders = (0..8_usize).map(|trader| async move {
        for round in 0..rounds {
            let turn = trader + round;
            let items = [(skus[turn % 3], 1), (skus[(turn + 1) % 3], 2)];
            let made = shop
                .api
                .post("/v1/inventory/reserve", reserve_body(fresh(), &items))
                .await;
            if made.status != 201 {
                continue;
            }
            let id = text(&made.json["reservation_id"]);
            let commands: &[&str] = match turn % 4 {
                0 => &["confirm", "deduct"],
                1 => &["release"],
                2 => &["confirm"],
                _ => &[],
            };
            for command in commands {
                shop.command(command, &id).await;
            }
        }
    });
    futures::future::join_all(traders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_is_no_drift() {
    let shop = Shop::open_set(|settings| settings.reconcile_rest_ms = 1).await;
    let skus = [
        shop.sku(2_000).await,
        shop.sku(2_000).await,
        shop.sku(2_000).await,
    ];
    let trading = trade(&shop, &skus, 25);
    let mut looks = 0;
    let watching = async {
        loop {
            let mut conn = shop.pool.acquire().await.unwrap();
            for looked in store::look_at(&mut conn, None, 10).await.unwrap() {
                assert!(looked.standing.in_order(), "{looked:?}");
            }
            for sku in skus {
                let standing = store::look_closely(&mut conn, SkuId(sku)).await.unwrap();
                assert!(standing.unwrap().in_order());
            }
            looks += 1;
        }
    };
    tokio::select! {
        () = trading => {}
        () = watching => {}
    }
    assert!(looks > 5, "only {looks} looks");
    for sku in skus {
        assert_eq!(shop.corrections(sku).await, [], "a false alarm");
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_while_the_shop_trades() {
    let shop = Shop::open().await;
    let skus = [
        shop.sku(2_000).await,
        shop.sku(2_000).await,
        shop.sku(2_000).await,
    ];
    let spoiling = async {
        for turn in 0..12 {
            let sku = skus[turn % 3];
            let statement =
                "UPDATE stock SET on_hand = on_hand + 5, reserved = reserved + 1 WHERE sku_id = $1";
            shop.by_hand(statement, sku).await;
            eventually("the reconciler or a commit to put it right", async || {
                (shop.drift(sku).await["in_order"] == true).then_some(())
            })
            .await;
        }
    };
    tokio::join!(trade(&shop, &skus, 15), spoiling);
    shop.walked().await;
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_support_and_administrators_see_it() {
    let shop = Shop::open().await;
    let sku = shop.sku(1).await;
    let path = format!("/v1/inventory/{sku}/drift");
    for (roles, status) in [
        (Role::Merchant, 403),
        (Role::Customer, 403),
        (Role::Warehouse, 403),
        (Role::Support, 200),
        (Role::Admin, 200),
    ] {
        let (_, api) = shop.user(&[roles]);
        api.get(&path).await.expect(status);
    }
    let anonymous = shop.api.with_token(shop.env.keys.anonymous_token("inventory"));
    anonymous.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
    let drift = shop.drift(sku).await;
    assert_eq!(
        (&drift["in_order"], &drift["sku_id"]),
        (&json!(true), &json!(sku))
    );
    let unknown = format!("/v1/inventory/{}/drift", fresh());
    shop.merchant
        .get(&unknown)
        .await
        .expect_problem(404, "PRODUCT_NOT_FOUND");
    shop.merchant
        .get("/v1/inventory/x/drift")
        .await
        .expect_problem(400, "INVALID_PRODUCT_ID");
}

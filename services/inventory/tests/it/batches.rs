use ferrocart_inventory::BatcherSettings;
use ferrocart_inventory::batcher::{BatchError, Batcher, Move, Moved};
use ferrocart_inventory::domain::{Command, Counters, Refusal, ReleaseReason, State, Verdict};
use ferrocart_inventory::store::{self, Changes, StockRow};
use ferrocart_test_kit::eventually;
use ferrocart_types::{Clock, OrderId, SkuId};
use uuid::Uuid;

use crate::harness::{Shop, default_batcher, fresh, hold_row, test_actor, waiting_backends};

fn one_lane() -> BatcherSettings {
    BatcherSettings {
        lanes: 1,
        ..default_batcher()
    }
}

async fn lane_waits(shop: &Shop) {
    eventually("the lane to wait for the row", || async {
        (waiting_backends(&shop.pool).await == 1).then_some(())
    })
    .await;
}

/// One commit for all that came while the lane was busy.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_arrive_during_a_commit_share_the_next_one() {
    let shop = Shop::open().await;
    let sku = shop.sku(1_000).await;
    let own = shop.batcher(&one_lane());
    let held = hold_row(&shop.pool, sku).await;
    let first = own.submit(shop.ask(fresh(), &[(sku, 1)]));
    lane_waits(&shop).await;
    let rest: Vec<_> = (0..200)
        .map(|_| own.submit(shop.ask(fresh(), &[(sku, 1)])))
        .collect();
    eventually("all to be in the queue", || async {
        (own.batcher.queued() == 200).then_some(())
    })
    .await;
    held.rollback().await.unwrap();
    first.await.unwrap().unwrap();
    for request in rest {
        assert!(matches!(request.await.unwrap().unwrap(), Verdict::Granted(_)));
    }
    let commits: i64 = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM reservations")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(commits, 2);
    shop.audit().await;
}

/// The database refuses one order of a batch; the others of its batch are served.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_request_does_not_fail_its_neighbours() {
    let shop = Shop::open().await;
    let sku = shop.sku(1_000).await;
    let bad = fresh();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "ALTER TABLE reservations ADD CONSTRAINT cursed CHECK (order_id <> '{bad}')"
    )))
    .execute(&shop.pool)
    .await
    .unwrap();
    let own = shop.batcher(&one_lane());
    let held = hold_row(&shop.pool, sku).await;
    let mut requests = vec![own.submit(shop.ask(fresh(), &[(sku, 1)]))];
    lane_waits(&shop).await;
    for number in 0..60 {
        let order = if number == 23 { bad } else { fresh() };
        requests.push(own.submit(shop.ask(order, &[(sku, 1)])));
    }
    eventually("all to be in the queue", || async {
        (own.batcher.queued() == 60).then_some(())
    })
    .await;
    held.rollback().await.unwrap();
    let (mut granted, mut failed) = (0, 0);
    for request in requests {
        match request.await.unwrap() {
            Ok(Verdict::Granted(_)) => granted += 1,
            Err(BatchError::Failed) => failed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((granted, failed), (60, 1));
    assert_eq!(shop.stock(sku).await["reserved"], 60);
    shop.audit().await;
}

/// A stored reservation that cannot be read fails its own command alone.
#[tokio::test(flavor = "multi_thread")]
async fn one_corrupt_reservation_does_not_fail_its_neighbours() {
    let shop = Shop::open().await;
    let sku = shop.sku(1_000).await;
    let own = shop.batcher(&one_lane());
    let orders: Vec<Uuid> = (0..20).map(|_| fresh()).collect();
    for order in &orders {
        own.batcher.reserve(shop.ask(*order, &[(sku, 1)])).await.unwrap();
    }
    sqlx::query(
        "UPDATE reservations SET sku_ids = sku_ids || sku_ids, quantities = '{1,1}' WHERE order_id = $1",
    )
    .bind(orders[7])
    .execute(&shop.pool)
    .await
    .unwrap();
    // By another replica, which has granted none of them and reads their rows.
    let other = shop.batcher(&one_lane());
    let answers = confirm_all(&other.batcher, &orders).await;
    for (number, answer) in answers.into_iter().enumerate() {
        if number == 7 {
            assert_eq!(answer, Err(BatchError::Failed));
        } else {
            assert!(matches!(answer, Ok(Moved::Done(_))), "{number}: {answer:?}");
        }
    }
}

async fn confirm_all(batcher: &Batcher, orders: &[Uuid]) -> Vec<Result<Moved, BatchError>> {
    let commands = orders.iter().map(|order| {
        batcher.command(Move {
            order_id: OrderId(*order),
            command: Command::Confirm,
            actor: test_actor(),
        })
    });
    futures::future::join_all(commands).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_is_guessed_is_checked_by_the_rows() {
    let shop = Shop::open().await;
    let sku = shop.sku(1_000).await;
    let (own, other) = (shop.batcher(&one_lane()), shop.batcher(&one_lane()));
    let orders: Vec<Uuid> = (0..10).map(|_| fresh()).collect();
    for order in &orders {
        own.batcher.reserve(shop.ask(*order, &[(sku, 1)])).await.unwrap();
    }
    // Behind the back of the one that granted them.
    let release = Move {
        order_id: OrderId(orders[3]),
        command: Command::Release(ReleaseReason::Cancelled),
        actor: test_actor(),
    };
    other.batcher.command(release).await.unwrap();
    let released = Refusal::AlreadyReleased(ReleaseReason::Cancelled);
    for _ in 0..2 {
        let answers = confirm_all(&own.batcher, &orders).await;
        for (number, answer) in answers.into_iter().enumerate() {
            match answer.unwrap() {
                Moved::Done(reservation) if number != 3 => assert_eq!(reservation.state, State::Confirmed),
                answer => assert_eq!((number, answer), (3, Moved::Refused(released))),
            }
        }
    }
    let confirmed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM stock_ledger WHERE sku_id = $1 AND kind = 'CONFIRMED'")
            .bind(sku)
            .fetch_one(&shop.pool)
            .await
            .unwrap();
    assert_eq!(confirmed, 9, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_that_hung_up_before_its_batch_gets_nothing() {
    let shop = Shop::open().await;
    let sku = shop.sku(1_000).await;
    let own = shop.batcher(&one_lane());
    let held = hold_row(&shop.pool, sku).await;
    let first = own.submit(shop.ask(fresh(), &[(sku, 1)]));
    lane_waits(&shop).await;
    let gone = own.submit(shop.ask(fresh(), &[(sku, 1)]));
    eventually("it to be in the queue", || async {
        (own.batcher.queued() == 1).then_some(())
    })
    .await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let last = own.submit(shop.ask(fresh(), &[(sku, 1)]));
    held.rollback().await.unwrap();
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(shop.count_reservations().await, 2);
}

/// The fast path is what makes a hot SKU fast: one transaction, no lock taken before.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_sku_is_sold_by_one_statement_and_a_stranger_s_sale_is_noticed() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let ours = shop.batcher(&one_lane());
    let theirs = shop.batcher(&one_lane());
    let take = |own: &crate::harness::OwnBatcher, units: i64| own.submit(shop.ask(fresh(), &[(sku, units)]));
    for own in [&ours, &theirs] {
        take(own, 1).await.unwrap().unwrap();
    }
    let fast = || {
        let metrics = ferrocart_telemetry::render_metrics();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("inventory_batch_size_count") && line.contains("path=\"fast\""));
        line.and_then(|line| line.rsplit(' ').next())
            .map_or(0, |count| count.parse::<u64>().unwrap())
    };
    // `theirs` has read the newest version last and may guess; `ours` believes 9 to be left, of 8.
    let before = fast();
    take(&theirs, 1).await.unwrap().unwrap();
    // A batch is counted after its callers have their answers.
    eventually("the fast path being taken", || async {
        (fast() > before).then_some(())
    })
    .await;
    let refused = take(&ours, 8).await.unwrap().unwrap();
    assert!(
        matches!(refused, Verdict::Refused(_)),
        "sold what another had sold: {refused:?}"
    );
    assert!(matches!(
        take(&ours, 7).await.unwrap().unwrap(),
        Verdict::Granted(_)
    ));
    assert_eq!(shop.stock(sku).await["available"], 0);
    shop.audit().await;
}

/// Even without its ledger rows, whose key would collide, a change from an older version is refused whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_from_an_older_version_changes_nothing() {
    let shop = Shop::open().await;
    let sku = SkuId(shop.sku(10).await);
    let mut conn = shop.pool.acquire().await.unwrap();
    let newest = store::read_stock(&mut conn, &[sku]).await.unwrap()[&sku];
    let change = |version: i64| Changes {
        stock: vec![StockRow {
            sku,
            before: Counters { version, ..newest },
            after: Counters {
                version: newest.version + 1,
                reserved: 5,
                ..newest
            },
        }],
        ..Changes::default()
    };
    let now = shop.clock.now();
    let error = store::apply(&mut conn, &change(newest.version - 1), now)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("rows were as expected"), "{error}");
    assert_eq!(shop.stock(sku.as_uuid()).await["reserved"], 0);
    store::apply(&mut conn, &change(newest.version), now)
        .await
        .unwrap();
    assert_eq!(shop.stock(sku.as_uuid()).await["reserved"], 5);
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ferrocart_inventory::batcher::BatchError;
use ferrocart_inventory::domain::{Refused, Verdict};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::harness::{OwnBatcher, PATIENCE, Shop, default_batcher, fresh, hold_row};
use crate::proxy::Proxy;

/// Ends every other backend of the database again and again.
struct Killer {
    killed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Killer {
    async fn unleash(shop: &Shop) -> Self {
        let (killed, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&killed), Arc::clone(&stop));
        let mut conn = PgConnection::connect_with(&shop.pool.connect_options())
            .await
            .expect("the killer's connection");
        ferrocart_telemetry::spawn("killer", async move {
            // Longer and longer, so that a machine that is slow to connect gets something done in between.
            let mut pause = Duration::from_millis(15);
            while !stopped.load(Ordering::SeqCst) {
                let gone: i64 = sqlx::query_scalar(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()
                       AND backend_type = 'client backend'",
                )
                .fetch_one(&mut conn)
                .await
                .expect("killing");
                count.fetch_add(u64::try_from(gone).unwrap_or_default(), Ordering::SeqCst);
                tokio::time::sleep(pause).await;
                pause += Duration::from_millis(1);
            }
        });
        Self { killed, stop }
    }

    fn killed(&self) -> u64 {
        self.killed.load(Ordering::SeqCst)
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Asks until there is a definite answer, as a client does.
async fn insist(own: &OwnBatcher, shop: &Shop, order: Uuid, items: &[(Uuid, i64)]) -> bool {
    loop {
        match own.batcher.reserve(shop.ask(order, items)).await {
            Ok(Verdict::Granted(_) | Verdict::Existing(_)) => return true,
            Ok(Verdict::Refused(Refused::Insufficient(_))) => return false,
            Ok(other) => panic!("{other:?}"),
            Err(BatchError::Unavailable | BatchError::Overloaded) => {}
            Err(BatchError::Failed) => panic!("a lost connection is no failure of the request"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_connections_neither_oversell_nor_lose_nor_orphan() {
    let shop = Shop::open().await;
    let (plenty, scarce) = (shop.sku(1_000_000).await, shop.sku(60).await);
    let own = shop.batcher(&default_batcher());
    let killer = Killer::unleash(&shop).await;
    let mut acknowledged = BTreeSet::new();
    let mut scarce_sold = 0_usize;
    let mut round = 0;
    // Until the killer has had its chance, and every round has met it.
    while killer.killed() < 60 || round < 5 {
        let orders: Vec<(Uuid, Vec<(Uuid, i64)>)> = (0..100)
            .map(|buyer| {
                let items = match buyer % 3 {
                    0 => vec![(plenty, 1)],
                    1 => vec![(scarce, 1)],
                    _ => vec![(plenty, 2), (scarce, 1)],
                };
                (fresh(), items)
            })
            .collect();
        let answers = futures::future::join_all(
            orders
                .iter()
                .map(|(order, items)| insist(&own, &shop, *order, items)),
        );
        let answers = tokio::time::timeout(PATIENCE * 3, answers)
            .await
            .expect("answers for all");
        for ((order, items), granted) in orders.into_iter().zip(answers) {
            if granted {
                scarce_sold += usize::from(items.iter().any(|(sku, _)| *sku == scarce));
                acknowledged.insert(order);
            }
        }
        round += 1;
    }
    let killed = killer.killed();
    drop(killer);
    assert_eq!(scarce_sold, 60, "after {killed} kills");
    let stored: Vec<Uuid> = ferrocart_test_kit::eventually("the pool to recover", || async {
        sqlx::query_scalar("SELECT order_id FROM reservations")
            .fetch_all(&shop.pool)
            .await
            .ok()
    })
    .await;
    let stored: BTreeSet<Uuid> = stored.into_iter().collect();
    assert_eq!(
        acknowledged.difference(&stored).count(),
        0,
        "an acknowledged reservation is lost"
    );
    assert_eq!(
        stored.difference(&acknowledged).count(),
        0,
        "a reservation nobody was told of"
    );
    shop.audit().await;
}

/// The commit was done, its answer lost: the batch must be read back, not repeated and not refused.
async fn answer_lost(sign: &'static [u8], warm_up: bool) {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let proxy = Proxy::before(&shop.pool.connect_options()).await;
    let own = shop.batcher_at(&default_batcher(), &proxy.options);
    let mut expected = 1;
    if warm_up {
        // The first batch reads the stock; the second one can guess it and takes the fast path.
        own.batcher
            .reserve(shop.ask(fresh(), &[(sku, 1)]))
            .await
            .expect("an answer");
        expected += 1;
    }
    proxy.lose_answer(sign);
    let order = fresh();
    let verdict = own
        .batcher
        .reserve(shop.ask(order, &[(sku, 1)]))
        .await
        .expect("an answer");
    assert_eq!(proxy.lost(), 1, "the answer was to be lost");
    assert!(
        matches!(&verdict, Verdict::Existing(found) if found.order_id.as_uuid() == order),
        "found by reading back: {verdict:?}"
    );
    assert_eq!(shop.stock(sku).await["reserved"], expected);
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_is_read_back() {
    answer_lost(b"COMMIT\0", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_fast_statement_is_read_back() {
    answer_lost(b"SELECT 1\0", true).await;
}

/// Lost before the commit: nothing was done, and the same waiter is granted on a new connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_commit_is_made_up_for() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let proxy = Proxy::before(&shop.pool.connect_options()).await;
    let own = shop.batcher_at(&default_batcher(), &proxy.options);
    proxy.lose_answer(b"BEGIN\0");
    let verdict = own.batcher.reserve(shop.ask(fresh(), &[(sku, 1)])).await.unwrap();
    assert_eq!(proxy.lost(), 1, "the answer was to be lost");
    assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
    assert_eq!(shop.stock(sku).await["reserved"], 1);
    shop.audit().await;
}

/// PostgreSQL does not notice that a client is gone while it waits for a row: the statement would be carried
/// out later, after the lane has read back and answered. The lane must end that backend first.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_was_lost_at_work_is_ended_before_the_batch_is_read_back() {
    let shop = Shop::open().await;
    let sku = shop.sku(10).await;
    let proxy = Proxy::before(&shop.pool.connect_options()).await;
    let own = shop.batcher_at(&default_batcher(), &proxy.options);
    own.batcher.reserve(shop.ask(fresh(), &[(sku, 1)])).await.unwrap();
    let held = hold_row(&shop.pool, sku).await;
    let request = own.submit(shop.ask(fresh(), &[(sku, 1)]));
    let waiters = || async {
        let waiters: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_all(&shop.pool)
        .await
        .unwrap();
        waiters
    };
    let lost = ferrocart_test_kit::eventually("the lane to wait for the row", || async {
        waiters().await.first().copied()
    })
    .await;
    proxy.cut();
    let now_waiting = ferrocart_test_kit::eventually("another backend to wait for the row", || async {
        Some(waiters().await).filter(|waiters| waiters.iter().any(|pid| *pid != lost))
    })
    .await;
    assert!(!now_waiting.contains(&lost), "the lost backend is still at work");
    held.rollback().await.unwrap();
    let verdict = request.await.unwrap().unwrap();
    assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
    assert_eq!(shop.stock(sku).await["reserved"], 2);
    shop.audit().await;
}

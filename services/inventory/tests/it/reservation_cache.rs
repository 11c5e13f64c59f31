//! Reading reservations through Redis: fast where it can be, and never older than it may be.

use std::time::{Duration, Instant};

use ferrocart_inventory::cache::ReservationCache;
use ferrocart_inventory::domain::{ReleaseReason, Reservation, State, order_of};
use ferrocart_inventory::store;
use ferrocart_redis_kit::SharedRedis;
use ferrocart_test_kit::{RedisCluster, RedisServer};
use ferrocart_types::{Clock as _, ReservationId};

use crate::admission::ready;
use crate::harness::{Shop, fresh, text};

async fn shop_with(redis: &RedisServer) -> Shop {
    let settings = redis.settings(200);
    Shop::open_set(|all| all.redis = settings).await
}

fn key(reservation: &str) -> String {
    format!("reservation:{{{reservation}}}")
}

/// Moves the reservation's end behind the service's back.
async fn move_end(shop: &Shop, reservation: &str) {
    let id: ReservationId = reservation.parse().expect("an id");
    let done =
        sqlx::query("UPDATE reservations SET expires_at = expires_at + interval '10 s' WHERE order_id = $1")
            .bind(order_of(id).as_uuid())
            .execute(&shop.pool)
            .await
            .expect("an update");
    assert_eq!(done.rows_affected(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_remembered_for_a_second() {
    let server = RedisServer::start().await;
    let shop = shop_with(&server).await;
    let sku = shop.governed(10, 1).await;
    let id = shop.reserved(&[(sku, 2)]).await;
    let first = shop.reservation(&id).await;
    assert_eq!(first["status"], "RESERVED");
    move_end(&shop, &id).await;
    assert_eq!(shop.reservation(&id).await, first, "read again");
    shop.advance(2);
    let later = shop.reservation(&id).await;
    assert_ne!(later["expires_at"], first["expires_at"], "believed too long");
    assert_eq!(later["items"], first["items"]);
    // It goes when the reservation does.
    let lasts = server.ask("TTL", &[&key(&id)]).await.unwrap();
    let lasts: i64 = lasts.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    assert!((1..=910).contains(&lasts), "{lasts} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moved_it_reads_it_moved_at_every_replica() {
    let server = RedisServer::start().await;
    let shop = shop_with(&server).await;
    let replica = shop.replica().await;
    let sku = shop.governed(50, 1).await;
    ready(&replica.admission, sku).await;
    for _ in 0..10 {
        let id = shop.reserved(&[(sku, 1)]).await;
        let path = format!("/v1/inventory/reservations/{id}");
        let seen = async || text(&replica.api.get(&path).await.expect(200).json["status"]);
        assert_eq!(seen().await, "RESERVED");
        shop.command("confirm", &id).await.expect(200);
        assert_eq!(seen().await, "CONFIRMED");
        shop.command("deduct", &id).await.expect(200);
        assert_eq!(seen().await, "DEDUCTED");
    }
    shop.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_seen_in_what_is_remembered_too() {
    let server = RedisServer::start().await;
    let shop = shop_with(&server).await;
    let sku = shop.governed(10, 1).await;
    let order = fresh();
    let body =
        serde_json::json!({"order_id": order, "items": [{"sku_id": sku, "quantity": 1}], "hold_seconds": 10});
    let answer = shop.api.post("/v1/inventory/reserve", body).await.expect(201);
    let id = text(&answer.json["reservation_id"]);
    shop.advance(9);
    assert_eq!(shop.reservation(&id).await["status"], "RESERVED");
    shop.advance(1);
    let over = shop.reservation(&id).await;
    assert_eq!(
        (&over["status"], &over["release_reason"]),
        (&"RELEASED".into(), &"EXPIRED".into())
    );
}

/// The script that puts, against a server and a cluster: a slow reader changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_state_never_comes_back() {
    let server = RedisServer::start().await;
    let cluster = RedisCluster::start().await;
    let shop = shop_with(&server).await;
    let sku = shop.governed(10, 1).await;
    let id: ReservationId = shop.reserved(&[(sku, 2)]).await.parse().unwrap();
    let order = order_of(id);
    let mut conn = shop.pool.acquire().await.unwrap();
    let read: Reservation = store::find(&mut conn, &[order])
        .await
        .unwrap()
        .remove(&order)
        .unwrap();
    for (settings, is_cluster) in [(server.settings(1_000), false), (cluster.settings(1_000), true)] {
        let redis = SharedRedis::new(&settings, is_cluster).unwrap();
        redis.connect().await.unwrap();
        let cache = ReservationCache::new(redis);
        let now = shop.clock.now();
        cache.put(&read, now).await;
        assert_eq!(cache.find(order, now).await.as_ref(), Some(&read));
        let with = |state| Reservation {
            state,
            ..read.clone()
        };
        let extended = Reservation {
            expires_at: read.expires_at + chrono::TimeDelta::seconds(1),
            ..read.clone()
        };
        let released = with(State::Released(ReleaseReason::Cancelled));
        for (later, earlier) in [
            (&extended, &read),
            (&with(State::Confirmed), &extended),
            (&released, &with(State::Confirmed)),
        ] {
            cache.put(later, now).await;
            cache.put(earlier, now).await;
            assert_eq!(cache.find(order, now).await.as_ref(), Some(later));
        }
        // What is final may be old.
        let late = now + chrono::TimeDelta::minutes(10);
        assert_eq!(cache.find(order, late).await.as_ref(), Some(&released));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_need_no_redis_and_believe_no_nonsense() {
    let mut server = RedisServer::start().await;
    let shop = shop_with(&server).await;
    let sku = shop.governed(10, 1).await;
    let id = shop.reserved(&[(sku, 1)]).await;
    for nonsense in ["", "x", "1 {}", "99999999999999999 {\"status\":\"DEDUCTED\"}"] {
        server.ask("SET", &[&key(&id), nonsense]).await.unwrap();
        assert_eq!(shop.reservation(&id).await["status"], "RESERVED", "{nonsense}");
    }
    server.pause();
    let started = Instant::now();
    assert_eq!(shop.reservation(&id).await["status"], "RESERVED");
    shop.command("confirm", &id).await.expect(200);
    assert_eq!(shop.reservation(&id).await["status"], "CONFIRMED");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "a Redis that hangs costs {took:?}");
    server.resume();
    server.kill();
    assert_eq!(shop.reservation(&id).await["status"], "CONFIRMED");
}

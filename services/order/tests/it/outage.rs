//! PostgreSQL stops, or stops answering, under a running service.

use std::time::Duration;

use ferrocart_config::{ExposeSecret, SecretString};
use ferrocart_http_kit::Role;
use ferrocart_redis_kit::Redis;
use ferrocart_redis_kit::deadpool_redis::redis;
use ferrocart_test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::shop::{Shop, body, id_of};
use crate::world::{Fault, fresh};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections stand, and nothing comes through.
    Paused,
    /// Connections are cut, and new ones at once.
    Stopped,
}

/// Stands between the service and PostgreSQL.
struct Way {
    port: u16,
    mode: watch::Sender<Mode>,
}

impl Way {
    fn to(database: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, watched) = watch::channel(Mode::Open);
        ferrocart_telemetry::spawn("way", accept(listener, address(database).to_owned(), watched));
        Self { port, mode }
    }

    fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

/// `host:port` of a URL.
fn address(url: &str) -> &str {
    url.rsplit('@').next().unwrap().split('/').next().unwrap()
}

async fn accept(listener: TcpListener, database: String, mode: watch::Receiver<Mode>) {
    loop {
        let (near, _) = listener.accept().await.unwrap();
        if *mode.borrow() == Mode::Stopped {
            continue;
        }
        let far = TcpStream::connect(&database).await.unwrap();
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        ferrocart_telemetry::spawn("there", pump(near_read, far_write, mode.clone()));
        ferrocart_telemetry::spawn("back", pump(far_read, near_write, mode.clone()));
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let mut stopped = mode.clone();
        let read = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = stopped.wait_for(|mode| *mode == Mode::Stopped) => 0,
        };
        let Ok(now) = mode
            .wait_for(|mode| *mode != Mode::Paused)
            .await
            .map(|mode| *mode)
        else {
            return;
        };
        if read == 0 || now == Mode::Stopped || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn shop_with_way() -> (Shop, Way) {
    let mut way = None;
    let shop = Shop::open_with(|settings| {
        let url = settings.pg.database_url.expose_secret().to_owned();
        let opened = Way::to(&url);
        let near = url.replace(address(&url), &format!("127.0.0.1:{}", opened.port));
        settings.pg.database_url = SecretString::from(near);
        settings.order_read_timeout_ms = 300;
        settings.checkout_deadline_ms = 2_000;
        way = Some(opened);
    })
    .await;
    (shop, way.unwrap())
}

/// Waits until Redis knows this version of the order.
async fn is_known(shop: &Shop, id: &str, version: &serde_json::Value) {
    let redis = Redis::new(&shop.env.redis).unwrap();
    eventually("the order's state is in Redis", || async {
        let known: Option<i64> = redis
            .call("known", |mut connection| async move {
                redis::cmd("HGET")
                    .arg(format!("order:{id}"))
                    .arg("version")
                    .query_async(&mut connection)
                    .await
            })
            .await
            .unwrap();
        (known == version.as_i64()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_as_last_known_while_the_database_is_away() {
    let (shop, way) = shop_with_way().await;
    let (buyer, _, id) = shop.confirmed().await;
    let order = buyer.order(&id).await;
    is_known(&shop, &id, &order["version"]).await;
    let path = format!("/v1/orders/{id}");
    let (support, stranger) = (shop.staff(Role::Support), shop.customer());
    for mode in [Mode::Paused, Mode::Stopped] {
        way.set(mode);
        for api in [&buyer.api, &support] {
            let shown = api.get(&path).await.expect(200);
            assert_eq!(
                shown.headers["warning"], "110 - \"Response is Stale\"",
                "{mode:?}"
            );
            assert_eq!(shown.json, order, "{mode:?}");
        }
        // Who owns it is asked all the same.
        stranger
            .api
            .get(&path)
            .await
            .expect_problem(404, "ORDER_NOT_FOUND");
        shop.api.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
        // What nobody knows cannot be told to be missing.
        buyer
            .api
            .get(&format!("/v1/orders/{}", fresh()))
            .await
            .expect_problem(503, "DEPENDENCY_UNAVAILABLE");
        way.set(Mode::Open);
        eventually("the database is asked again", || async {
            let shown = buyer.api.get(&path).await.expect(200);
            (!shown.headers.contains_key("warning")).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_outlives_an_outage_and_is_shown_meanwhile() {
    for mode in [Mode::Paused, Mode::Stopped] {
        let (shop, way) = shop_with_way().await;
        let (buyer, sku) = shop.customer_with_cart();
        // The database goes while the payment is under way.
        shop.world
            .fail("authorize", Fault::Slow(Duration::from_millis(400)));
        let request = body("pm_card_visa");
        let (checkout, ()) = tokio::join!(buyer.checkout_with("key", &request), async {
            eventually("the payment is under way", || async {
                (shop.world.count("authorize") > 0).then_some(())
            })
            .await;
            way.set(mode);
        });
        assert!(checkout.status.is_server_error(), "{mode:?}: {}", checkout.text);
        let id = shop.world.lock().reservations.keys().next().unwrap().clone();
        let shown = buyer.order(&id).await;
        assert_eq!(shown["status"], "PAYMENT_PENDING", "{mode:?}");
        way.set(Mode::Open);
        buyer.until(&id, "CONFIRMED").await;
        let again = eventually("the same request is answered", || async {
            let answer = buyer.checkout_with("key", &body("pm_card_visa")).await;
            (answer.status == 201).then_some(answer)
        })
        .await;
        assert_eq!(id_of(&again), id, "{mode:?}");
        assert_eq!(shop.world.money_moves(&id, "authorize"), 1, "{mode:?}");
        assert_eq!(shop.world.available(sku), 9, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_orders_are_made_and_read_all_the_same() {
    let shop =
        Shop::open_with(|settings| "redis://127.0.0.1:9/0".clone_into(&mut settings.redis.redis_url)).await;
    let (buyer, _, id) = shop.confirmed().await;
    assert_eq!(buyer.order(&id).await["status"], "CONFIRMED");
}

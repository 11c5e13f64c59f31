//! Acknowledged means durable, for carts too.

use ferrocart_test_kit::{RedisServer, eventually};

use crate::{Shop, line};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_loses_no_acknowledged_line() {
    let mut redis = RedisServer::start_durable().await;
    let shop = Shop::open_with(|settings| {
        settings.redis = redis.settings(1_000);
        settings.cart.quantity_max = 10_000;
    })
    .await;
    let (_, api) = shop.user();
    let shoe = shop.sku(100);
    let mut acknowledged = 0_i64;
    for _ in 0..3 {
        // Killed while additions are under way; some of them are answered, some are not.
        let adds: Vec<_> = (0..40)
            .map(|_| {
                let (api, shoe) = (api.clone(), shoe.clone());
                ferrocart_telemetry::spawn("add", async move {
                    let answer = api.post("/v1/cart/items", line(&shoe, 1)).await;
                    answer.status.as_u16() == 200
                })
            })
            .collect();
        let mut adds = adds.into_iter();
        for add in adds.by_ref().take(10) {
            acknowledged += i64::from(add.await.unwrap());
        }
        redis.kill();
        for add in adds {
            acknowledged += i64::from(add.await.unwrap());
        }
        redis.restart().await;
        let cart = eventually("the cart is back", || async {
            let answer = api.get("/v1/cart").await;
            (answer.status.as_u16() == 200).then_some(answer.json)
        })
        .await;
        let kept = cart["items"][0]["quantity"].as_i64().unwrap_or(0);
        assert!(kept >= acknowledged, "kept {kept} of {acknowledged}");
        assert!(acknowledged > 0, "nothing was acknowledged");
        // Some were carried out and not answered; count on from there.
        acknowledged = kept;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_makes_no_cart_service_ready() {
    let redis = RedisServer::start().await;
    let shop = Shop::open_with(|settings| settings.redis = redis.settings(1_000)).await;
    let ready = shop.api.get("/health/ready").await;
    assert_eq!(ready.status.as_u16(), 503, "{}", ready.text);
    let redis = RedisServer::start_durable().await;
    let shop = Shop::open_with(|settings| settings.redis = redis.settings(1_000)).await;
    shop.api.get("/health/ready").await.expect(200);
}

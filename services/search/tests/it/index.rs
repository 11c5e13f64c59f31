use ferrocart_test_kit::eventually;

use crate::goods;
use crate::support::{Shop, product};

#[tokio::test]
async fn the_index_tells_how_far_it_is() {
    let shop = Shop::open().await;
    shop.anybody().get("/health/ready").await.expect(200);
    shop.list(&product("Lantern")).await;
    let status = eventually("the index to catch up", || async {
        let status = shop.status().await;
        (status["caught_up"] == true && status["documents"] == 1).then_some(status)
    })
    .await;
    assert_eq!(status["events_behind"], 0);
}

#[tokio::test]
async fn answers_are_cached_until_the_next_commit() {
    let shop = Shop::open().await;
    shop.list(&product("First Lantern")).await;
    shop.settled().await;
    let cached = || async {
        let answer = shop.ask("q=%20LANTERN%20&facets=brand").await.expect(200);
        let cached = answer.headers["cache-status"].to_str().unwrap().contains("hit");
        (cached, answer.json)
    };
    let (_, first) = cached().await;
    let again = eventually("the second answer to come from the cache", || async {
        let (cached, answer) = cached().await;
        cached.then_some(answer)
    })
    .await;
    assert_eq!(again, first);

    shop.list(&product("Second Lantern")).await;
    shop.until("q=lantern&facets=brand", 2).await;
    shop.until("q=%20LANTERN%20&facets=brand", 2).await;
}

#[tokio::test]
async fn without_redis_all_works() {
    let shop = Shop::open_with(|settings| {
        settings.redis.redis_url = "redis://127.0.0.1:1/0".to_owned();
        settings.redis.redis_timeout_ms = 100;
    })
    .await;
    shop.list(&product("Lantern")).await;
    shop.until("q=lantern", 1).await;
    let answer = shop.ask("q=lantern").await.expect(200);
    assert!(answer.headers["cache-status"].to_str().unwrap().contains("miss"));
    shop.anybody().get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn a_rebuild_takes_over_without_a_gap() {
    let mut shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let before = shop.search("sort=price_asc&limit=100").await;
    let first = shop.search("sort=price_asc&limit=20").await;
    let index_id = shop.status().await["index_id"].clone();
    shop.customer()
        .post("/v1/admin/search/index/rebuild", &())
        .await
        .expect_problem(403, "FORBIDDEN");
    let admin = shop.admin();
    admin
        .post("/v1/admin/search/index/rebuild", &())
        .await
        .expect(202);
    admin
        .post("/v1/admin/search/index/rebuild", &())
        .await
        .expect_problem(409, "REBUILD_IN_PROGRESS");
    let looks = std::sync::atomic::AtomicUsize::new(0);
    eventually("the new index to take over", || async {
        // At every moment, whichever index answers.
        assert_eq!(shop.search("limit=1").await["total"], goods.len());
        looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let status = admin.get("/v1/admin/search/index").await.expect(200).json;
        (status["index_id"] != index_id).then_some(())
    })
    .await;
    assert!(looks.into_inner() > 1, "the test must be able to fail");
    assert_eq!(shop.search("sort=price_asc&limit=100").await, before);
    // A cursor of the old index goes on in the new one.
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = shop
        .search(&format!("sort=price_asc&limit=100&cursor={cursor}"))
        .await;
    assert_eq!(
        rest["items"].as_array().unwrap()[..],
        before["items"].as_array().unwrap()[20..]
    );
    // The new one follows events, is found again after a restart.
    shop.list(&product("Latecomer")).await;
    shop.until("q=latecomer", 1).await;
    let index_id = shop.status().await["index_id"].clone();
    shop.stop().await;
    shop.start().await;
    assert_eq!(shop.status().await["index_id"], index_id);
    assert_eq!(shop.search("").await["total"], goods.len() + 1);
}

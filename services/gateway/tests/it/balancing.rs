//! Several replicas behind the gateway, some of them broken.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::upstream::{Fault, Upstream};
use crate::world::{World, fresh};

/// A gateway in front of two replicas of the catalog and of the cart; of the first one its address comes first.
async fn two_replicas(change: impl FnOnce(&mut ferrocart_gateway::Settings)) -> (World, Upstream) {
    let keys = std::cell::OnceCell::new();
    let world = World::with_keys(|settings, env| {
        let second = Upstream::start(env);
        for url in [
            &mut settings.upstreams.catalog_url,
            &mut settings.upstreams.cart_url,
        ] {
            *url = format!("{url},{}", second.url());
        }
        settings.upstreams.upstream_ejection_failures = 3;
        change(settings);
        assert!(keys.set(second).is_ok());
    })
    .await;
    (world, keys.into_inner().unwrap())
}

#[tokio::test]
async fn requests_are_spread_over_the_replicas() {
    let (world, second) = two_replicas(|_| {}).await;
    for _ in 0..20 {
        world.api.get("/v1/products").await.expect(202);
    }
    assert_eq!((world.upstream.hits(), second.hits()), (10, 10));
}

#[tokio::test]
async fn a_busy_replica_gets_no_more_while_another_is_idle() {
    let (world, second) = two_replicas(|_| {}).await;
    let slow = world.api.get("/v1/products?slow_ms=3000");
    let others = async {
        // One of the two is busy by now, whichever it is.
        ferrocart_test_kit::eventually("a busy replica", || async {
            (world.upstream.hits() + second.hits() == 1).then_some(())
        })
        .await;
        let before = (world.upstream.hits(), second.hits());
        for _ in 0..10 {
            world.api.get("/v1/products").await.expect(202);
        }
        (before, (world.upstream.hits(), second.hits()))
    };
    let (_, (before, after)) = tokio::join!(slow, others);
    let busy_got = if before.0 == 1 { after.0 - 1 } else { after.1 - 1 };
    assert_eq!(busy_got, 0, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_failing_replica_is_covered_for_and_then_ejected() {
    let (world, second) = two_replicas(|_| {}).await;
    second.set_fault(Some(Fault::Unable));
    for _ in 0..40 {
        world.api.get("/v1/products").await.expect(202);
    }
    assert_eq!(second.hits(), 3, "after three failures in a row it is left alone");
    let health = ferrocart_test_kit::eventually("the ejection in the report", || async {
        let health = world.api.get("/health/ready").await.expect(200).json["upstreams"]["catalog"].clone();
        (health["ejected"] == 1).then_some(health)
    })
    .await;
    assert_eq!(health["status"], "ready");
    assert_eq!(health["replicas"], 2);
}

#[tokio::test]
async fn an_ejected_replica_comes_back() {
    let (world, second) = two_replicas(|settings| settings.upstreams.upstream_ejection_ms = 300).await;
    second.set_fault(Some(Fault::Unable));
    for _ in 0..10 {
        world.api.get("/v1/products").await.expect(202);
    }
    second.set_fault(None);
    let before = second.hits();
    ferrocart_test_kit::eventually("a request to the healed one", || async {
        world.api.get("/v1/products").await.expect(202);
        (second.hits() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_must_not_happen_twice_is_not_sent_twice() {
    let (world, second) = two_replicas(|_| {}).await;
    let ada = world.customer().await;
    for replica in [&world.upstream, &second] {
        replica.set_fault(Some(Fault::Unable));
    }
    let hits = || world.upstream.hits() + second.hits();
    let before = hits();
    let line = json!({"sku_id": fresh(), "quantity": 1});
    ada.post("/v1/cart/items", &line).await.expect(503);
    assert_eq!(hits(), before + 1, "an unkeyed POST was repeated");
    ada.post_once("/v1/cart/items", "k-1", &line).await.expect(503);
    assert_eq!(hits(), before + 3, "a keyed one goes to the other replica, once");
}

/// Says that it is ready, and cuts every other connection when the request has come.
async fn cutting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    ferrocart_telemetry::spawn("cutting", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap_or(0);
            if request[..length].starts_with(b"GET /health/ready ") {
                let ready = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(ready).await.ok();
            }
        }
    });
    port
}

#[tokio::test]
async fn a_request_that_was_cut_off_is_repeated_only_where_that_is_harmless() {
    let port = cutting().await;
    let world = World::with(|settings| {
        let cart = &mut settings.upstreams.cart_url;
        *cart = format!("http://127.0.0.1:{port},{cart}");
        settings.upstreams.upstream_ejection_failures = 1_000;
    })
    .await;
    let ada = world.customer().await;
    for _ in 0..6 {
        ada.get("/v1/cart").await.expect(202);
    }
    let line = json!({"sku_id": fresh(), "quantity": 1});
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(ada.post("/v1/cart/items", &line).await.status.as_u16());
    }
    assert!(statuses.contains(&503), "{statuses:?}");
    assert!(statuses.contains(&202), "{statuses:?}");
}

#[tokio::test]
async fn retries_end_with_their_budget() {
    let (world, second) = two_replicas(|settings| {
        settings.upstreams.upstream_retry_percent = 0;
        settings.upstreams.upstream_ejection_failures = 1_000;
    })
    .await;
    second.set_fault(Some(Fault::Unable));
    let mut failed = 0;
    for _ in 0..10 {
        failed += usize::from(world.api.get("/v1/products").await.status.as_u16() == 503);
    }
    assert_eq!(failed, 5, "without a budget nothing is repeated");
}

#[tokio::test]
async fn the_time_that_is_left_goes_along_and_a_client_can_only_shorten_it() {
    let world = World::with(|settings| settings.upstreams.timeout_default_ms = 4_000).await;
    let told = async |stated: Option<&str>| -> u64 {
        let headers: Vec<_> = stated
            .map(|ms| ("x-request-timeout-ms", ms))
            .into_iter()
            .collect();
        let answer = world
            .api
            .send(Method::GET, "/v1/products", None::<&Value>, &headers)
            .await
            .expect(202);
        answer.json["headers"]["x-request-timeout-ms"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    for (stated, at_most) in [
        (None, 4_000),
        (Some("1500"), 1_500),
        (Some("60000"), 4_000),
        (Some("soon"), 4_000),
    ] {
        let left = told(stated).await;
        assert!(left <= at_most && left > at_most - 1_000, "{stated:?}: {left}");
    }
    let headers = [("x-request-timeout-ms", "100")];
    let path = "/v1/products?slow_ms=5000";
    let late = world.api.send(Method::GET, path, None::<&Value>, &headers).await;
    late.expect_problem(504, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn clients_in_a_hurry_get_no_replica_ejected() {
    let (world, second) = two_replicas(|settings| settings.upstreams.upstream_ejection_failures = 1).await;
    for _ in 0..6 {
        let headers = [("x-request-timeout-ms", "20")];
        let path = "/v1/products?slow_ms=1000";
        world
            .api
            .send(Method::GET, path, None::<&Value>, &headers)
            .await
            .expect_problem(504, "DEADLINE_EXCEEDED");
    }
    tokio::time::timeout(Duration::from_secs(20), async {
        let (first, before) = (world.upstream.hits(), second.hits());
        while world.upstream.hits() == first || second.hits() == before {
            world.api.get("/v1/products").await.expect(202);
        }
    })
    .await
    .unwrap();
}

use std::time::Duration;

use ferrocart_contracts::v1::StockUpdated;
use ferrocart_test_kit::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, fresh};

const DEADLINE: Duration = Duration::from_secs(15);

async fn request(world: &World, sku: Uuid, seen: Option<i64>) -> reqwest::Response {
    let url = format!("http://127.0.0.1:{}/v1/inventory/{sku}/events", world.port);
    let mut request = reqwest::Client::new().get(url);
    if let Some(seen) = seen {
        request = request.header("last-event-id", seen);
    }
    request.send().await.unwrap()
}

/// One who watches as a browser does: a stream that ends is opened again with the last id.
struct Watcher<'a> {
    world: &'a World,
    sku: Uuid,
    seen: Option<i64>,
    response: reqwest::Response,
    text: String,
}

impl<'a> Watcher<'a> {
    async fn of(world: &'a World, sku: Uuid, seen: Option<i64>) -> Self {
        let response = request(world, sku, seen).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            world,
            sku,
            seen,
            response,
            text: String::new(),
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                let rest = rest.to_owned();
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let Some(data) = field("data: ") {
                    let data: Value = serde_json::from_str(data).unwrap();
                    assert_eq!(field("event: "), Some("stock"));
                    assert_eq!(field("id: "), Some(data["version"].to_string().as_str()));
                    self.seen = data["version"].as_i64();
                    return data;
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("an event in time")
                .unwrap();
            match chunk {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                None => *self = Self::of(self.world, self.sku, self.seen).await,
            }
        }
    }

    async fn until_version(&mut self, version: i64) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let next = self.next().await;
            let reached = next["version"].as_i64().unwrap();
            assert!(reached <= version, "{next}");
            told.push(next);
            if reached == version {
                return told;
            }
        }
    }
}

async fn change(world: &World, sku: Uuid, on_hand: i64, version: i64, reason: &str) {
    let event = StockUpdated {
        sku_id: sku.to_string(),
        on_hand,
        reserved: 1,
        available: on_hand - 1,
        version,
        reason: reason.to_owned(),
    };
    world.env.publish("inventory", &event).await;
}

async fn world() -> World {
    World::with_events(|settings| settings.sse_heartbeat_ms = 50).await
}

#[tokio::test]
async fn the_present_stock_comes_first_and_of_many_changes_the_newest() {
    let world = world().await;
    let (sku, other) = (fresh(), fresh());
    world.upstream.set_stock(sku, 10, 3);
    world.upstream.set_stock(other, 10, 3);
    let mut watcher = Watcher::of(&world, sku, None).await;
    let first = watcher.next().await;
    let expected = json!({"sku_id": sku, "on_hand": 10, "reserved": 0, "available": 10, "version": 3});
    assert_eq!(first, expected);

    change(&world, other, 99, 99, "SET").await;
    // Told by the snapshot already.
    change(&world, sku, 99, 3, "SET").await;
    for version in 4..=60 {
        change(&world, sku, version, version, "RESERVED").await;
    }
    // For those that come only now, or again because the topic was not read yet.
    world.upstream.set_stock(sku, 60, 60);
    let told = watcher.until_version(60).await;
    assert!(told.len() < 57, "every change was told");
    assert!(told.iter().all(|change| change["on_hand"] == change["version"]));

    let mut again = Watcher::of(&world, sku, Some(59)).await;
    assert_eq!(again.next().await["version"], 60);
}

#[tokio::test]
async fn who_has_seen_the_present_stock_is_told_the_next_and_the_end() {
    let world = world().await;
    let sku = fresh();
    world.upstream.set_stock(sku, 10, 3);
    let mut watcher = Watcher::of(&world, sku, Some(3)).await;
    change(&world, sku, 12, 5, "ADJUSTED").await;
    // For one who comes again because the topic was not read yet.
    world.upstream.set_stock(sku, 12, 5);
    assert_eq!(watcher.next().await["version"], 5);

    change(&world, sku, 0, 6, "DISCONTINUED").await;
    assert_eq!(watcher.next().await["version"], 6);
    let rest = async { while watcher.response.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(DEADLINE, rest)
        .await
        .expect("the stream's end");
}

#[tokio::test]
async fn a_sku_that_is_none_is_not_watched_and_strangers_streams_are_bounded() {
    let world = World::with_events(|settings| {
        settings.sse_streams_per_user_max = 2;
        // A stream whose client went away is noticed when something is sent.
        settings.sse_heartbeat_ms = 50;
    })
    .await;
    world
        .api
        .get("/v1/inventory/1/events")
        .await
        .expect_problem(400, "INVALID_PRODUCT_ID");
    let unknown = format!("/v1/inventory/{}/events", fresh());
    let answer = world.api.get(&unknown).await.expect(404);
    assert_eq!(answer.json["code"], "PRODUCT_NOT_FOUND");
    let sku = fresh();
    world.upstream.set_stock(sku, 10, 3);
    let held = [
        Watcher::of(&world, sku, None).await,
        Watcher::of(&world, sku, None).await,
    ];
    let refused = request(&world, sku, None).await;
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "TOO_MANY_STREAMS");
    drop(held);
    eventually("the places of the streams that were closed", || async {
        (request(&world, sku, None).await.status().as_u16() == 200).then_some(())
    })
    .await;
}

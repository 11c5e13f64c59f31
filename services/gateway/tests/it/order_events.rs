use std::time::Duration;

use ferrocart_contracts::v1;
use ferrocart_test_kit::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, fresh};

const STATUSES: [&str; 4] = ["PLACED", "PAYMENT_PENDING", "CONFIRMED", "SHIPPED"];
const DEADLINE: Duration = Duration::from_secs(15);

/// The order as the order service would give it, after so many steps.
fn snapshot(order_id: Uuid, customer_id: &str, steps: usize) -> Value {
    let at = "2026-01-01T00:00:00Z";
    let history: Vec<Value> = STATUSES[..steps]
        .iter()
        .map(|status| json!({"status": status, "at": at}))
        .collect();
    json!({
        "order_id": order_id, "customer_id": customer_id, "status": STATUSES[steps - 1],
        "history": history, "version": 40, "updated_at": at, "items": [],
    })
}

fn order(order_id: Uuid, sequence: i64) -> v1::Order {
    v1::Order {
        order_id: order_id.to_string(),
        sequence,
        ..Default::default()
    }
}

async fn publish(world: &World, order_id: Uuid, sequence: i64) {
    let order = Some(order(order_id, sequence));
    match sequence {
        2 => {
            let event = v1::OrderPaymentPending {
                order,
                ..Default::default()
            };
            world.env.publish("order", &event).await;
        }
        3 => {
            let event = v1::OrderConfirmed {
                order,
                ..Default::default()
            };
            world.env.publish("order", &event).await;
        }
        4 => {
            let event = v1::OrderShipped {
                order,
                ..Default::default()
            };
            world.env.publish("order", &event).await;
        }
        _ => {
            world.env.publish("order", &v1::OrderDelivered { order }).await;
        }
    }
}

/// An open stream, read event by event.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(world: &World, token: &str, order_id: Uuid, seen: Option<i64>) -> Self {
        let response = request(world, token, order_id, seen).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event's sequence and status; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(i64, String)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("an event in time")
                .expect("an open stream")?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn parse(block: &str) -> Option<(i64, String)> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(ToOwned::to_owned)
    };
    assert_eq!(field("event: ")?, "order");
    let data: Value = serde_json::from_str(&field("data: ")?).unwrap();
    let sequence = data["sequence"].as_i64().unwrap();
    assert_eq!(field("id: ")?, sequence.to_string());
    assert!(data["order_id"].is_string() && data["at"].is_string());
    Some((sequence, data["status"].as_str().unwrap().to_owned()))
}

async fn request(world: &World, token: &str, order_id: Uuid, seen: Option<i64>) -> reqwest::Response {
    let url = format!("http://127.0.0.1:{}/v1/orders/{order_id}/events", world.port);
    let mut request = reqwest::Client::new().get(url).bearer_auth(token);
    if let Some(seen) = seen {
        request = request.header("last-event-id", seen);
    }
    request.send().await.unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "what a stream's `next` answers")]
fn step(sequence: i64, status: &str) -> Option<(i64, String)> {
    Some((sequence, status.to_owned()))
}

#[tokio::test]
async fn the_snapshot_comes_first_then_every_change_once_until_the_end() {
    let world = World::with_events(|_| {}).await;
    let (user_id, token) = world.user(&["customer"]).await;
    let order_id = fresh();
    world
        .upstream
        .set_order(order_id, snapshot(order_id, &user_id, 1));
    let mut stream = Stream::open(&world, &token, order_id, None).await;
    assert_eq!(stream.next().await, step(1, "PLACED"));
    publish(&world, order_id, 2).await;
    // Events come again, and other orders have events.
    publish(&world, order_id, 2).await;
    publish(&world, fresh(), 4).await;
    publish(&world, order_id, 3).await;
    assert_eq!(stream.next().await, step(2, "PAYMENT_PENDING"));
    assert_eq!(stream.next().await, step(3, "CONFIRMED"));
    publish(&world, order_id, 5).await;
    assert_eq!(stream.next().await, step(5, "DELIVERED"));
    assert_eq!(stream.next().await, None, "the stream goes on after the end");
}

#[tokio::test]
async fn what_happens_while_the_snapshot_is_read_is_not_lost() {
    let world = World::with_events(|_| {}).await;
    let (user_id, token) = world.user(&["customer"]).await;
    let order_id = fresh();
    world
        .upstream
        .set_order(order_id, snapshot(order_id, &user_id, 1));
    let mut watcher = Stream::open(&world, &token, order_id, None).await;
    assert_eq!(watcher.next().await, step(1, "PLACED"));

    let hold = world.upstream.hold_orders();
    let before = world.upstream.hits();
    let open = Stream::open(&world, &token, order_id, None);
    let happen = async {
        eventually("the snapshot being read", || async {
            (world.upstream.hits() > before).then_some(())
        })
        .await;
        publish(&world, order_id, 2).await;
        // The gateway has it when the one who watches already has it.
        assert_eq!(watcher.next().await, step(2, "PAYMENT_PENDING"));
        hold.add_permits(1);
    };
    let (mut stream, ()) = tokio::join!(open, happen);
    assert_eq!(stream.next().await, step(1, "PLACED"));
    assert_eq!(stream.next().await, step(2, "PAYMENT_PENDING"));
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_it_missed_and_no_more() {
    let world = World::with_events(|_| {}).await;
    let (user_id, token) = world.user(&["customer"]).await;
    let order_id = fresh();
    world
        .upstream
        .set_order(order_id, snapshot(order_id, &user_id, 3));
    let mut stream = Stream::open(&world, &token, order_id, Some(1)).await;
    assert_eq!(stream.next().await, step(2, "PAYMENT_PENDING"));
    assert_eq!(stream.next().await, step(3, "CONFIRMED"));
    let mut stream = Stream::open(&world, &token, order_id, Some(3)).await;
    publish(&world, order_id, 4).await;
    assert_eq!(stream.next().await, step(4, "SHIPPED"));

    let mut done = snapshot(order_id, &user_id, 4);
    done["status"] = json!("DELIVERED");
    done["history"][3]["status"] = json!("DELIVERED");
    world.upstream.set_order(order_id, done);
    let mut stream = Stream::open(&world, &token, order_id, Some(3)).await;
    assert_eq!(stream.next().await, step(4, "DELIVERED"));
    assert_eq!(stream.next().await, None);
    // This tells a browser to stop asking.
    let answer = request(&world, &token, order_id, Some(4)).await;
    assert_eq!(answer.status().as_u16(), 204);
}

#[tokio::test]
async fn the_order_services_refusals_are_the_clients() {
    let world = World::with_events(|_| {}).await;
    let (user_id, _) = world.user(&["customer"]).await;
    let order_id = fresh();
    world
        .upstream
        .set_order(order_id, snapshot(order_id, &user_id, 1));
    let eve = world.customer().await;
    let path = format!("/v1/orders/{order_id}/events");
    world.api.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
    eve.get(&path).await.expect(403);
    let unknown = format!("/v1/orders/{}/events", fresh());
    assert_eq!(
        eve.get(&unknown).await.expect(404).json["code"],
        "ORDER_NOT_FOUND"
    );
    eve.get("/v1/orders/1/events")
        .await
        .expect_problem(400, "INVALID_ORDER_ID");
}

#[tokio::test]
async fn streams_are_kept_alive_bounded_per_user_and_end_with_the_gateway() {
    let world = World::with_events(|settings| {
        settings.sse_heartbeat_ms = 50;
        settings.sse_streams_per_user_max = 2;
    })
    .await;
    let (user_id, token) = world.user(&["customer"]).await;
    let order_id = fresh();
    world
        .upstream
        .set_order(order_id, snapshot(order_id, &user_id, 1));
    let mut first = Stream::open(&world, &token, order_id, None).await;
    let second = Stream::open(&world, &token, order_id, None).await;
    let refused = request(&world, &token, order_id, None).await;
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "TOO_MANY_STREAMS");

    let mut text = String::new();
    while !text.contains(": still here") {
        let chunk = tokio::time::timeout(DEADLINE, first.response.chunk())
            .await
            .unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    drop(second);
    eventually("the place of the stream that was closed", || async {
        let answer = request(&world, &token, order_id, None).await;
        (answer.status().as_u16() == 200).then_some(())
    })
    .await;

    world.stop.cancel();
    let ended = async { while first.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(1), ended)
        .await
        .expect("the stream's end");
}

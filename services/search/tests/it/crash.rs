use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use ferrocart_test_kit::{Api, eventually};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::{Shop, product};

const PRODUCTS: usize = 120;

/// The service as a process of its own, which can be killed.
struct Process {
    child: Child,
    api: Api,
}

impl Process {
    async fn start(shop: &Shop, folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let auth = shop.env.auth();
        let child = Command::new(env!("CARGO_BIN_EXE_ferrocart-search"))
            .arg("serve")
            .env("PORT", port.to_string())
            .env("LOG_LEVEL", "off")
            .env("INTERNAL_SIGNING_KEY_FILE", auth.internal_signing_key_file)
            .env("INTERNAL_JWKS_FILE", auth.internal_jwks_file)
            .env("KAFKA_BROKERS", &shop.env.kafka.kafka_brokers)
            .env("KAFKA_TOPIC_PREFIX", &shop.env.kafka.kafka_topic_prefix)
            .env("REDIS_URL", &shop.env.redis.redis_url)
            .env("INDEX_DIR", folder)
            // Small commits: many moments to be killed in.
            .env("INDEX_BATCH_MAX", "16")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("the process to listen", || async {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let token = shop.env.keys.anonymous_token("search");
        Self {
            child,
            api: Api::new(port).with_token(token),
        }
    }

    async fn total(&self, query: &str) -> usize {
        let answer = self.api.get(&format!("/v1/search?{query}")).await.expect(200);
        usize::try_from(answer.json["total"].as_u64().unwrap()).unwrap()
    }

    async fn until(&self, query: &str, enough: usize) {
        eventually(&format!("{query} to find {enough}"), || async {
            (self.total(query).await >= enough).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..PRODUCTS {
        let mut lamp = product(&format!("Lantern {number}"));
        shop.list(&lamp).await;
        // The odd ones end out of stock, after they were in it.
        let sku = &lamp.variants[0].sku_id;
        shop.stock(sku, 5, 1).await;
        shop.stock(sku, i64::from(number % 2 == 0), 2).await;
        lamp.version = 2;
        lamp.title = format!("Bright Lantern {number}");
        shop.list(&lamp).await;
    }
    // Each costs the time in which the broker notices that the group's member is gone.
    for step in 1..=2 {
        let mut process = Process::start(&shop, folder.path()).await;
        process.until("", step * PRODUCTS / 3).await;
        process.child.kill().await.unwrap();
    }
    let process = Process::start(&shop, folder.path()).await;
    process.until("q=bright", PRODUCTS).await;
    process.until("in_stock=false", PRODUCTS / 2).await;
    eventually("the odd ones alone to be out of stock", || async {
        (process.total("in_stock=true").await == PRODUCTS / 2).then_some(())
    })
    .await;
    assert_eq!(process.total("").await, PRODUCTS);
}

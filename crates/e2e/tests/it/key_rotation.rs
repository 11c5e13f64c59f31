//! Keys are replaced while people buy, and no process is started anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ferrocart_stack::Service;
use ferrocart_test_kit::{Api, TestKeys, eventually};
use serde_json::{Value, json};

use crate::platform::{ExpectOk, Platform, address, fresh};

/// At once, as secret stores do.
fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, path).unwrap();
}

fn file(platform: &Platform, service: Service, variable: &str) -> PathBuf {
    platform.stack.env_for(service).unwrap()[variable].clone().into()
}

fn header(token: &str) -> Value {
    let part = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Guests who buy one after another, so that every service calls its neighbours all the time.
struct Buyers {
    stop: Arc<AtomicBool>,
    bought: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Buyers {
    fn start(platform: &Platform, sku_id: String) -> Self {
        let (stop, bought) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = ferrocart_telemetry::spawn("buyers", {
            let (stop, bought, api) = (Arc::clone(&stop), Arc::clone(&bought), platform.api.clone());
            async move {
                while !stop.load(Ordering::SeqCst) {
                    buy(&api, &sku_id).await;
                    bought.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { stop, bought, task }
    }

    /// Waits for so many purchases that began after now.
    async fn more(&self, count: usize) {
        let enough = self.bought.load(Ordering::SeqCst) + 1 + count;
        eventually("purchases", || async {
            (self.bought.load(Ordering::SeqCst) >= enough || self.task.is_finished()).then_some(())
        })
        .await;
        assert!(!self.task.is_finished(), "a purchase failed");
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
    }
}

async fn buy(api: &Api, sku_id: &str) {
    let token = api.post("/v1/auth/guest", json!({})).await.expect_ok();
    let guest = api.with_token(token["access_token"].as_str().unwrap());
    let line = json!({ "sku_id": sku_id, "quantity": 1 });
    guest.post("/v1/cart/items", line).await.expect_ok();
    let checkout = json!({
        "payment_method": "pm_card_visa", "email": "guest@example.com", "shipping_address": address(),
    });
    let order = guest
        .post_once("/v1/checkout", &fresh(), checkout)
        .await
        .expect_ok();
    assert_eq!(order["status"], "CONFIRMED", "{order}");
}

/// How often a process has read keys anew.
async fn reloads(platform: &Platform, service: Service) -> u64 {
    let url = format!("http://127.0.0.1:{}/metrics", platform.stack.port(service));
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("key_files_reloaded_total "))
        .map(|count| count.trim().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_are_replaced_while_people_buy() {
    let platform = Platform::start().await;
    let sku_id = platform.product_with_stock("rotated", 100_000).await;
    let buyers = Buyers::start(&platform, sku_id);
    buyers.more(1).await;
    services_take_new_keys(&platform, &buyers).await;
    access_tokens_take_a_new_key(&platform, &buyers).await;
    buyers.end().await;
}

async fn services_take_new_keys(platform: &Platform, buyers: &Buyers) {
    let set_file = file(platform, Service::Order, "INTERNAL_JWKS_FILE");
    let set: Value = serde_json::from_slice(&std::fs::read(&set_file).unwrap()).unwrap();
    let fresh = TestKeys::generate();
    let new: Value =
        serde_json::from_slice(&std::fs::read(fresh.folder().join("internal-jwks.json")).unwrap()).unwrap();
    let mut both = set["keys"].as_array().unwrap().clone();
    for key in new["keys"].as_array().unwrap() {
        let mut key = key.clone();
        key["kid"] = json!(key["kid"].as_str().unwrap().replace(":1", ":2"));
        both.push(key);
    }
    replace(&set_file, &json!({ "keys": both }).to_string());
    buyers.more(1).await;
    let users = [
        Service::Gateway,
        Service::Cart,
        Service::Order,
        Service::Inventory,
    ];
    let mut before = Vec::new();
    for service in users {
        before.push((service, reloads(platform, service).await));
        let pem = std::fs::read_to_string(fresh.folder().join(format!("{}.pem", service.name()))).unwrap();
        replace(&file(platform, service, "INTERNAL_SIGNING_KEY_FILE"), &pem);
    }
    for (service, before) in before {
        // Inventory calls its neighbours only when somebody waits for a product.
        if service != Service::Inventory {
            eventually(&format!("the new key of {}", service.name()), || async {
                (reloads(platform, service).await > before).then_some(())
            })
            .await;
        }
    }
    buyers.more(2).await;
    // What signs with its old key is refused from now on; users' tokens of the gateway live for a while.
    both.retain(|key| {
        let kid = key["kid"].as_str().unwrap();
        kid.ends_with(":2") || kid.starts_with("gateway") || kid.starts_with("inventory")
    });
    replace(&set_file, &json!({ "keys": both }).to_string());
    buyers.more(3).await;
}

async fn access_tokens_take_a_new_key(platform: &Platform, buyers: &Buyers) {
    let key_file = file(platform, Service::Gateway, "JWT_SIGNING_KEY_FILE");
    let old_pem = std::fs::read_to_string(&key_file).unwrap();
    let new_pem = std::fs::read_to_string(TestKeys::generate().folder().join("gateway.pem")).unwrap();
    let guest = async || -> String {
        let tokens = platform.api.post("/v1/auth/guest", json!({})).await.expect_ok();
        tokens["access_token"].as_str().unwrap().to_owned()
    };
    let old = guest().await;
    // Published, for those who keep a copy of the keys, and not yet used.
    replace(&key_file, &format!("{old_pem}{new_pem}"));
    let published = eventually("the new key's publication", || async {
        let keys = platform.api.get("/.well-known/jwks.json").await.expect_ok()["keys"].clone();
        (keys.as_array().unwrap().len() == 2).then_some(keys)
    })
    .await;
    assert_eq!(header(&guest().await)["kid"], published[0]["kid"]);
    replace(&key_file, &format!("{new_pem}{old_pem}"));
    let new = eventually("a token by the new key", || async {
        let token = guest().await;
        (header(&token)["kid"] == published[1]["kid"]).then_some(token)
    })
    .await;
    for token in [&old, &new] {
        platform.api.with_token(token).get("/v1/cart").await.expect_ok();
    }
    buyers.more(2).await;
    replace(&key_file, &new_pem);
    eventually("the old key's end", || async {
        let answer = platform.api.with_token(&old).get("/v1/cart").await;
        (answer.status.as_u16() == 401).then_some(())
    })
    .await;
    platform.api.with_token(&new).get("/v1/cart").await.expect_ok();
    buyers.more(1).await;
}

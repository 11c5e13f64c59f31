//! A platform of its own for a test, and a client of its gateway.

use ferrocart_stack::{Builder, Components, Ports, Service, Stack};
use ferrocart_test_kit::Api;
use serde_json::{Value, json};

/// Where `make test` has put the binaries.
const BIN_DIR: &str = "FERROCART_TEST_BIN_DIR";

pub(crate) struct Platform {
    pub(crate) stack: Stack,
    pub(crate) api: Api,
    _folder: tempfile::TempDir,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With settings of the gateway's that the test wants otherwise.
    pub(crate) async fn with(gateway: &[(&str, &str)]) -> Self {
        let mut builder = Stack::builder();
        for (name, value) in gateway {
            builder = builder.env(Service::Gateway, *name, *value);
        }
        Self::of(builder.binaries(binaries())).await
    }

    /// As it was described, in a folder of its own.
    pub(crate) async fn of(builder: Builder) -> Self {
        let folder = tempfile::Builder::new().prefix("fc-e2e-").tempdir().unwrap();
        let stack = builder
            .folder(folder.path())
            .ports(Ports::Free)
            .components(Components::All)
            .start()
            .await
            .unwrap();
        stack.create_sample_accounts().await.unwrap();
        let api = Api::new(stack.port(Service::Gateway));
        Self {
            stack,
            api,
            _folder: folder,
        }
    }

    pub(crate) async fn as_role(&self, role: &str) -> Api {
        self.api.with_token(self.stack.access_token(role).await.unwrap())
    }

    /// A new guest's client.
    pub(crate) async fn as_guest(&self) -> Api {
        let token = self.api.post("/v1/auth/guest", json!({})).await.expect_ok();
        self.api.with_token(token["access_token"].as_str().unwrap())
    }

    /// A new customer's client.
    pub(crate) async fn as_customer(&self) -> Api {
        let (email, password) = (format!("{}@example.com", fresh()), fresh());
        let account = json!({ "email": email, "password": password, "name": "Ada Lovelace" });
        self.api.post("/v1/users", account).await.expect_ok();
        let login = json!({ "email": email, "password": password });
        let token = self.api.post("/v1/auth/token", login).await.expect_ok();
        self.api.with_token(token["access_token"].as_str().unwrap())
    }

    /// A new product with one variant and so many units of it; answers the SKU's id.
    pub(crate) async fn product_with_stock(&self, handle: &str, on_hand: i64) -> String {
        let merchant = self.as_role("merchant").await;
        let category = json!({ "slug": handle, "name": handle });
        merchant.post("/v1/categories", category).await.expect_ok();
        let product = json!({
            "handle": handle, "title": format!("A {handle}"), "description": "For a test of the whole platform.",
            "brand": "Testa", "category": handle, "attributes": {}, "images": [],
            "variants": [{ "sku": format!("{handle}-1"), "options": {}, "price": { "amount_minor": 4_200, "currency": "USD" } }],
        });
        let product = merchant.post("/v1/products", product).await.expect_ok();
        let sku_id = product["variants"][0]["sku_id"].as_str().unwrap().to_owned();
        let stock = json!({ "sku_id": sku_id, "on_hand": on_hand });
        merchant
            .post_once("/v1/inventory", &fresh(), stock)
            .await
            .expect_ok();
        sku_id
    }

    pub(crate) async fn stock(&self, sku_id: &str) -> Value {
        self.api.get(&format!("/v1/inventory/{sku_id}")).await.expect_ok()
    }

    /// All that the payment provider has in its books, as it would show it to an auditor.
    pub(crate) async fn provider_ledger(&self) -> Vec<Value> {
        let key = self.stack.env_for(Service::Payment).unwrap()["PSP_API_KEY"].clone();
        let url = self.stack.env_for(Service::Payment).unwrap()["PSP_URL"].clone();
        let text = reqwest::Client::new()
            .get(format!("{url}/sandbox/ledger"))
            .bearer_auth(key)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub(crate) trait ExpectOk {
    /// The body of a 2xx; panics with the answer otherwise.
    fn expect_ok(self) -> Value;
}

impl ExpectOk for ferrocart_test_kit::Answer {
    #[track_caller]
    fn expect_ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text);
        self.json
    }
}

#[expect(clippy::disallowed_methods, reason = "a test wants fresh keys")]
pub(crate) fn fresh() -> String {
    uuid::Uuid::now_v7().to_string()
}

pub(crate) fn address() -> Value {
    json!({ "name": "Ada Lovelace", "line1": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US" })
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings file")]
pub(crate) fn binaries() -> String {
    std::env::var(BIN_DIR)
        .unwrap_or_else(|_| panic!("{BIN_DIR} is not set: run `make test`, which builds the services first"))
}

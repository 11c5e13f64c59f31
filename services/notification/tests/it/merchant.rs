//! A merchant, and what is theirs.

use std::process::{Command, Stdio};

use ferrocart_contracts::v1::{self, Order, Product, ProductUpserted, Variant};
use ferrocart_http_kit::Role;
use ferrocart_test_kit::{Api, eventually};
use ferrocart_types::UserId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::python;
use crate::receiver::Request;
use crate::support::{Office, fresh, order};

pub(crate) const ENDPOINTS: &str = "/v1/webhooks/endpoints";

/// The reference library of the Standard Webhooks project. Answers for each request whether it is genuine.
const VERIFY: &str = r"
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
answers = []
for secret, headers, body in json.load(sys.stdin):
    try:
        Webhook(secret).verify(body, headers)
        answers.append(True)
    except WebhookVerificationError:
        answers.append(False)
print(json.dumps(answers))
";

/// `None` where the library could not be had.
pub(crate) fn genuine(cases: &[(&str, &Request)]) -> Option<Vec<bool>> {
    use std::io::Write;

    let packages = python::packages("standardwebhooks")?;
    let cases: Vec<Value> = cases
        .iter()
        .map(|(secret, request)| json!([secret, request.headers, request.body]))
        .collect();
    let mut python = Command::new("python3")
        .args(["-c", VERIFY])
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(&cases).unwrap();
    python.stdin.take().unwrap().write_all(&input).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

pub(crate) struct Merchant {
    pub(crate) id: UserId,
    pub(crate) token: String,
    pub(crate) api: Api,
}

/// An endpoint as its owner was shown it.
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) secret: String,
}

impl Merchant {
    pub(crate) fn new(office: &Office) -> Self {
        let (id, token) = office.env.keys.new_user("notification", &[Role::Merchant]);
        Self {
            id,
            api: office.api.with_token(token.clone()),
            token,
        }
    }

    pub(crate) async fn endpoint(&self, body: Value) -> Shown {
        let made = self.api.post(ENDPOINTS, body).await.expect(201).json;
        let id = made["endpoint_id"].as_str().unwrap().to_owned();
        Shown {
            path: format!("{ENDPOINTS}/{id}"),
            id,
            secret: made["secret"].as_str().unwrap().to_owned(),
        }
    }

    /// A product of theirs with one variant, of which the catalog has not told yet.
    pub(crate) fn product(&self) -> Product {
        Product {
            product_id: fresh().to_string(),
            merchant_id: self.id.to_string(),
            title: "Running shoe".to_owned(),
            variants: vec![Variant {
                sku_id: fresh().to_string(),
                ..Variant::default()
            }],
            version: 1,
            ..Product::default()
        }
    }

    pub(crate) async fn deliveries(&self, endpoint: &Shown, query: &str) -> Vec<Value> {
        let page = self
            .api
            .get(&format!("{}/deliveries?limit=100&{query}", endpoint.path))
            .await;
        page.expect(200).json["items"].as_array().unwrap().clone()
    }

    /// Waits until the endpoint has exactly so many deliveries, all of them in that state.
    pub(crate) async fn settled(&self, endpoint: &Shown, status: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} deliveries {status}"), || async {
            let items = self.deliveries(endpoint, "").await;
            (items.len() == count && items.iter().all(|item| item["status"] == status)).then_some(items)
        })
        .await
    }
}

pub(crate) fn upserted(product: &Product) -> ProductUpserted {
    ProductUpserted {
        product: Some(product.clone()),
    }
}

/// An order of one unit of each of these products.
pub(crate) fn order_of(products: &[&Product]) -> Order {
    let mut bought = order(fresh());
    let line = bought.lines[0].clone();
    bought.lines = products
        .iter()
        .map(|product| v1::OrderLine {
            product_id: product.product_id.clone(),
            sku_id: product.variants[0].sku_id.clone(),
            ..line.clone()
        })
        .collect();
    bought
}

pub(crate) async fn change(merchant: &Merchant, endpoint: &Shown, changes: Value) -> Value {
    let answer = merchant
        .api
        .send(Method::PATCH, &endpoint.path, Some(&changes), &[])
        .await;
    answer.expect(200).json
}

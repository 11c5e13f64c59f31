//! The public API is the file that is committed.

use ferrocart_test_kit::eventually;
use serde_json::Value;

use crate::platform::{ExpectOk, Platform};

const COMMITTED: &str = include_str!("../../../../docs/openapi.json");

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_serves_the_document_that_is_committed() {
    let platform = Platform::start().await;
    let committed: Value = serde_json::from_str(COMMITTED).unwrap();
    let paths = |document: &Value| document["paths"].as_object().map_or(0, serde_json::Map::len);
    // The services are asked one after the other; of a document that differs there may be any number of paths.
    let served = eventually("the documents of all services", || async {
        let served = platform.api.get("/openapi.json").await.expect_ok();
        let complete = [
            "products",
            "search",
            "cart",
            "inventory",
            "orders",
            "notifications",
        ]
        .iter()
        .all(|part| !served["paths"][format!("/v1/{part}")].is_null());
        (complete && !served["paths"]["/v1/payments/{payment_id}"].is_null()).then_some(served)
    })
    .await;
    assert_eq!(
        paths(&served),
        paths(&committed),
        "run `make openapi` and commit docs/openapi.json"
    );
    for (path, item) in served["paths"].as_object().unwrap() {
        assert_eq!(
            item, &committed["paths"][path],
            "{path}: run `make openapi` and commit docs/openapi.json"
        );
    }
    assert!(
        served == committed,
        "run `make openapi` and commit docs/openapi.json"
    );
}

//! What the sandbox answers, against Stripe's published description of its API.

use crate::client::{Client, authorization, id, start};
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::PathBuf;

const PINNED: &str = include_str!("../../../../deploy/local/stripe-mock.version");

/// `make setup` fetches it with Stripe's mock server.
fn spec_path() -> PathBuf {
    match std::env::var_os("STRIPE_OPENAPI") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../.ferrocart")
            .join(format!("stripe-mock-{}", PINNED.trim()))
            .join("spec3.json"),
    }
}

struct Spec(Map<String, Value>);

impl Spec {
    /// `None`, and a line that is seen, where the machine could not fetch it.
    fn load() -> Option<Self> {
        let path = spec_path();
        let Ok(text) = std::fs::read(&path) else {
            let line = format!(
                "SKIPPED: Stripe's description of its API is not at {}: run `make setup` where Go is installed\n",
                path.display()
            );
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let mut spec: Value = serde_json::from_slice(&text).unwrap();
        let schemas = spec["components"]["schemas"].take();
        let Value::Object(mut schemas) = schemas else {
            panic!("no schemas in {}", path.display());
        };
        schemas.values_mut().for_each(translate);
        Some(Self(schemas))
    }

    fn validator(&self, schema: &str) -> jsonschema::Validator {
        let root = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "allOf": [{ "$ref": format!("#/components/schemas/{schema}") }],
            "components": { "schemas": self.0 },
        });
        jsonschema::validator_for(&root).unwrap()
    }

    /// Stripe's description forbids no further fields; the sandbox must not invent any.
    fn invented<'a>(&self, schema: &str, object: &'a Value) -> Vec<&'a String> {
        let properties = self.0[schema]["properties"].as_object().unwrap();
        let fields = object.as_object().unwrap().keys();
        fields.filter(|field| !properties.contains_key(*field)).collect()
    }
}

/// OpenAPI 3.0's `nullable` in JSON Schema's words. Of what can be expanded only what we expand stays.
fn translate(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("x-expansionResources")
                && let Some(Value::Array(kinds)) = object.get_mut("anyOf")
            {
                kinds.retain(|kind| match kind["$ref"].as_str() {
                    Some(name) => name.ends_with("/charge") || name.ends_with("/payment_intent"),
                    None => true,
                });
            }
            object.remove("x-expansionResources");
            object.values_mut().for_each(translate);
            if object.remove("nullable") == Some(json!(true)) {
                let inner = Value::Object(std::mem::take(object));
                object.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(translate),
        _ => {}
    }
}

struct Checker {
    spec: Spec,
    compiled: std::collections::HashMap<&'static str, jsonschema::Validator>,
    checked: usize,
}

impl Checker {
    fn new(spec: Spec) -> Self {
        Self {
            spec,
            compiled: std::collections::HashMap::new(),
            checked: 0,
        }
    }

    #[track_caller]
    fn check(&mut self, schema: &'static str, object: &Value) {
        let Self { spec, compiled, .. } = self;
        let validator = compiled.entry(schema).or_insert_with(|| spec.validator(schema));
        let wrong: Vec<String> = validator
            .iter_errors(object)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{schema}: {wrong:#?}\n{object:#}");
        let invented = spec.invented(schema, object);
        assert!(invented.is_empty(), "{schema} has no {invented:?}");
        self.checked += 1;
    }

    #[track_caller]
    fn check_all(&mut self, schema: &'static str, list: &Value) {
        let items = list["data"].as_array().unwrap();
        assert!(!items.is_empty(), "{list}");
        for item in items {
            self.check(schema, item);
        }
    }
}

/// Every state that an intent can be in.
async fn intents(client: &Client) -> Vec<Value> {
    let captured = id(&client.authorize("pm_card_visa").await);
    let in_part = id(&client.authorize("pm_card_mastercard").await);
    let cancelled = id(&client.authorize("pm_card_visa").await);
    let bare = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("capture_method", "manual"),
    ];
    let answers = [
        client.authorize("pm_card_visa").await,
        client.authorize("pm_card_threeDSecure2Required").await,
        client.post("/v1/payment_intents", &bare).await.ok(),
        client
            .post(
                &format!("/v1/payment_intents/{captured}/capture"),
                &[("expand[]", "latest_charge")],
            )
            .await
            .ok(),
        client
            .post(
                &format!("/v1/payment_intents/{in_part}/capture"),
                &[("amount_to_capture", "400")],
            )
            .await
            .ok(),
        client
            .post(
                &format!("/v1/payment_intents/{cancelled}/cancel"),
                &[("cancellation_reason", "abandoned")],
            )
            .await
            .ok(),
    ];
    answers.into()
}

async fn check_lists(client: &Client, checker: &mut Checker) {
    for (schema, path) in [
        (
            "payment_intent",
            "/v1/payment_intents?limit=100&expand[]=data.latest_charge",
        ),
        (
            "payment_intent",
            "/v1/payment_intents/search?query=metadata%5B'order_id'%5D:'order-1'",
        ),
        ("charge", "/v1/charges?limit=100"),
        ("refund", "/v1/refunds?limit=100"),
        ("event", "/v1/events?limit=100"),
    ] {
        let list = client.get(path).await.ok();
        checker.check_all(schema, &list);
    }
    for event in client.get("/v1/events?limit=100").await.ok()["data"]
        .as_array()
        .unwrap()
    {
        let object = &event["data"]["object"];
        match object["object"].as_str().unwrap() {
            "payment_intent" => checker.check("payment_intent", object),
            "charge" => checker.check("charge", object),
            "refund" => checker.check("refund", object),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn what_the_sandbox_answers_is_what_stripe_describes() {
    let Some(spec) = Spec::load() else { return };
    let mut checker = Checker::new(spec);
    let dir = tempfile::tempdir().unwrap();
    let (running, client) = start(dir.path()).await;
    let made = intents(&client).await;
    for intent in &made {
        checker.check("payment_intent", intent);
    }
    let statuses: Vec<_> = made
        .iter()
        .map(|intent| intent["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        [
            "requires_capture",
            "requires_action",
            "requires_payment_method",
            "succeeded",
            "succeeded",
            "canceled"
        ]
    );
    let refund = client
        .post(
            "/v1/refunds",
            &[("payment_intent", &id(&made[3])), ("amount", "300")],
        )
        .await
        .ok();
    checker.check("refund", &refund);

    let declined = authorization("pm_card_chargeDeclined", "order-2");
    let refusals = [
        client.post("/v1/payment_intents", &declined).await,
        client
            .post("/v1/payment_intents", &authorization("pm_nobody", "order-3"))
            .await,
        client
            .post(&format!("/v1/payment_intents/{}/capture", id(&made[5])), &[])
            .await,
        client.get("/v1/payment_intents/pi_nobody").await,
    ];
    for refusal in refusals {
        assert!(refusal.status >= 400);
        checker.check("error", &refusal.body);
        checker.check("api_errors", &refusal.body["error"]);
    }
    check_lists(&client, &mut checker).await;
    assert!(checker.checked > 30, "{}", checker.checked);
    running.stop().await;
}

/// The check itself sees what is missing, of the wrong kind, or made up.
#[test]
fn a_wrong_answer_is_seen() {
    let Some(spec) = Spec::load() else { return };
    let refund = json!({ "id": "re_1", "object": "refund", "amount": 5, "created": 1, "currency": "usd" });
    let validator = spec.validator("refund");
    assert!(validator.is_valid(&refund));
    for (field, value) in [
        ("amount", json!("5")),
        ("object", json!("charge")),
        ("metadata", json!([])),
    ] {
        let mut wrong = refund.clone();
        wrong[field] = value;
        assert!(!validator.is_valid(&wrong), "{field}");
    }
    let mut wrong = refund.clone();
    wrong.as_object_mut().unwrap().remove("currency");
    assert!(!validator.is_valid(&wrong));
    wrong["colour"] = json!("red");
    assert_eq!(spec.invented("refund", &wrong), ["colour"]);
}

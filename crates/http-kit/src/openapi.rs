use serde_json::{Map, Value, json};
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// Adds the security scheme `bearer`; for `#[openapi(modifiers(&BearerAuth))]`.
#[derive(Debug)]
pub struct BearerAuth;

impl Modify for BearerAuth {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

const VERBS: [&str; 5] = ["get", "put", "post", "patch", "delete"];
const PROBLEM: &str = "#/components/schemas/ProblemBody";
const EXAMPLES: &str = "#/components/examples/";

/// The document as it is served: what the annotations say, and the refusals that the common server adds to every
/// endpoint and that nobody should have to write beside each of them. Every problem has an example for each code.
pub fn openapi_document(api: &OpenApi) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(api)?;
    let secured_by_default = is_secured(&document["security"]).unwrap_or(false);
    let items = document.get_mut("paths").and_then(Value::as_object_mut);
    for item in items.into_iter().flat_map(Map::values_mut) {
        let Some(item) = item.as_object_mut() else {
            continue;
        };
        let shared_parameters = item.contains_key("parameters");
        for (_, operation) in item.iter_mut().filter(|(verb, _)| VERBS.contains(&verb.as_str())) {
            complete(operation, secured_by_default, shared_parameters);
        }
    }
    define_examples(&mut document);
    Ok(document)
}

/// Whether a token is needed; `None` when nothing is said.
fn is_secured(security: &Value) -> Option<bool> {
    let schemes = security.as_array()?;
    Some(schemes.iter().any(|scheme| scheme != &json!({})))
}

fn complete(operation: &mut Value, secured_by_default: bool, shared_parameters: bool) {
    let has_body = !operation["requestBody"].is_null();
    let has_parameters = shared_parameters
        || operation["parameters"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
    let secured = is_secured(&operation["security"]).unwrap_or(secured_by_default);
    let mut answers = vec![(500, "INTERNAL_ERROR")];
    if has_body || has_parameters {
        answers.push((400, "VALIDATION_ERROR"));
    }
    if secured {
        answers.extend([(401, "UNAUTHENTICATED"), (403, "FORBIDDEN")]);
    }
    if has_body {
        answers.extend([(413, "PAYLOAD_TOO_LARGE"), (415, "UNSUPPORTED_MEDIA_TYPE")]);
    }
    for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
        mend(status, answer);
    }
    for (status, code) in answers {
        document_problem(operation, status, code);
    }
}

/// A problem is `application/problem+json`, whatever the annotation says, and has an example for each code that its
/// description names.
fn mend(status: &str, answer: &mut Value) {
    let Ok(status) = status.parse::<u16>() else {
        return;
    };
    if status < 400 {
        return;
    }
    let codes: Vec<String> = codes_in(answer["description"].as_str().unwrap_or_default())
        .map(ToOwned::to_owned)
        .collect();
    let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) else {
        return;
    };
    let Some((kind, _)) = content
        .iter()
        .find(|(_, media)| media["schema"]["$ref"] == PROBLEM)
    else {
        return;
    };
    let kind = kind.clone();
    let media = content.remove(&kind).unwrap_or_default();
    content.insert("application/problem+json".to_owned(), media);
    if answer["description"].as_str().is_none_or(str::is_empty) {
        answer["description"] = json!(reason(status));
    }
    for code in codes {
        add_example(answer, &code);
    }
}

/// The codes in a text: words in capitals, of several parts or well known.
fn codes_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            let shaped = word.starts_with(|c: char| c.is_ascii_uppercase())
                && word
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            shaped && (word.contains('_') || ["UNAUTHENTICATED", "FORBIDDEN"].contains(word))
        })
}

/// Says of an operation in an OpenAPI document that it may be refused with this status and code.
pub fn document_problem(operation: &mut Value, status: u16, code: &str) {
    let Some(members) = operation.as_object_mut() else {
        return;
    };
    let responses = members.entry("responses").or_insert_with(|| json!({}));
    if !responses.is_object() {
        *responses = json!({});
    }
    let answer = &mut responses[status.to_string()];
    if answer.is_null() {
        let schema = json!({ "schema": { "$ref": PROBLEM } });
        *answer = json!({ "description": reason(status), "content": { "application/problem+json": schema } });
    }
    add_example(answer, code);
}

fn reason(status: u16) -> &'static str {
    actix_web::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
}

fn add_example(answer: &mut Value, code: &str) {
    let Some(media) = answer
        .get_mut("content")
        .and_then(|content| content.get_mut("application/problem+json"))
    else {
        return;
    };
    media["examples"][code] = json!({ "$ref": format!("{EXAMPLES}{code}") });
}

/// Writes down, once for each code, the examples that answers refer to.
pub fn define_examples(document: &mut Value) {
    let mut examples = Map::new();
    let paths = document["paths"].as_object();
    let operations = paths
        .into_iter()
        .flat_map(Map::values)
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    for (status, answer) in operations
        .filter_map(|operation| operation["responses"].as_object())
        .flatten()
    {
        let named = answer["content"]["application/problem+json"]["examples"].as_object();
        let (Some(named), Ok(status)) = (named, status.parse::<u16>()) else {
            continue;
        };
        for code in named.keys() {
            examples
                .entry(code)
                .or_insert_with(|| json!({ "value": example(status, code) }));
        }
    }
    if !examples.is_empty() {
        document["components"]["examples"] = Value::Object(examples);
    }
}

fn example(status: u16, code: &str) -> Value {
    json!({
        "type": crate::problem::type_uri(code),
        "title": reason(status),
        "status": status,
        "detail": "what went wrong, for people",
        "code": code,
        "retryable": matches!(status, 408 | 429 | 500 | 503 | 504),
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(operation: &Value) -> Value {
        let api = json!({
            "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "security": [{ "bearer": [] }],
            "paths": { "/x": { "post": operation } },
        });
        let api: OpenApi = serde_json::from_value(api).unwrap();
        openapi_document(&api).unwrap()["paths"]["/x"]["post"].clone()
    }

    fn statuses(operation: &Value) -> Vec<String> {
        operation["responses"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }

    #[test]
    fn what_the_common_server_refuses_is_in_the_document() {
        let body = json!({ "content": { "application/json": { "schema": { "type": "object" } } } });
        let operation =
            document(&json!({ "requestBody": body, "responses": { "200": { "description": "ok" } } }));
        assert_eq!(
            statuses(&operation),
            ["200", "400", "401", "403", "413", "415", "500"]
        );
        let open = document(&json!({ "security": [{}], "responses": { "200": { "description": "ok" } } }));
        assert_eq!(statuses(&open), ["200", "500"]);
    }

    #[test]
    fn a_problem_has_its_type_and_an_example_of_each_code() {
        let problem = json!({ "content": { "application/json": { "schema": { "$ref": PROBLEM } } },
            "description": "CART_FULL, PRICE_CHANGED: the order is cancelled; see RFC 9457" });
        let operation = document(&json!({ "responses": { "409": problem } }));
        let content = &operation["responses"]["409"]["content"];
        assert!(content["application/json"].is_null());
        let examples = content["application/problem+json"]["examples"]
            .as_object()
            .unwrap();
        assert_eq!(
            examples.keys().collect::<Vec<_>>(),
            ["CART_FULL", "PRICE_CHANGED"]
        );
        assert_eq!(examples["CART_FULL"]["$ref"], "#/components/examples/CART_FULL");
    }

    #[test]
    fn an_answer_that_is_written_keeps_its_words() {
        let problem = json!({ "content": { "application/problem+json": { "schema": { "$ref": PROBLEM } } },
            "description": "REVIEW_NOT_ALLOWED: only buyers" });
        let operation = document(&json!({ "responses": { "403": problem } }));
        let answer = &operation["responses"]["403"];
        assert_eq!(answer["description"], "REVIEW_NOT_ALLOWED: only buyers");
        let examples = answer["content"]["application/problem+json"]["examples"]
            .as_object()
            .unwrap();
        assert_eq!(
            examples.keys().collect::<Vec<_>>(),
            ["FORBIDDEN", "REVIEW_NOT_ALLOWED"]
        );
    }
}

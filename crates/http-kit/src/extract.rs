use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use ferrocart_types::InvalidId;
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use garde::Validate;
use serde::de::DeserializeOwned;

use crate::auth::Caller;
use crate::problem::{FieldError, Problem};
use crate::server::BodyLimit;

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body, parsed and validated. Unknown fields are refused by the type's own
/// `#[serde(deny_unknown_fields)]`; a fault is answered with 400 and the path of the field.
#[derive(Debug, Clone)]
pub struct Json<T> {
    pub value: T,
    /// The body as it came, for the hash of an idempotency key.
    pub raw: Bytes,
}

impl<T> FromRequest for Json<T>
where
    T: DeserializeOwned + Validate<Context = ()> + 'static,
{
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limit = request.app_data::<BodyLimit>().copied().unwrap_or_default();
        let content_type = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            content_type?;
            let raw = read_body(payload, limit.0).await?;
            let value = parse_json(&raw)?;
            Ok(Self { value, raw })
        })
    }
}

fn is_json(request: &HttpRequest) -> Result<(), Problem> {
    let json = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .eq_ignore_ascii_case("application/json")
        });
    if json {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        "a body with content-type application/json is expected",
    ))
}

async fn read_body(payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    tokio::time::timeout(BODY_TIMEOUT, read_whole(payload, limit))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "the body did not arrive in time",
            )
        })?
}

async fn read_whole(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::bad_request("MALFORMED_BODY", format!("the body could not be read: {error}"))
        })?;
        if whole.len() + parts.len() + chunk.len() > limit {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                format!("the body is larger than {limit} bytes"),
            ));
        }
        if whole.is_empty() && parts.is_empty() {
            // Most bodies come in one piece, which need not be copied.
            whole = chunk;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&chunk);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

/// Parses and validates JSON, naming the field that is wrong.
fn parse_json<T>(raw: &[u8]) -> Result<T, Problem>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let value: T = match serde_json::from_slice(raw) {
        Ok(value) => value,
        // Keeping track of where one is takes time: only what is at fault is read again that way.
        Err(error) => return Err(fault::<T>(raw).unwrap_or_else(|| Problem::invalid_field("body", error))),
    };
    value.validate().map_err(|report| {
        let errors: Vec<FieldError> = report
            .iter()
            .map(|(path, error)| FieldError {
                field: path.to_string(),
                reason: error.message().to_owned(),
            })
            .collect();
        let detail = errors
            .first()
            .map_or_else(String::new, |first| format!("{}: {}", first.field, first.reason));
        Problem::bad_request("VALIDATION_ERROR", detail).fields(errors)
    })?;
    Ok(value)
}

/// What is wrong with the JSON, and in which field.
fn fault<T: DeserializeOwned>(raw: &[u8]) -> Option<Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(raw);
    let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err()?;
    let reason = error.inner().to_string();
    let field = field_at_fault(&error.path().to_string(), &reason, "body");
    Some(Problem::invalid_field(field, reason))
}

/// The path to the field. serde names a missing or unknown field in its text alone ("missing field
/// `sku_id`") and gives the path of what should have held it.
fn field_at_fault(path: &str, reason: &str, root: &str) -> String {
    let parent = path.trim_end_matches(['?', '.']);
    let mut parts = reason.split('`');
    let about = parts.next().unwrap_or_default();
    let named = ["missing field", "unknown field", "duplicate field"]
        .iter()
        .any(|kind| about.starts_with(kind))
        .then(|| parts.next())
        .flatten();
    match (parent, named) {
        ("", None) => root.to_owned(),
        ("", Some(name)) => name.to_owned(),
        (parent, Some(name)) if !parent.ends_with(name) => format!("{parent}.{name}"),
        (parent, _) => parent.to_owned(),
    }
}

/// Query parameters, with the parameter named that is wrong.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        let parsed = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        ready(parsed.map(Self).map_err(|error| {
            let reason = error.inner().to_string();
            let field = field_at_fault(&error.path().to_string(), &reason, "query");
            Problem::invalid_field(field, reason)
        }))
    }
}

/// An id from a path or a body; a bad one is 400 with the code INVALID_ORDER_ID and the like.
pub fn parse_id<T: FromStr<Err = InvalidId>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: InvalidId| {
        Problem::bad_request(
            format!("INVALID_{}", error.kind.to_uppercase()),
            error.to_string(),
        )
        .field(error.kind, "a UUID is expected")
    })
}

/// The `Idempotency-Key` header, which the request must carry: 1 to 255 visible characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let key = match request.headers().get("idempotency-key").map(|value| value.to_str()) {
            Some(Ok(key)) if (1..=255).contains(&key.len()) && key.chars().all(|c| c.is_ascii_graphic()) => {
                Ok(Self(key.to_owned()))
            }
            Some(_) => Err(Problem::bad_request(
                "IDEMPOTENCY_KEY_INVALID",
                "the header Idempotency-Key must have 1 to 255 visible ASCII characters",
            )
            .field("Idempotency-Key", "1 to 255 visible ASCII characters are expected")),
            None => Err(Problem::bad_request(
                "IDEMPOTENCY_KEY_MISSING",
                "this request moves money or stock: send an Idempotency-Key header, and the same one with a retry",
            )
            .field("Idempotency-Key", "is required")),
        };
        ready(key)
    }
}

/// The caller that the server's middleware has checked.
impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Arc<Self>>().cloned();
        let caller = caller.map(Arc::unwrap_or_clone);
        ready(caller.ok_or_else(|| Problem::unauthenticated("a bearer token is needed here")))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[garde(dive, length(min = 1, max = 2))]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[garde(range(min = 1))]
        quantity: i64,
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_byte_by_byte_is_waited_for_a_while_only() {
        let slow = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Bytes::from_static(b" ")), ()))
        });
        let payload: Payload = Payload::Stream {
            payload: slow.boxed_local(),
        };
        let began = tokio::time::Instant::now();
        let problem = read_body(payload, 1_000_000).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 408);
        assert_eq!(began.elapsed(), BODY_TIMEOUT);
    }

    fn refused_field(body: &str) -> String {
        let problem = parse_json::<Order>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        problem.body().errors.first().unwrap().field.clone()
    }

    #[test]
    fn the_field_at_fault_is_named() {
        assert!(parse_json::<Order>(br#"{"items":[{"quantity":1}]}"#).is_ok());
        assert_eq!(
            refused_field(r#"{"items":[{"quantity":"x"}]}"#),
            "items[0].quantity"
        );
        assert_eq!(
            refused_field(r#"{"items":[{"quantity":0}]}"#),
            "items[0].quantity"
        );
        assert_eq!(refused_field(r#"{"items":[]}"#), "items");
        assert_eq!(refused_field("{}"), "items");
        assert_eq!(refused_field(r#"{"items":[{"quantity":1}],"price":1}"#), "price");
        assert_eq!(refused_field(r#"{"items":[{"quantity":1}]} x"#), "body");
        assert_eq!(refused_field("{"), "body");
        assert_eq!(refused_field(r#"{"items":[],"items":[]}"#), "items");
        assert_eq!(refused_field(r#"{"items":[{}]}"#), "items[0].quantity");
        assert_eq!(
            refused_field(r#"{"items":[{"quantity":1,"price":1}]}"#),
            "items[0].price"
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{\"items\":{}", "[".repeat(100_000));
        assert_eq!(
            parse_json::<Order>(deep.as_bytes())
                .unwrap_err()
                .status()
                .as_u16(),
            400
        );
    }
}

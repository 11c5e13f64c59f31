use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Json, Problem, ProblemBody, parse_id};
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{EndpointId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{merchant, not_found, own_endpoint};
use crate::domain::{DisabledReason, Endpoint, EndpointStatus, EventType};
use crate::error::NotificationError;
use crate::routes::State;
use crate::store;
use crate::webhook::{Secret, Target};

const DESCRIPTION_CHARS_MAX: usize = 200;
/// More than there are.
const EVENT_TYPES_MAX: usize = 32;

#[derive(Debug, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct NewEndpoint {
    /// HTTPS, at a public address.
    #[schema(example = "https://shop.example.com/ferrocart")]
    url: String,
    #[serde(default)]
    #[garde(length(chars, max = DESCRIPTION_CHARS_MAX))]
    description: String,
    /// What it is told of; all when empty.
    #[serde(default)]
    #[garde(length(max = EVENT_TYPES_MAX))]
    event_types: Vec<EventType>,
}

/// What is not named stays.
#[derive(Debug, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct EndpointChanges {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    #[garde(inner(length(chars, max = DESCRIPTION_CHARS_MAX)))]
    description: Option<String>,
    #[serde(default)]
    #[garde(inner(length(max = EVENT_TYPES_MAX)))]
    event_types: Option<Vec<EventType>>,
    /// What waits for an endpoint that is disabled is given up; what happens meanwhile is not sent later.
    #[serde(default)]
    status: Option<EndpointStatus>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointBody {
    endpoint_id: EndpointId,
    url: String,
    description: String,
    /// All when empty.
    event_types: Vec<EventType>,
    status: EndpointStatus,
    disabled_reason: Option<DisabledReason>,
    /// Since when no try has succeeded; `null` while they do.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewEndpointBody {
    #[serde(flatten)]
    endpoint: EndpointBody,
    /// What its messages are signed with. Shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointList {
    items: Vec<EndpointBody>,
}

/// Adds an endpoint, which is told of what happens from now on to your products, their stock and their orders: by POST,
/// after the Standard Webhooks specification. Answer 2xx within 10 s; what fails is repeated over three days. The same
/// event can come more than once and events can overtake each other: go by `webhook-id` and by the `sequence` or
/// `version` in `data`.
#[utoipa::path(post, path = "/v1/webhooks/endpoints", tag = "webhooks", security(("bearer" = [])),
    request_body = NewEndpoint,
    responses((status = 201, body = NewEndpointBody), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn create_endpoint(
    caller: Caller,
    Json { value: body, .. }: Json<NewEndpoint>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let owner = merchant(&caller)?.clone();
    let url = checked_url(&state, &body.url).await?;
    let now = state.clock.now();
    let endpoint = Endpoint {
        id: EndpointId(state.ids.next()),
        merchant_id: owner.user_id,
        url,
        description: body.description,
        event_types: checked_types(body.event_types)?,
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        failing_since: None,
        created_at: now,
        updated_at: now,
    };
    let secret = Secret::generate()?;
    let sealed = state.safe.seal(endpoint.id, &secret)?;
    let endpoints_max = state.endpoints_max;
    let inserted = run_tx(&state.pool, "create_endpoint", |conn| {
        let (endpoint, sealed, email) = (endpoint.clone(), sealed.clone(), owner.email.clone());
        Box::pin(async move {
            store::insert_endpoint(conn, &endpoint, &sealed, email.as_ref(), endpoints_max).await
        })
    })
    .await?;
    if !inserted {
        let problem = format!("an account has at most {endpoints_max} endpoints");
        return Err(Problem::conflict("TOO_MANY_ENDPOINTS", problem).into());
    }
    Ok(HttpResponse::Created().json(NewEndpointBody {
        endpoint: endpoint.into(),
        secret: secret.reveal(),
    }))
}

/// Your endpoints, without their secrets.
#[utoipa::path(get, path = "/v1/webhooks/endpoints", tag = "webhooks", security(("bearer" = [])),
    responses((status = 200, body = EndpointList), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn list_endpoints(
    caller: Caller,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let merchant = merchant(&caller)?.user_id;
    let found = store::endpoints_of(&state.pool, merchant).await?;
    Ok(HttpResponse::Ok().json(EndpointList {
        items: found.into_iter().map(EndpointBody::from).collect(),
    }))
}

#[utoipa::path(get, path = "/v1/webhooks/endpoints/{endpoint_id}", tag = "webhooks", security(("bearer" = [])),
    params(("endpoint_id" = EndpointId, Path)),
    responses((status = 200, body = EndpointBody), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn read_endpoint(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let endpoint = own_endpoint(&caller, &state, &id).await?;
    Ok(HttpResponse::Ok().json(EndpointBody::from(endpoint)))
}

/// Changes an endpoint, enables or disables it.
#[utoipa::path(patch, path = "/v1/webhooks/endpoints/{endpoint_id}", tag = "webhooks", security(("bearer" = [])),
    params(("endpoint_id" = EndpointId, Path)), request_body = EndpointChanges,
    responses((status = 200, body = EndpointBody), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(crate) async fn update_endpoint(
    caller: Caller,
    id: web::Path<String>,
    Json { value: changes, .. }: Json<EndpointChanges>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let mut endpoint = own_endpoint(&caller, &state, &id).await?;
    let now = state.clock.now();
    if let Some(url) = &changes.url {
        endpoint.url = checked_url(&state, url).await?;
    }
    if let Some(description) = changes.description {
        endpoint.description = description;
    }
    if let Some(types) = changes.event_types {
        endpoint.event_types = checked_types(types)?;
    }
    match changes.status {
        Some(EndpointStatus::Enabled) if !endpoint.is_enabled() => {
            endpoint.failing_since = None;
            endpoint.disabled_reason = None;
            endpoint.status = EndpointStatus::Enabled;
        }
        Some(EndpointStatus::Disabled) if endpoint.is_enabled() => {
            endpoint.disabled_reason = Some(DisabledReason::Owner);
            endpoint.status = EndpointStatus::Disabled;
        }
        _ => {}
    }
    endpoint.updated_at = now;
    let written = run_tx(&state.pool, "update_endpoint", |conn| {
        let endpoint = endpoint.clone();
        Box::pin(async move {
            let written = store::update_endpoint(conn, &endpoint).await?;
            if written && !endpoint.is_enabled() {
                store::fail_pending(conn, endpoint.id, now).await?;
            }
            Ok::<_, ferrocart_pg_kit::StoreError>(written)
        })
    })
    .await?;
    if written {
        Ok(HttpResponse::Ok().json(EndpointBody::from(endpoint)))
    } else {
        Err(not_found().into())
    }
}

/// Removes an endpoint, what waits for it, and its log.
#[utoipa::path(delete, path = "/v1/webhooks/endpoints/{endpoint_id}", tag = "webhooks", security(("bearer" = [])),
    params(("endpoint_id" = EndpointId, Path)),
    responses((status = 204), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn delete_endpoint(
    caller: Caller,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, NotificationError> {
    let merchant: UserId = merchant(&caller)?.user_id;
    let id: EndpointId = parse_id(&id)?;
    let deleted = run_tx(&state.pool, "delete_endpoint", |conn| {
        Box::pin(async move { store::delete_endpoint(conn, merchant, id).await })
    })
    .await?;
    if deleted {
        Ok(HttpResponse::build(StatusCode::NO_CONTENT).finish())
    } else {
        Err(not_found().into())
    }
}

async fn checked_url(state: &State, text: &str) -> Result<String, Problem> {
    let invalid = |error| Problem::invalid_field("url", error);
    let target = Target::parse(text, state.rules).map_err(invalid)?;
    target.check(state.rules).await.map_err(invalid)?;
    Ok(target.url().to_string())
}

fn checked_types(mut types: Vec<EventType>) -> Result<Vec<EventType>, Problem> {
    if types.contains(&EventType::Test) {
        let reason = "webhook.test is sent on request alone";
        return Err(Problem::invalid_field("event_types", reason));
    }
    types.sort_unstable_by_key(|event| event.as_str());
    types.dedup();
    Ok(types)
}

impl From<Endpoint> for EndpointBody {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint_id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types,
            status: endpoint.status,
            disabled_reason: endpoint.disabled_reason,
            failing_since: endpoint.failing_since,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

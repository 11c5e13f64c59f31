#![expect(
    unused_qualifications,
    reason = "of the code that utoipa writes for query parameters"
)]

use actix_web::{HttpResponse, web};
use chrono::{DateTime, TimeDelta, Utc};
use ferrocart_http_kit::{Caller, PageQuery, Problem, ProblemBody, Query, Role, encode_cursor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::internal::optional;
use crate::app::Payments;
use crate::error::PaymentError;
use crate::provider::Window;
use crate::store::reconciliation::{Difference, Run};

/// When nothing is said: as long as an authorization holds, and a day.
const WINDOW_DEFAULT: TimeDelta = TimeDelta::days(8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DifferenceFilter {
    Open,
    All,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReconciliationQuery {
    /// `open` by default; `all` has those as well that were repaired or are gone.
    state: Option<DifferenceFilter>,
    /// How many items at most: 1 to 100, 20 by default.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReconciliationBody {
    /// From when on; eight days before `until` by default.
    #[serde(default)]
    from: Option<DateTime<Utc>>,
    /// Until when; now by default.
    #[serde(default)]
    until: Option<DateTime<Utc>>,
}

/// A comparison of our books with the provider's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    run_id: Uuid,
    /// INTENTS, REFUNDS, OURS, OPEN or DONE.
    phase: &'static str,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    checked: i64,
    differences: i64,
    repaired: i64,
    started_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DifferenceView {
    difference_id: Uuid,
    /// MISSING_AT_PROVIDER, MISSING_HERE, DUPLICATE_INTENT, AMOUNT_DIFFERS or STATE_DIFFERS.
    kind: String,
    provider_intent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    ours: String,
    theirs: String,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    /// When what the provider says was taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired_at: Option<DateTime<Utc>>,
    /// When a run did not find it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReconciliationView {
    /// The newest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunView>,
    items: Vec<DifferenceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What differs between our books and the provider's.
#[utoipa::path(
    get,
    path = "/v1/admin/payments/reconciliation", operation_id = "read_reconciliation",
    tag = "admin",
    params(ReconciliationQuery),
    responses(
        (status = 200, body = ReconciliationView),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR"),
        (status = 401, body = ProblemBody, description = "UNAUTHENTICATED"),
        (status = 403, body = ProblemBody, description = "FORBIDDEN"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn report(
    caller: Caller,
    query: Query<ReconciliationQuery>,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Support, Role::Admin])?;
    let ReconciliationQuery { state, limit, cursor } = query.0;
    let page = PageQuery { limit, cursor };
    let (limit, after) = (page.limit()?, page.after::<Uuid>()?);
    let only_open = state != Some(DifferenceFilter::All);
    let (run, mut items) = payments
        .reconciliation(only_open, after, i64::from(limit) + 1)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(|last| encode_cursor(&last.id))
    });
    Ok(HttpResponse::Ok().json(ReconciliationView {
        run: run.map(RunView::from),
        items: items.into_iter().map(DifferenceView::from).collect(),
        next_cursor: next_cursor.flatten(),
    }))
}

/// Compares now. One run at a time; what can be repaired safely is.
#[utoipa::path(
    post,
    path = "/v1/admin/payments/reconciliation", operation_id = "start_reconciliation",
    tag = "admin",
    request_body = ReconciliationBody,
    responses(
        (status = 202, body = RunView),
        (status = 400, body = ProblemBody, description = "VALIDATION_ERROR"),
        (status = 401, body = ProblemBody, description = "UNAUTHENTICATED"),
        (status = 403, body = ProblemBody, description = "FORBIDDEN"),
        (status = 409, body = ProblemBody, description = "RECONCILIATION_RUNNING"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")
    ),
    security(("bearer" = []))
)]
pub(crate) async fn start(
    caller: Caller,
    body: web::Bytes,
    payments: web::Data<Payments>,
) -> Result<HttpResponse, PaymentError> {
    caller.require_any(&[Role::Admin])?;
    let by = caller.user()?.user_id;
    let ReconciliationBody { from, until } = optional(&body)?;
    let until = until.unwrap_or_else(|| payments.clock.now());
    let from = from.unwrap_or(until - WINDOW_DEFAULT);
    if from > until {
        return Err(Problem::invalid_field("from", "must not be after until").into());
    }
    let run = payments.ask_to_reconcile(by, Window { from, until }).await?;
    Ok(HttpResponse::Accepted().json(RunView::from(run)))
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.id,
            phase: run.phase.as_str(),
            from: run.window_from,
            until: run.window_until,
            checked: run.checked,
            differences: run.differences,
            repaired: run.repaired,
            started_at: run.started_at,
            finished_at: run.finished_at,
        }
    }
}

impl From<Difference> for DifferenceView {
    fn from(difference: Difference) -> Self {
        Self {
            difference_id: difference.id,
            kind: difference.kind,
            provider_intent: difference.intent.0,
            payment_id: difference.payment_id,
            order_id: difference.order_id,
            ours: difference.ours,
            theirs: difference.theirs,
            first_seen_at: difference.first_seen_at,
            last_seen_at: difference.last_seen_at,
            repaired_at: difference.repaired_at,
            gone_at: difference.gone_at,
        }
    }
}

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use ferrocart_http_kit::{Caller, ProblemBody};
use ferrocart_types::SkuId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admission::Look;
use crate::error::ServiceError;
use crate::routes::{AppState, STOCK_INSPECTORS, parse_sku, require_visible};

/// What the records of one SKU say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DriftDto {
    #[schema(value_type = String, format = "uuid")]
    sku_id: SkuId,
    on_hand: OnHandDto,
    reserved: ReservedDto,
    version: VersionDto,
    /// The counter in Redis that turns buyers away when nothing is left, for SKUs that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    counter: Option<CounterDto>,
    /// Whether they agree.
    in_order: bool,
    /// What differs, for a person.
    explanation: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct OnHandDto {
    /// The counter.
    row: i64,
    /// The sum of the ledger.
    ledger: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct ReservedDto {
    /// The counter.
    row: i64,
    /// The units of all open reservations.
    reservations: i64,
    /// The sum of the ledger.
    ledger: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct VersionDto {
    row: i64,
    /// The newest in the ledger; not above the row's.
    ledger: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct CounterDto {
    /// Over so many keys it is spread.
    shards: u16,
    /// Whether it is in use; otherwise the database decides alone.
    ready: bool,
    /// Units that may still be admitted. Not there when the counter cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<i64>,
    /// Units that were admitted and are not yet known to be sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<i64>,
    /// What it says, for a person.
    explanation: String,
    /// Whether it agrees with the table; false also while something is under way.
    in_order: bool,
}

impl From<Look> for CounterDto {
    fn from(look: Look) -> Self {
        Self {
            shards: look.shards,
            ready: look.ready,
            available: look.sums.map(|sums| sums.available),
            in_flight: look.sums.map(|sums| sums.in_flight),
            explanation: look.explanation,
            in_order: look.in_order,
        }
    }
}

/// Whether counters, reservations and ledger of a SKU agree
///
/// All of one moment. What differs is repaired by the service itself, unless that is switched off.
#[utoipa::path(get, path = "/v1/inventory/{sku_id}/drift", tag = "inventory",
    security(("bearer" = [])),
    params(("sku_id" = String, Path, description = "The SKU")),
    responses((status = 200, body = DriftDto),
        (status = 400, body = ProblemBody, description = "INVALID_PRODUCT_ID"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "FORBIDDEN: another merchant's"),
        (status = 404, body = ProblemBody, description = "PRODUCT_NOT_FOUND"),
        (status = 503, body = ProblemBody, description = "DEPENDENCY_UNAVAILABLE")))]
pub(crate) async fn read_drift(
    caller: Caller,
    state: Data<AppState>,
    path: Path<String>,
) -> Result<HttpResponse, ServiceError> {
    caller.require_any(&STOCK_INSPECTORS)?;
    let sku = parse_sku("sku_id", &path)?;
    require_visible(&caller, &state, sku).await?;
    let report = state.drift.report(sku).await?;
    let report = report.ok_or_else(|| ServiceError::ProductNotFound(vec![sku]))?;
    let standing = report.standing;
    let counter = state.admission.look(sku).await.map(CounterDto::from);
    Ok(HttpResponse::Ok().json(DriftDto {
        sku_id: sku,
        on_hand: OnHandDto {
            row: standing.row.on_hand,
            ledger: standing.ledger.on_hand,
        },
        reserved: ReservedDto {
            row: standing.row.reserved,
            reservations: standing.open,
            ledger: standing.ledger.reserved,
        },
        version: VersionDto {
            row: standing.row.version,
            ledger: standing.ledger.version,
        },
        counter,
        in_order: standing.in_order(),
        explanation: report.explanation,
    }))
}

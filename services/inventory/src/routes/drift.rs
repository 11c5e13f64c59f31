use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use ferrocart_http_kit::{Caller, ProblemBody};
use ferrocart_types::SkuId;
use serde::Serialize;
use utoipa::ToSchema;

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
        in_order: standing.in_order(),
        explanation: report.explanation,
    }))
}

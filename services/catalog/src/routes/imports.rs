//! How far imports have come.

use actix_web::{HttpResponse, web};
use ferrocart_http_kit::{Caller, Page, PageQuery, ProblemBody, Query, encode_cursor, parse_id};
use ferrocart_types::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::headers::PRIVATE;
use crate::app::Catalog;
use crate::domain::{Format, Import, ImportId};
use crate::error::CatalogError;
use crate::store;
use crate::store::imports::LineErrors;

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ImportStatus {
    /// It can be gone on with.
    Open,
    /// Its last line is done.
    Complete,
}

/// An import as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Import)]
pub(crate) struct ImportView {
    import_id: ImportId,
    format: Format,
    status: ImportStatus,
    /// All lines up to this one are saved or have failed, for good.
    lines_done: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last came further.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
}

impl From<Import> for ImportView {
    fn from(import: Import) -> Self {
        Self {
            import_id: import.id,
            format: import.format,
            status: match import.completed_at {
                None => ImportStatus::Open,
                Some(_) => ImportStatus::Complete,
            },
            lines_done: import.done.line,
            created: import.counts.created,
            updated: import.counts.updated,
            unchanged: import.counts.unchanged,
            failed: import.counts.failed,
            created_at: import.created_at,
            updated_at: import.updated_at,
            completed_at: import.completed_at,
        }
    }
}

/// How far an import has come
///
/// Remembered for 30 days after it last came further.
#[utoipa::path(get, path = "/v1/imports/{import_id}", operation_id = "read_import", tag = "catalog", security(("bearer" = [])),
    params(("import_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = ImportView),
        (status = 400, description = "INVALID_IMPORT_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "IMPORT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
) -> Result<HttpResponse, CatalogError> {
    let import = own(&caller, &catalog, &path).await?;
    Ok(HttpResponse::Ok()
        .insert_header(PRIVATE)
        .json(ImportView::from(import)))
}

/// The lines of an import that failed
///
/// In their order; the first 10,000 are remembered.
#[utoipa::path(get, path = "/v1/imports/{import_id}/errors", operation_id = "list_import_errors", tag = "catalog", security(("bearer" = [])),
    params(("import_id" = uuid::Uuid, Path), PageQuery),
    responses(
        (status = 200, body = Page<LineErrors>),
        (status = 400, description = "VALIDATION_ERROR, INVALID_IMPORT_ID", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "IMPORT_NOT_FOUND", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "DEPENDENCY_UNAVAILABLE", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn errors(
    caller: Caller,
    catalog: web::Data<Catalog>,
    path: web::Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, CatalogError> {
    let limit = query.0.limit()?;
    let after: i64 = query.0.after()?.unwrap_or(0);
    let import = own(&caller, &catalog, &path).await?;
    let key = (caller.user()?.user_id, import.id);
    let mut items = store::imports::errors(&catalog.pool, key, after, i64::from(limit) + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|last| encode_cursor(&last.line));
    Ok(HttpResponse::Ok()
        .insert_header(PRIVATE)
        .json(Page { items, next_cursor }))
}

async fn own(caller: &Caller, catalog: &Catalog, path: &str) -> Result<Import, CatalogError> {
    let merchant = super::editor(caller)?.user_id;
    let id = parse_id(path)?;
    store::imports::by_id(&catalog.pool, merchant, id)
        .await?
        .ok_or(CatalogError::ImportNotFound)
}

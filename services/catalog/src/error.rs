//! Every way in which a request can fail, and the problem it is answered with.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use ferrocart_http_kit::{FieldError, Problem};
use ferrocart_pg_kit::StoreError;
use ferrocart_types::ReviewId;

use crate::domain::{CATEGORIES_MAX, DEPTH_MAX, Format, Refusal};

#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("{0}")]
    Problem(Problem),
    #[error("there is no such product")]
    ProductNotFound,
    #[error("there is no such category")]
    CategoryNotFound,
    #[error("there is no category with this parent_id")]
    ParentNotFound,
    #[error("there is a category with this slug")]
    CategoryExists,
    #[error("the tree of categories has at most {CATEGORIES_MAX} of them on {DEPTH_MAX} levels")]
    TreeTooLarge,
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the content is not valid")]
    Invalid(Vec<FieldError>),
    #[error("the product belongs to another merchant")]
    NotOwner,
    #[error("the product has changed meanwhile: its version is {version}")]
    VersionMismatch { version: i64 },
    #[error("only customers to whom an order with this product was delivered may review it")]
    ReviewNotAllowed,
    #[error("you have reviewed this product")]
    ReviewExists { review_id: Option<ReviewId> },
    #[error("there is no such review, or it is not yours")]
    ReviewNotFound,
    #[error("your own review is not yours to vote for")]
    OwnReview,
    #[error("as many imports as may run at once are running")]
    ImportsBusy,
    #[error("as many exports as may run at once are running")]
    ExportsBusy,
    #[error("there is no such import, or it is not yours")]
    ImportNotFound,
    #[error("the import was begun with a body of {}", .format.media_type())]
    ImportFormat { format: Format },
    #[error(
        "{lines_done} lines of the import are done: it goes on with the line after them, if it is not complete, or is sent again from line 1"
    )]
    ImportPosition { lines_done: u64 },
    #[error("another request goes on with this import")]
    ImportTakenOver,
    #[error("no format of the export is acceptable")]
    NotAcceptable,
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// No store answered in time, and nothing stale is there to be served.
    #[error("the catalog's stores do not answer")]
    Unavailable,
}

impl From<Problem> for CatalogError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl CatalogError {
    pub(crate) fn problem(&self) -> Problem {
        let text = self.to_string();
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::ProductNotFound => Problem::not_found("PRODUCT_NOT_FOUND", text),
            Self::CategoryNotFound => Problem::not_found("CATEGORY_NOT_FOUND", text),
            Self::ParentNotFound => Problem::invalid_field("parent_id", text),
            Self::CategoryExists => {
                Problem::conflict("CATEGORY_EXISTS", text).field("slug", "stands there already")
            }
            Self::TreeTooLarge => Problem::conflict("CATEGORY_LIMIT", text),
            Self::Refused(refusal) => refused(refusal),
            Self::Invalid(errors) => invalid(errors),
            Self::NotOwner | Self::OwnReview => Problem::forbidden(text),
            Self::VersionMismatch { version } => {
                Problem::new(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", text)
                    .with("version", version)
            }
            Self::ReviewNotAllowed => Problem::new(StatusCode::FORBIDDEN, "REVIEW_NOT_ALLOWED", text),
            Self::ReviewExists { review_id } => {
                Problem::conflict("REVIEW_EXISTS", text).with("review_id", review_id)
            }
            Self::ReviewNotFound => Problem::not_found("REVIEW_NOT_FOUND", text),
            Self::ImportsBusy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "IMPORTS_BUSY", text)
                .retry_after(Duration::from_secs(5)),
            Self::ExportsBusy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "EXPORTS_BUSY", text)
                .retry_after(Duration::from_secs(5)),
            Self::ImportNotFound => Problem::not_found("IMPORT_NOT_FOUND", text),
            Self::ImportFormat { format } => {
                Problem::conflict("IMPORT_MISMATCH", text).with("format", format.as_str())
            }
            Self::ImportPosition { lines_done } => {
                Problem::conflict("IMPORT_MISMATCH", text).with("lines_done", lines_done)
            }
            Self::ImportTakenOver => Problem::conflict("IMPORT_TAKEN_OVER", text),
            Self::NotAcceptable => Problem::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", text),
            Self::Store(error) if error.is_unavailable() => {
                Problem::unavailable("the catalog's database", Duration::from_secs(1))
            }
            Self::Store(_) => Problem::internal(),
            Self::Unavailable => Problem::unavailable("the catalog's database", Duration::from_secs(1)),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let text = refusal.to_string();
    let fields = refused_fields(refusal);
    match refusal {
        Refusal::UnknownCategory { .. } | Refusal::Attributes { .. } => invalid(&fields),
        Refusal::HandleTaken { .. } => Problem::conflict("HANDLE_EXISTS", text).fields(fields),
        Refusal::SkuTaken { .. } => Problem::conflict("SKU_EXISTS", text).fields(fields),
    }
}

pub(crate) fn refused_fields(refusal: &Refusal) -> Vec<FieldError> {
    let faults = refusal.faults().into_iter();
    faults
        .map(|(field, reason)| FieldError { field, reason })
        .collect()
}

fn invalid(errors: &[FieldError]) -> Problem {
    let detail = errors.first().map_or_else(
        || "the content is not valid".to_owned(),
        |first| format!("{}: {}", first.field, first.reason),
    );
    Problem::bad_request("VALIDATION_ERROR", detail).fields(errors.to_vec())
}

/// garde's findings as the API tells them.
pub(crate) fn field_errors(report: &garde::Report) -> Vec<FieldError> {
    report
        .iter()
        .map(|(path, error)| FieldError {
            field: path.to_string(),
            reason: error.message().to_owned(),
        })
        .collect()
}

impl ResponseError for CatalogError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.problem();
        if problem.status().is_server_error() {
            tracing::error!(
                error = cause_chain(self),
                problem.code = problem.code(),
                "the request failed"
            );
        }
        problem.error_response()
    }
}

/// The error with all its causes.
pub(crate) fn cause_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

//! The bulk import: NDJSON in, NDJSON out, both streamed. Lines are read only as fast as their answers
//! are taken, so that an import of any length costs the memory of one chunk. A client must therefore
//! read while it sends.

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use ferrocart_http_kit::{Caller, FieldError, Problem, ProblemBody};
use ferrocart_types::UserId;
use futures::StreamExt;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument, Span};

use super::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::app::Catalog;
use crate::app::import::{Chunk, LineResult, Summary, parse, save_chunk};
use crate::domain::Content;
use crate::error::CatalogError;

const NDJSON: &str = "application/x-ndjson";

/// Import products
///
/// A product as `POST /v1/products` takes it on every line. Each is created, or updated where the
/// merchant has one with this handle; a SKU keeps its `sku_id`. The answer has a line for each line and
/// ends with a summary.
#[utoipa::path(post, path = "/v1/products:import", operation_id = "import_products", tag = "catalog", security(("bearer" = [])),
    request_body(content = Content, content_type = "application/x-ndjson", description = "One product a line, at most 256 KiB each"),
    responses(
        (status = 200, body = LineResult, content_type = "application/x-ndjson",
            description = "One result a line; the last line is `{\"summary\": {...}}`"),
        (status = 403, description = "FORBIDDEN", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "IMPORTS_BUSY", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn import(
    caller: Caller,
    request: HttpRequest,
    catalog: web::Data<Catalog>,
    payload: web::Payload,
) -> Result<HttpResponse, CatalogError> {
    let merchant = super::editor(&caller)?.user_id;
    require_ndjson(&request)?;
    let permit = catalog
        .imports
        .clone()
        .try_acquire_owned()
        .map_err(|_| CatalogError::ImportsBusy)?;
    let import = Import {
        catalog: catalog.get_ref().clone(),
        merchant,
        payload: Some(payload),
        lines: Lines::default(),
        line: 0,
        carried: None,
        summary: Summary::default(),
        stage: Stage::Lines,
        _permit: permit,
    };
    // The answer is written after this handler has returned; its events belong to this request's trace.
    let span = Span::current();
    let answer = futures::stream::unfold(import, move |mut import| {
        let span = span.clone();
        async move {
            let piece = import.next_piece().await?;
            Some((Ok::<Bytes, PayloadError>(piece), import))
        }
        .instrument(span)
    });
    Ok(HttpResponse::Ok().content_type(NDJSON).streaming(answer))
}

fn require_ndjson(request: &HttpRequest) -> Result<(), Problem> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(NDJSON)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        format!("a body with content-type {NDJSON} is expected"),
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Lines,
    Summary,
    Done,
}

/// A product that was read and did not fit into the chunk before.
type Carried = (u64, Content, usize);

struct Import {
    catalog: Catalog,
    merchant: UserId,
    /// Gone when it has been read to its end.
    payload: Option<web::Payload>,
    lines: Lines,
    line: u64,
    carried: Option<Carried>,
    summary: Summary,
    stage: Stage,
    _permit: OwnedSemaphorePermit,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    summary: &'a Summary,
}

impl Import {
    /// The next piece of the answer.
    async fn next_piece(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Lines => {
                let chunk = self.next_chunk().await;
                if chunk.is_empty() {
                    return Some(self.end());
                }
                let (results, aborted) = save_chunk(&self.catalog, self.merchant, chunk).await;
                self.summary.count(&results);
                if aborted.is_some() {
                    self.summary.aborted = aborted;
                }
                if self.summary.aborted.is_some() {
                    self.stage = Stage::Summary;
                }
                Some(ndjson(&results))
            }
            Stage::Summary => Some(self.end()),
            Stage::Done => None,
        }
    }

    fn end(&mut self) -> Bytes {
        self.stage = Stage::Done;
        ndjson(&[SummaryLine {
            summary: &self.summary,
        }])
    }

    /// Reads until a chunk is full or the body ends; an empty one is the end.
    async fn next_chunk(&mut self) -> Chunk {
        let mut chunk = Chunk::default();
        if let Some((line, content, bytes)) = self.carried.take() {
            chunk.add(line, content, bytes);
        }
        while !chunk.is_full(0) {
            let Some(read) = self.next_line().await else { break };
            self.line += 1;
            let bytes = match read {
                Line::Whole(bytes) => bytes,
                Line::TooLong => {
                    let reason = format!("is longer than {LINE_BYTES_MAX} bytes");
                    chunk.add_failed(LineResult::failed(self.line, fault(reason)));
                    continue;
                }
            };
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            match parse(&bytes) {
                Ok(content) if chunk.must_be_saved_before(&content, bytes.len()) => {
                    self.carried = Some((self.line, content, bytes.len()));
                    break;
                }
                Ok(content) => chunk.add(self.line, content, bytes.len()),
                Err(errors) => chunk.add_failed(LineResult::failed(self.line, errors)),
            }
        }
        chunk
    }

    async fn next_line(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.lines.next() {
                return Some(line);
            }
            let payload = self.payload.as_mut()?;
            let aborted = match tokio::time::timeout(self.catalog.import_idle_timeout, payload.next()).await {
                Ok(Some(Ok(piece))) => {
                    self.lines.push(&piece);
                    continue;
                }
                Ok(None) => {
                    self.payload = None;
                    return self.lines.finish();
                }
                Ok(Some(Err(error))) => format!("the body could not be read to its end: {error}"),
                Err(_) => "the rest of the body did not come in time".to_owned(),
            };
            // The line that was cut is not imported: it may be valid JSON and yet not what was meant.
            self.payload = None;
            self.summary.aborted = Some(aborted);
            return None;
        }
    }
}

fn fault(reason: String) -> Vec<FieldError> {
    vec![FieldError {
        field: "line".to_owned(),
        reason,
    }]
}

fn ndjson<T: Serialize>(items: &[T]) -> Bytes {
    let mut body = BytesMut::new();
    for item in items {
        match serde_json::to_vec(item) {
            Ok(line) => body.put_slice(&line),
            Err(error) => tracing::error!(%error, "an answer could not be written"),
        }
        body.put_u8(b'\n');
    }
    body.freeze()
}

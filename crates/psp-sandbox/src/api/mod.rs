//! The HTTP side: parsing, answering, and the sandbox's own pages.

pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod error;
pub(crate) mod form;
pub(crate) mod publishable;
pub(crate) mod read;
pub(crate) mod stripe;
pub(crate) mod three_ds;
pub(crate) mod view;

use crate::faults::Faults;
use crate::ledger::Ledger;
use crate::webhook::Outbox;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use error::ApiError;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct App {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) faults: Faults,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) api_key: String,
    pub(crate) publishable_key: String,
    /// Tells requests that are held up that the process ends.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Part of every request id, so that they differ from run to run.
    pub(crate) run: u32,
    pub(crate) requests: AtomicU64,
}

/// Whose key a request bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The secret key's owner may do everything.
    Shop,
    /// The publishable key is everybody's; what it may do the client secret of an intent tells.
    Customer,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .route("/sandbox/faults", web::get().to(control::faults))
        .route("/sandbox/faults", web::post().to(control::change_faults))
        .route("/sandbox/ledger", web::get().to(control::ledger))
        .route("/sandbox/tamper", web::post().to(control::tamper))
        .route("/sandbox/3ds/{id}", web::get().to(three_ds::page))
        .route("/sandbox/3ds/{id}", web::post().to(three_ds::decide))
        .default_service(web::to(stripe::serve));
}

impl App {
    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("req_{:08x}{number:06x}", self.run)
    }

    /// Bearer, or Basic with the key as the user, as Stripe takes both.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Who, ApiError> {
        let Some(given) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return Err(ApiError::unauthorized(
                "You did not provide an API key. Send it as `Authorization: Bearer YOUR_SECRET_KEY`.",
            ));
        };
        let key = match given.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key.trim().to_owned()),
            Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => basic_user(pair.trim()),
            _ => None,
        };
        match key {
            Some(key) if bool::from(key.as_bytes().ct_eq(self.api_key.as_bytes())) => Ok(Who::Shop),
            Some(key) if key == self.publishable_key => Ok(Who::Customer),
            _ => Err(ApiError::unauthorized("Invalid API Key provided.")),
        }
    }

    fn authenticate_shop(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self.authenticate(headers)? {
            Who::Shop => Ok(()),
            Who::Customer => Err(ApiError::secret_key_required()),
        }
    }

    /// Waits, but not beyond the end of the process.
    async fn hold(&self, at_most: Duration) {
        tokio::select! {
            () = tokio::time::sleep(at_most) => {}
            () = self.end() => {}
        }
    }

    /// The end of the process. A sender that is gone is the end as well.
    async fn end(&self) {
        let mut stopping = self.stopping.clone();
        if let Err(gone) = stopping.wait_for(|stopping| *stopping).await {
            tracing::debug!(%gone, "dropped while running");
        }
    }
}

fn basic_user(pair: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(pair).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(
        text.split_once(':')
            .map_or(text.clone(), |(user, _)| user.to_owned()),
    )
}

/// The connection below a request, kept to be able to close it without an answer.
pub(crate) struct Wire(pub(crate) TcpStream);

/// The client sees its connection closed; what this answers goes nowhere.
fn hang_up(request: &HttpRequest) -> HttpResponse {
    if let Some(Wire(stream)) = request.conn_data::<Wire>()
        && let Err(error) = stream.shutdown(Shutdown::Both)
    {
        // The client was faster.
        tracing::debug!(%error, "the connection was closed already");
    }
    HttpResponse::InternalServerError().force_close().finish()
}

fn problem(error: &ApiError) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(error.status);
    HttpResponse::build(status.unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR))
        .json(error.to_json())
}

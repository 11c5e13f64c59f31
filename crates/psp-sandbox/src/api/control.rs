//! `/sandbox`: faults on demand, and the ledger for those who check it.

use super::call::{Tampering, Write};
use super::error::ApiError;
use super::{App, problem};
use crate::faults::Change;
use crate::ledger::Ledger;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows a chunk: what is rendered under one hold of the ledger's lock.
const CHUNK_ROWS: usize = 200;

fn state(app: &App) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "faults": app.faults.state(),
        "webhooks_waiting": app.outbox.waiting(),
        "served": app.faults.served(),
    }))
}

pub(crate) async fn faults(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    match app.authenticate_shop(request.headers()) {
        Ok(()) => state(&app),
        Err(error) => problem(&error),
    }
}

pub(crate) async fn change_faults(request: HttpRequest, body: Bytes, app: web::Data<App>) -> HttpResponse {
    let changed = app.authenticate_shop(request.headers()).and_then(|()| {
        let change: Change = serde_json::from_slice(&body)
            .map_err(|error| ApiError::malformed(&format!("Not a change of faults: {error}")))?;
        app.faults.change(&change)
    });
    match changed {
        Ok(_) => {
            tracing::info!(faults = ?app.faults.state(), "faults changed");
            state(&app)
        }
        Err(error) => problem(&error),
    }
}

/// The intent, and what is to be set in its books.
#[derive(Debug, Deserialize)]
struct Tamper {
    intent: String,
    with: Tampering,
}

pub(crate) async fn tamper(request: HttpRequest, body: Bytes, app: web::Data<App>) -> HttpResponse {
    let tampered = app.authenticate_shop(request.headers()).and_then(|()| {
        let Tamper { intent, with } = serde_json::from_slice(&body)
            .map_err(|error| ApiError::malformed(&format!("Not a tampering: {error}")))?;
        app.ledger
            .begin(Write::Tamper { id: intent, with }, None, false, "tamper")
    });
    match tampered {
        Ok(_) => HttpResponse::NoContent().finish(),
        Err(error) => problem(&error),
    }
}

/// Which table a chunk comes from, and the first row.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    Head,
    Intents(usize),
    Charges(usize),
    Refunds(usize),
    End,
}

/// All intents, charges and refunds, one object a line, behind a line with their numbers. Every
/// object is consistent in itself; the whole is, if nothing is written meanwhile.
pub(crate) async fn ledger(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    if let Err(error) = app.authenticate_shop(request.headers()) {
        return problem(&error);
    }
    let ledger = Arc::clone(&app.ledger);
    let lines = stream::unfold(Cursor::Head, move |cursor| {
        let ledger = Arc::clone(&ledger);
        async move {
            let (chunk, end, next) = chunk(&ledger, cursor)?;
            let chunk = match ledger.journal.durable(end).await {
                Ok(()) => Ok(Bytes::from(chunk)),
                Err(error) => Err(std::io::Error::other(error)),
            };
            Some((chunk, next))
        }
    });
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(lines)
}

fn chunk(ledger: &Ledger, cursor: Cursor) -> Option<(String, u64, Cursor)> {
    let tables = ledger.tables();
    let viewer = ledger.viewer();
    let (text, next) = match cursor {
        Cursor::Head => {
            let head = json!({
                "object": "sandbox.ledger",
                "payment_intents": tables.intents.rows().len(),
                "charges": tables.charges.rows().len(),
                "refunds": tables.refunds.rows().len(),
            });
            (format!("{head}\n"), Cursor::Intents(0))
        }
        Cursor::Intents(from) => {
            let (text, next) = lines(tables.intents.rows(), from, |row| viewer.intent(row, None));
            (text, next.map_or(Cursor::Charges(0), Cursor::Intents))
        }
        Cursor::Charges(from) => {
            let (text, next) = lines(tables.charges.rows(), from, |row| viewer.charge(row));
            (text, next.map_or(Cursor::Refunds(0), Cursor::Charges))
        }
        Cursor::Refunds(from) => {
            let (text, next) = lines(tables.refunds.rows(), from, |row| viewer.refund(row));
            (text, next.map_or(Cursor::End, Cursor::Refunds))
        }
        Cursor::End => return None,
    };
    Some((text, ledger.journal.end(), next))
}

fn lines<T>(rows: &[T], from: usize, view: impl Fn(&T) -> Value) -> (String, Option<usize>) {
    let mut text = String::new();
    for row in rows.iter().skip(from).take(CHUNK_ROWS) {
        text.push_str(&view(row).to_string());
        text.push('\n');
    }
    let next = from + CHUNK_ROWS;
    (text, (next < rows.len()).then_some(next))
}

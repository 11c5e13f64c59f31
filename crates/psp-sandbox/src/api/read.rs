//! The reading half of the API. What is answered is on disk first, like everything else.

use super::call::{Page, Read, Search};
use super::error::ApiError;
use crate::domain::intent::Intent;
use crate::ledger::Ledger;
use crate::ledger::tables::{Event, Tables};
use serde_json::{Value, json};

/// What the lock gave: a text, or events whose texts are in the journal.
enum Found {
    Text(String),
    Event(Event),
    Events { events: Vec<Event>, more: bool },
}

pub(crate) async fn read(ledger: &Ledger, call: Read, expand: bool) -> Result<String, ApiError> {
    let (found, end) = {
        let tables = ledger.tables();
        (find(ledger, &tables, call, expand)?, ledger.journal.end())
    };
    ledger.journal.durable(end).await?;
    match found {
        Found::Text(text) => Ok(text),
        Found::Event(event) => Ok(ledger.journal.read(event.body).await?),
        Found::Events { events, more } => {
            let mut texts = Vec::with_capacity(events.len());
            for event in events {
                texts.push(ledger.journal.read(event.body).await?);
            }
            let data = texts.join(",");
            Ok(format!(
                r#"{{"object":"list","data":[{data}],"has_more":{more},"url":"/v1/events"}}"#
            ))
        }
    }
}

fn find(ledger: &Ledger, tables: &Tables, call: Read, expand: bool) -> Result<Found, ApiError> {
    let viewer = ledger.viewer();
    let one = |value: Option<Value>, what: &str, id: &str| {
        value
            .map(|value| value.to_string())
            .ok_or_else(|| ApiError::missing(what, id, "id"))
    };
    let text = match call {
        Read::Intent(id) => {
            let intent = tables.intents.get(&id);
            let view = intent.map(|intent| intent_view(ledger, tables, intent, expand));
            view.map(|view| view.to_string())
                .ok_or_else(|| ApiError::missing("payment_intent", &id, "intent"))?
        }
        Read::Charge(id) => one(
            tables.charges.get(&id).map(|charge| viewer.charge(charge)),
            "charge",
            &id,
        )?,
        Read::Refund(id) => one(
            tables.refunds.get(&id).map(|refund| viewer.refund(refund)),
            "refund",
            &id,
        )?,
        Read::Event(id) => {
            let event = tables
                .event(&id)
                .ok_or_else(|| ApiError::missing("event", &id, "id"))?;
            return Ok(Found::Event(event.clone()));
        }
        Read::Events(page) => {
            let (events, more) = tables.events_page(&page).ok_or_else(|| bad_cursor(&page))?;
            return Ok(Found::Events { events, more });
        }
        Read::Intents(page) => {
            let (rows, more) = tables.intents_page(&page).ok_or_else(|| bad_cursor(&page))?;
            let data = rows
                .into_iter()
                .map(|intent| intent_view(ledger, tables, intent, expand));
            list("/v1/payment_intents", &data.collect::<Vec<_>>(), more)
        }
        Read::Charges(page) => {
            let (rows, more) = tables.charges_page(&page).ok_or_else(|| bad_cursor(&page))?;
            list(
                "/v1/charges",
                &rows
                    .into_iter()
                    .map(|charge| viewer.charge(charge))
                    .collect::<Vec<_>>(),
                more,
            )
        }
        Read::Refunds(page) => {
            let (rows, more) = tables.refunds_page(&page).ok_or_else(|| bad_cursor(&page))?;
            list(
                "/v1/refunds",
                &rows
                    .into_iter()
                    .map(|refund| viewer.refund(refund))
                    .collect::<Vec<_>>(),
                more,
            )
        }
        Read::Search(search) => search_result(ledger, tables, &search, expand)?,
    };
    Ok(Found::Text(text))
}

fn intent_view(ledger: &Ledger, tables: &Tables, intent: &Intent, expand: bool) -> Value {
    let charge = intent
        .latest_charge
        .as_deref()
        .filter(|_| expand)
        .and_then(|id| tables.charges.get(id));
    ledger.viewer().intent(intent, charge)
}

fn list(url: &str, data: &[Value], more: bool) -> String {
    json!({ "object": "list", "data": data, "has_more": more, "url": url }).to_string()
}

fn search_result(
    ledger: &Ledger,
    tables: &Tables,
    search: &Search,
    expand: bool,
) -> Result<String, ApiError> {
    let (rows, more) = tables
        .search(&search.clauses, search.page.as_deref(), search.limit)
        .ok_or_else(|| ApiError::param_invalid("page", None, "Invalid page."))?;
    let next_page = rows.last().filter(|_| more).map(|intent| intent.id.clone());
    let data: Vec<Value> = rows
        .into_iter()
        .map(|intent| intent_view(ledger, tables, intent, expand))
        .collect();
    let url = "/v1/payment_intents/search";
    let result = json!({
        "object": "search_result", "data": data, "has_more": more, "next_page": next_page, "url": url,
    });
    Ok(result.to_string())
}

fn bad_cursor(page: &Page) -> ApiError {
    let (param, id) = match (&page.starting_after, &page.ending_before) {
        (Some(id), _) => ("starting_after", id.as_str()),
        (None, id) => ("ending_before", id.as_deref().unwrap_or_default()),
    };
    ApiError::no_such(
        format!("No such object: '{}'", id.chars().take(64).collect::<String>()),
        param,
    )
}

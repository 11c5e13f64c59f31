//! What a request asks for: parsed at the edge, once.

use super::error::ApiError;
use super::form::Form;
use crate::domain::charge::{Charge, ChargeState};
use crate::domain::intent::{CancelReason, CaptureMethod, Intent, IntentState};
use crate::domain::method::Method;
use crate::domain::money::{Amount, Currency};
use crate::domain::refund::RefundReason;
use serde::Deserialize;
use std::collections::BTreeMap;

const LIMIT_MAX: i64 = 100;
const LIMIT_DEFAULT: i64 = 10;
const SEARCH_CLAUSES_MAX: usize = 10;

#[derive(Debug)]
pub(crate) enum Write {
    Create(Box<CreateIntent>),
    Confirm {
        id: String,
        with: Confirmation,
    },
    Capture {
        id: String,
        amount: Option<Amount>,
    },
    Cancel {
        id: String,
        reason: Option<CancelReason>,
    },
    Refund(Box<CreateRefund>),
    /// The customer's answer on the 3-D Secure page.
    Authenticate {
        id: String,
        approved: bool,
    },
    /// Time has come for an authorization.
    Expire {
        id: String,
    },
    /// Something that no provider should do, for those who look for it.
    Tamper {
        id: String,
        with: Tampering,
    },
}

#[derive(Debug)]
pub(crate) struct CreateIntent {
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) description: Option<String>,
    /// Confirm at once.
    pub(crate) confirm: bool,
    pub(crate) with: Confirmation,
}

#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    pub(crate) method: Option<Method>,
    pub(crate) return_url: Option<String>,
    /// The customer is not there to answer the bank.
    pub(crate) off_session: bool,
}

#[derive(Debug)]
pub(crate) struct CreateRefund {
    pub(crate) of: RefundOf,
    pub(crate) amount: Option<Amount>,
    pub(crate) reason: Option<RefundReason>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// `POST /sandbox/tamper`: what is given is set in the ledger, without an event.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tampering {
    /// What the intent is over.
    amount: Option<Amount>,
    /// What was captured of it.
    captured: Option<Amount>,
}

impl Tampering {
    pub(crate) fn apply(&self, intent: &mut Intent, charge: Option<&mut Charge>) {
        if let Some(amount) = self.amount {
            intent.amount = amount;
        }
        if let Some(received) = self.captured {
            intent.state = IntentState::Succeeded { received };
        }
        let Some(charge) = charge else { return };
        if let Some(amount) = self.amount {
            charge.amount = amount;
        }
        if let Some(captured) = self.captured {
            charge.state = ChargeState::Captured {
                captured,
                refunded: charge.refunded(),
            };
        }
    }
}

#[derive(Debug)]
pub(crate) enum RefundOf {
    Intent(String),
    Charge(String),
}

#[derive(Debug)]
pub(crate) enum Read {
    Intent(String),
    Charge(String),
    Refund(String),
    Event(String),
    Intents(Page),
    Charges(Page),
    Refunds(Page),
    Events(Page),
    Search(Search),
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    pub(crate) starting_after: Option<String>,
    pub(crate) ending_before: Option<String>,
    pub(crate) created_from: i64,
    pub(crate) created_to: i64,
    pub(crate) payment_intent: Option<String>,
    pub(crate) charge: Option<String>,
    pub(crate) kind: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) limit: usize,
    pub(crate) page: Option<String>,
    pub(crate) clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clause {
    Metadata { key: String, value: String },
    Status(String),
}

#[derive(Debug)]
pub(crate) enum Call {
    Write(Write),
    Read(Read),
}

impl Call {
    /// `segments` is the path after `/v1/`. Answers the call and whether to expand `latest_charge`.
    pub(crate) fn parse(method: &str, segments: &[&str], mut form: Form) -> Result<(Self, bool), ApiError> {
        let expand = form.expand()?;
        let call = match (method, segments) {
            ("POST", ["payment_intents"]) => Self::Write(Write::Create(Box::new(create_intent(&mut form)?))),
            ("POST", ["payment_intents", id, "confirm"]) => Self::Write(Write::Confirm {
                id: (*id).to_owned(),
                with: confirmation(&mut form)?,
            }),
            ("POST", ["payment_intents", id, "capture"]) => {
                let amount = form.amount("amount_to_capture")?;
                Self::Write(Write::Capture {
                    id: (*id).to_owned(),
                    amount,
                })
            }
            ("POST", ["payment_intents", id, "cancel"]) => Self::Write(Write::Cancel {
                id: (*id).to_owned(),
                reason: cancel_reason(&mut form)?,
            }),
            ("POST", ["refunds"]) => Self::Write(Write::Refund(Box::new(create_refund(&mut form)?))),
            ("GET", ["payment_intents", "search"]) => Self::Read(Read::Search(search(&mut form)?)),
            ("GET", ["payment_intents"]) => Self::Read(Read::Intents(page(&mut form)?)),
            ("GET", ["charges"]) => Self::Read(Read::Charges(page(&mut form)?)),
            ("GET", ["refunds"]) => Self::Read(Read::Refunds(page(&mut form)?)),
            ("GET", ["events"]) => Self::Read(Read::Events(page(&mut form)?)),
            ("GET", ["payment_intents", id]) => {
                form.ignore("client_secret");
                Self::Read(Read::Intent((*id).to_owned()))
            }
            ("GET", ["charges", id]) => Self::Read(Read::Charge((*id).to_owned())),
            ("GET", ["refunds", id]) => Self::Read(Read::Refund((*id).to_owned())),
            ("GET", ["events", id]) => Self::Read(Read::Event((*id).to_owned())),
            _ => {
                return Err(ApiError::unknown_route(
                    method,
                    &format!("/v1/{}", segments.join("/")),
                ));
            }
        };
        form.finish()?;
        Ok((call, expand))
    }
}

fn choice<T>(form: &mut Form, name: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, ApiError> {
    let Some(text) = form.text(name)? else {
        return Ok(None);
    };
    let bad = || ApiError::param_invalid(name, None, format!("Invalid {name}."));
    parse(&text).map(Some).ok_or_else(bad)
}

fn cancel_reason(form: &mut Form) -> Result<Option<CancelReason>, ApiError> {
    choice(form, "cancellation_reason", CancelReason::parse)
}

fn capture_method(text: &str) -> Option<CaptureMethod> {
    match text {
        "automatic" => Some(CaptureMethod::Automatic),
        "automatic_async" => Some(CaptureMethod::AutomaticAsync),
        "manual" => Some(CaptureMethod::Manual),
        _ => None,
    }
}

fn create_intent(form: &mut Form) -> Result<CreateIntent, ApiError> {
    let amount = form
        .amount("amount")?
        .ok_or_else(|| ApiError::param_missing("amount"))?;
    let currency = Currency::parse(&form.required("currency")?)
        .map_err(|error| ApiError::param_invalid("currency", None, error.to_string()))?;
    if amount.minor() < currency.minimum() {
        let message = format!(
            "Amount must be at least {} {}.",
            currency.minimum(),
            currency.as_str()
        );
        return Err(ApiError::param_invalid(
            "amount",
            Some("amount_too_small"),
            message,
        ));
    }
    let capture_method = choice(form, "capture_method", capture_method)?;
    let confirm = form.flag("confirm")?;
    form.ignore("payment_method_types[");
    form.ignore("automatic_payment_methods[");
    form.ignore("confirmation_method");
    Ok(CreateIntent {
        amount,
        currency,
        capture_method: capture_method.unwrap_or(CaptureMethod::AutomaticAsync),
        metadata: form.metadata()?,
        description: form.text("description")?,
        confirm,
        with: confirmation(form)?,
    })
}

fn confirmation(form: &mut Form) -> Result<Confirmation, ApiError> {
    let method = match form.text("payment_method")? {
        None => None,
        Some(id) => {
            Some(Method::parse(&id).map_err(|error| ApiError::no_such(error.to_string(), "payment_method"))?)
        }
    };
    let off_session = form.flag("off_session")? | form.flag("error_on_requires_action")?;
    form.ignore("use_stripe_sdk");
    Ok(Confirmation {
        method,
        return_url: return_url(form)?,
        off_session,
    })
}

/// Only what a browser may be sent to: no `javascript:` on the 3-D Secure page.
fn return_url(form: &mut Form) -> Result<Option<String>, ApiError> {
    let Some(text) = form.text("return_url")? else {
        return Ok(None);
    };
    match reqwest::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(text)),
        _ => Err(ApiError::param_invalid(
            "return_url",
            Some("url_invalid"),
            "Not a valid URL.",
        )),
    }
}

fn create_refund(form: &mut Form) -> Result<CreateRefund, ApiError> {
    let of = match (form.text("payment_intent")?, form.text("charge")?) {
        (Some(intent), None) => RefundOf::Intent(intent),
        (None, Some(charge)) => RefundOf::Charge(charge),
        (None, None) => return Err(ApiError::param_missing("payment_intent")),
        (Some(_), Some(_)) => {
            let message = "Give payment_intent or charge, not both.";
            return Err(ApiError::param_invalid("charge", None, message));
        }
    };
    Ok(CreateRefund {
        of,
        amount: form.amount("amount")?,
        reason: choice(form, "reason", RefundReason::parse)?,
        metadata: form.metadata()?,
    })
}

fn limit(form: &mut Form) -> Result<usize, ApiError> {
    let limit = form.integer("limit")?.unwrap_or(LIMIT_DEFAULT);
    usize::try_from(limit)
        .ok()
        .filter(|_| (1..=LIMIT_MAX).contains(&limit))
        .ok_or_else(|| ApiError::param_invalid("limit", None, "limit must be between 1 and 100."))
}

fn page(form: &mut Form) -> Result<Page, ApiError> {
    let from = form.integer("created[gte]")?;
    let after = form.integer("created[gt]")?.map(|at| at.saturating_add(1));
    let to = form.integer("created[lte]")?;
    let before = form.integer("created[lt]")?.map(|at| at.saturating_sub(1));
    Ok(Page {
        limit: limit(form)?,
        starting_after: form.text("starting_after")?,
        ending_before: form.text("ending_before")?,
        created_from: from.or(after).unwrap_or(i64::MIN),
        created_to: to.or(before).unwrap_or(i64::MAX),
        payment_intent: form.text("payment_intent")?,
        charge: form.text("charge")?,
        kind: form.text("type")?,
    })
}

fn search(form: &mut Form) -> Result<Search, ApiError> {
    let query = form.required("query")?;
    let clauses = parse_query(&query).ok_or_else(|| {
        let message = "Not understood. Use metadata['key']:'value' and status:'…', joined by AND.";
        ApiError::param_invalid("query", None, message)
    })?;
    Ok(Search {
        limit: limit(form)?,
        page: form.text("page")?,
        clauses,
    })
}

/// `metadata['order_id']:'…' AND status:'…'`, in either kind of quotes.
fn parse_query(query: &str) -> Option<Vec<Clause>> {
    let mut clauses = Vec::new();
    let mut rest = query.trim();
    loop {
        let clause;
        (clause, rest) = parse_clause(rest)?;
        clauses.push(clause);
        if rest.is_empty() {
            return Some(clauses);
        }
        if clauses.len() >= SEARCH_CLAUSES_MAX {
            return None;
        }
        rest = rest
            .strip_prefix("AND")
            .or_else(|| rest.strip_prefix("and"))?
            .trim_start();
    }
}

fn parse_clause(text: &str) -> Option<(Clause, &str)> {
    if let Some(rest) = text.strip_prefix("metadata[") {
        let (key, rest) = quoted(rest)?;
        let (value, rest) = quoted(rest.strip_prefix("]:")?)?;
        return Some((Clause::Metadata { key, value }, rest.trim_start()));
    }
    let (value, rest) = quoted(text.strip_prefix("status:")?)?;
    Some((Clause::Status(value), rest.trim_start()))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let (inside, rest) = text.get(1..)?.split_once(quote)?;
    Some((inside.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_parsed_in_either_quotes() {
        let metadata = Clause::Metadata {
            key: "order_id".to_owned(),
            value: "o 1".to_owned(),
        };
        let status = Clause::Status("canceled".to_owned());
        assert_eq!(
            parse_query("metadata['order_id']:'o 1'"),
            Some(vec![metadata.clone()])
        );
        assert_eq!(
            parse_query("metadata[\"order_id\"]:\"o 1\" AND status:'canceled'"),
            Some(vec![metadata, status])
        );
        for bad in [
            "",
            "status",
            "status:'x",
            "metadata['a']:'b' OR status:'x'",
            "amount>5",
            "é",
        ] {
            assert_eq!(parse_query(bad), None, "{bad}");
        }
    }

    fn parse(body: &str) -> Result<(Call, bool), ApiError> {
        Call::parse(
            "POST",
            &["payment_intents"],
            Form::parse("", body.as_bytes()).unwrap(),
        )
    }

    #[test]
    fn what_is_not_valid_is_refused_with_the_parameter_named() {
        for (body, param) in [
            ("currency=usd", "amount"),
            ("amount=500", "currency"),
            ("amount=49&currency=usd", "amount"),
            ("amount=-5&currency=usd", "amount"),
            ("amount=5.5&currency=usd", "amount"),
            (
                "amount=500&currency=usd&payment_method=pm_nobody",
                "payment_method",
            ),
            (
                "amount=500&currency=usd&return_url=javascript:alert(1)",
                "return_url",
            ),
            ("amount=500&currency=usd&colour=red", "colour"),
            ("amount=500&currency=usd&confirm=perhaps", "confirm"),
        ] {
            let error = parse(body).expect_err(body);
            assert_eq!(error.status, 400);
            assert_eq!(error.to_json()["error"]["param"], param, "{body}");
        }
        assert!(parse("amount=500&currency=usd&confirm=true&payment_method=pm_card_visa").is_ok());
    }
}

//! What a request will change: made from the tables without touching them, then committed whole.

use super::record::{AnswerHead, EventHead, Record};
use super::tables::Tables;
use crate::api::call::{Confirmation, CreateIntent, CreateRefund, RefundOf, Write};
use crate::api::error::ApiError;
use crate::api::view::{self, Origin, Viewer};
use crate::domain::Refused;
use crate::domain::charge::{Charge, ChargeState};
use crate::domain::intent::{CancelReason, CaptureMethod, Intent, IntentState};
use crate::domain::method::{Decline, Method, Outcome, Quirk};
use crate::domain::money::Amount;
use crate::domain::refund::Refund;
use serde_json::Value;
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How an answer leaves the sandbox. The effect is on disk in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Prompt,
    /// After 3 s.
    Slow,
    /// Never: the connection is held up and then closed.
    Never,
    /// The connection is closed at once.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) manner: Manner,
}

/// Settings that the execution of a request depends on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) viewer: Viewer,
    /// How long an authorization holds.
    pub(crate) hold_seconds: i64,
    /// Whether events are to be delivered.
    pub(crate) hooks: bool,
}

pub(crate) struct Draft<'t> {
    tables: &'t Tables,
    terms: &'t Terms,
    now: i64,
    expand: bool,
    origin: Origin,
    seq: u64,
    pub(crate) record: Record,
    /// The bodies of the record's events.
    pub(crate) texts: Vec<String>,
}

impl<'t> Draft<'t> {
    pub(crate) fn new(tables: &'t Tables, terms: &'t Terms, now: i64, expand: bool, origin: Origin) -> Self {
        let record = Record {
            ids: tables.ids,
            ..Record::default()
        };
        Self {
            tables,
            terms,
            now,
            expand,
            origin,
            seq: tables.event_seq,
            record,
            texts: Vec::new(),
        }
    }

    /// Executes the request. An error changes nothing and is not remembered; a refusal is a verdict.
    pub(crate) fn execute(&mut self, write: Write) -> Result<Verdict, ApiError> {
        match write {
            Write::Create(create) => self.create(*create),
            Write::Confirm { id, with } => {
                let mut intent = self.intent(&id)?;
                intent.return_url = with.return_url.clone().or(intent.return_url);
                let Some(method) = with.method.or(intent.method) else {
                    return Err(ApiError::param_missing("payment_method"));
                };
                Ok(self.confirm(&intent, method, with.off_session))
            }
            Write::Capture { id, amount } => {
                let intent = self.intent(&id)?;
                self.capture(&intent, amount)
            }
            Write::Cancel { id, reason } => {
                let intent = self.intent(&id)?;
                self.cancel(&intent, reason)
            }
            Write::Refund(refund) => self.refund(*refund),
            Write::Authenticate { id, approved } => {
                let intent = self.intent(&id)?;
                Ok(self.authenticate(&intent, approved))
            }
            Write::Expire { id } => {
                let intent = self.intent(&id)?;
                self.expire(&intent)
            }
            Write::Tamper { id, with } => {
                let mut intent = self.intent(&id)?;
                let mut charge = self.charge_of(&intent).ok();
                with.apply(&mut intent, charge.as_mut());
                let verdict = self.answer(intent, charge.as_ref(), Manner::Prompt);
                self.record.charges.extend(charge);
                Ok(verdict)
            }
        }
    }

    /// Keeps the verdict for repeats of the request. Its text comes before those of the events.
    pub(crate) fn remember(&mut self, head: AnswerHead, body: String) {
        self.record.answer = Some(head);
        self.texts.insert(0, body);
    }

    fn intent(&self, id: &str) -> Result<Intent, ApiError> {
        let found = self.tables.intents.get(id).cloned();
        found.ok_or_else(|| ApiError::missing("payment_intent", id, "intent"))
    }

    fn charge_of(&self, intent: &Intent) -> Result<Charge, ApiError> {
        let id = intent.latest_charge.as_deref();
        id.and_then(|id| self.tables.charges.get(id))
            .cloned()
            .ok_or_else(|| {
                tracing::error!(intent = %intent.id, "the ledger has no charge for the intent");
                ApiError::ledger("The charge of the payment intent is not in the ledger.")
            })
    }

    fn id(&mut self, prefix: &str) -> String {
        self.record.ids += 1;
        let digest = Sha256::new()
            .chain_update(self.terms.viewer.salt)
            .chain_update(self.record.ids.to_be_bytes())
            .finalize();
        let letters = digest.iter().take(24).map(|byte| {
            let place = usize::from(*byte) % ALPHABET.len();
            ALPHABET.get(place).copied().map_or('0', char::from)
        });
        prefix.chars().chain(letters).collect()
    }

    fn event(&mut self, kind: &str, intent: &Intent, object: &Value) {
        let id = self.id("evt_");
        self.seq += 1;
        self.texts
            .push(view::event(&id, kind, self.now, object, &self.origin).to_string());
        self.record.events.push(EventHead {
            id,
            seq: self.seq,
            kind: kind.to_owned(),
            intent: intent.id.clone(),
            at: self.now,
            hook: self.terms.hooks,
        });
    }

    fn intent_event(&mut self, kind: &str, intent: &Intent) {
        let object = self.terms.viewer.intent(intent, None);
        self.event(kind, intent, &object);
    }

    fn charge_event(&mut self, kind: &str, intent: &Intent, charge: &Charge) {
        let object = self.terms.viewer.charge(charge);
        self.event(kind, intent, &object);
    }

    fn answer(&mut self, intent: Intent, charge: Option<&Charge>, manner: Manner) -> Verdict {
        let charge = charge.filter(|_| self.expand);
        let body = self.terms.viewer.intent(&intent, charge);
        self.record.intents.push(intent);
        Verdict {
            status: 200,
            body,
            manner,
        }
    }

    fn refuse(&self, intent: &Intent, refused: &Refused, param: &str) -> Verdict {
        let view = self.terms.viewer.intent(intent, None);
        let error = ApiError::refused(refused, param).with_intent(view);
        Verdict {
            status: error.status,
            body: error.to_json(),
            manner: Manner::Prompt,
        }
    }

    fn create(&mut self, create: CreateIntent) -> Result<Verdict, ApiError> {
        let Confirmation {
            method,
            return_url,
            off_session,
        } = create.with;
        let intent = Intent {
            id: self.id("pi_"),
            created: self.now,
            amount: create.amount,
            currency: create.currency,
            capture_method: create.capture_method,
            metadata: create.metadata,
            description: create.description,
            return_url,
            method: None,
            latest_charge: None,
            state: IntentState::RequiresPaymentMethod { last_error: None },
        };
        match (method, create.confirm) {
            (Some(method), true) => Ok(self.confirm(&intent, method, off_session)),
            (None, true) => Err(ApiError::param_missing("payment_method")),
            (None, false) => Ok(self.answer(intent, None, Manner::Prompt)),
            (Some(method), false) => match intent.clone().attach(method) {
                Ok(intent) => Ok(self.answer(intent, None, Manner::Prompt)),
                Err(refused) => Ok(self.refuse(&intent, &refused, "payment_method")),
            },
        }
    }

    fn confirm(&mut self, intent: &Intent, method: Method, off_session: bool) -> Verdict {
        let manner = match method.profile().quirk {
            Quirk::Slow => Manner::Slow,
            Quirk::NoAnswer => Manner::Never,
            _ => Manner::Prompt,
        };
        let verdict = match method.profile().outcome {
            Outcome::Approve => self.approve(intent, method),
            Outcome::Decline(decline) => self.decline(intent, method, decline),
            Outcome::Challenge if off_session => {
                self.decline(intent, method, Decline::AuthenticationRequired)
            }
            Outcome::Challenge => self.challenge(intent, method),
        };
        match verdict {
            Ok(verdict) => Verdict { manner, ..verdict },
            Err(refused) => self.refuse(intent, &refused, "intent"),
        }
    }

    fn approve(&mut self, intent: &Intent, method: Method) -> Result<Verdict, Refused> {
        let id = self.id("ch_");
        let (next, state, kind) = if intent.capture_method == CaptureMethod::Manual {
            let capture_before = self.now + self.terms.hold_seconds;
            let next = intent.clone().authorize(method, id.clone(), capture_before)?;
            let state = ChargeState::Authorized { capture_before };
            (next, state, "payment_intent.amount_capturable_updated")
        } else {
            let next = intent.clone().charge(method, id.clone())?;
            let state = ChargeState::Captured {
                captured: intent.amount,
                refunded: 0,
            };
            (next, state, "payment_intent.succeeded")
        };
        let charge = self.new_charge(id, &next, method, state);
        self.intent_event(kind, &next);
        let verdict = self.answer(next, Some(&charge), Manner::Prompt);
        self.record.charges.push(charge);
        Ok(verdict)
    }

    fn new_charge(&self, id: String, intent: &Intent, method: Method, state: ChargeState) -> Charge {
        let (amount, currency) = (intent.amount, intent.currency);
        Charge {
            id,
            intent: intent.id.clone(),
            created: self.now,
            amount,
            currency,
            method,
            metadata: intent.metadata.clone(),
            state,
        }
    }

    fn decline(&mut self, intent: &Intent, method: Method, decline: Decline) -> Result<Verdict, Refused> {
        // No charge is tried for a customer who failed the bank's question.
        let tried = decline != Decline::AuthenticationFailed;
        let charge = tried.then(|| self.id("ch_"));
        let next = intent.clone().decline(decline, charge.clone())?;
        if let Some(id) = charge.clone() {
            let failed = self.new_charge(id, &next, method, ChargeState::Failed { decline });
            self.record.charges.push(failed);
        }
        self.intent_event("payment_intent.payment_failed", &next);
        let view = self.terms.viewer.intent(&next, None);
        let error = ApiError::declined(decline, charge, view);
        self.record.intents.push(next);
        Ok(Verdict {
            status: error.status,
            body: error.to_json(),
            manner: Manner::Prompt,
        })
    }

    fn challenge(&mut self, intent: &Intent, method: Method) -> Result<Verdict, Refused> {
        let next = intent.clone().challenge(method)?;
        self.intent_event("payment_intent.requires_action", &next);
        Ok(self.answer(next, None, Manner::Prompt))
    }

    fn authenticate(&mut self, intent: &Intent, approved: bool) -> Verdict {
        let method = match intent.method {
            Some(method) if intent.state == IntentState::RequiresAction => method,
            _ => {
                let refused = Refused::State {
                    action: "authenticate",
                    from: intent.state.name(),
                };
                return self.refuse(intent, &refused, "intent");
            }
        };
        let verdict = if approved {
            self.approve(intent, method)
        } else {
            self.decline(intent, method, Decline::AuthenticationFailed)
        };
        verdict.unwrap_or_else(|refused| self.refuse(intent, &refused, "intent"))
    }

    fn capture(&mut self, intent: &Intent, amount: Option<Amount>) -> Result<Verdict, ApiError> {
        let amount = amount.unwrap_or(intent.amount);
        let next = match intent.clone().capture(amount, self.now) {
            Ok(next) => next,
            Err(refused) => return Ok(self.refuse(intent, &refused, "amount_to_capture")),
        };
        let charge = match self.charge_of(intent)?.capture(amount) {
            Ok(charge) => charge,
            Err(refused) => return Ok(self.refuse(intent, &refused, "amount_to_capture")),
        };
        self.charge_event("charge.captured", &next, &charge);
        self.intent_event("payment_intent.succeeded", &next);
        let lost = charge.method.profile().quirk == Quirk::CaptureAnswerLost;
        let manner = if lost { Manner::Lost } else { Manner::Prompt };
        let verdict = self.answer(next, Some(&charge), manner);
        self.record.charges.push(charge);
        Ok(verdict)
    }

    fn cancel(&mut self, intent: &Intent, reason: Option<CancelReason>) -> Result<Verdict, ApiError> {
        match intent.clone().cancel(self.now, reason) {
            Ok(next) => self.end(intent, next),
            Err(refused) => Ok(self.refuse(intent, &refused, "intent")),
        }
    }

    fn expire(&mut self, intent: &Intent) -> Result<Verdict, ApiError> {
        match intent.clone().expire(self.now) {
            Ok(next) => self.end(intent, next),
            Err(refused) => Ok(self.refuse(intent, &refused, "intent")),
        }
    }

    /// The intent is over without money; what was held is let go.
    fn end(&mut self, intent: &Intent, next: Intent) -> Result<Verdict, ApiError> {
        let held = matches!(intent.state, IntentState::RequiresCapture { .. });
        let charge = if held { Some(self.charge_of(intent)?) } else { None };
        let charge = match charge.map(|charge| charge.release(self.now)).transpose() {
            Ok(charge) => charge,
            Err(refused) => return Ok(self.refuse(intent, &refused, "intent")),
        };
        self.intent_event("payment_intent.canceled", &next);
        let verdict = self.answer(next, charge.as_ref(), Manner::Prompt);
        self.record.charges.extend(charge);
        Ok(verdict)
    }

    fn refund(&mut self, refund: CreateRefund) -> Result<Verdict, ApiError> {
        let (intent, charge) = self.refunded(refund.of)?;
        if !matches!(intent.state, IntentState::Succeeded { .. }) {
            let refused = Refused::State {
                action: "refund",
                from: intent.state.name(),
            };
            return Ok(self.refuse(&intent, &refused, "payment_intent"));
        }
        let (charge, amount) = match charge.refund(refund.amount) {
            Ok(refunded) => refunded,
            Err(refused) => return Ok(self.refuse(&intent, &refused, "amount")),
        };
        let refund = Refund {
            id: self.id("re_"),
            intent: intent.id.clone(),
            charge: charge.id.clone(),
            created: self.now,
            amount,
            currency: charge.currency,
            reason: refund.reason,
            metadata: refund.metadata,
        };
        let body = self.terms.viewer.refund(&refund);
        self.event("refund.created", &intent, &body);
        self.charge_event("charge.refunded", &intent, &charge);
        self.record.charges.push(charge);
        self.record.refunds.push(refund);
        Ok(Verdict {
            status: 200,
            body,
            manner: Manner::Prompt,
        })
    }

    fn refunded(&self, of: RefundOf) -> Result<(Intent, Charge), ApiError> {
        match of {
            RefundOf::Charge(id) => {
                let charge = self.tables.charges.get(&id).cloned();
                let charge =
                    charge.ok_or_else(|| ApiError::no_such(format!("No such charge: '{id}'"), "charge"))?;
                Ok((self.intent(&charge.intent)?, charge))
            }
            RefundOf::Intent(id) => {
                let intent = self.tables.intents.get(&id).cloned().ok_or_else(|| {
                    ApiError::no_such(format!("No such payment_intent: '{id}'"), "payment_intent")
                })?;
                let charge = intent
                    .latest_charge
                    .as_deref()
                    .and_then(|id| self.tables.charges.get(id));
                let charge = charge.cloned().ok_or_else(|| {
                    let message = "This PaymentIntent does not have a successful charge to refund.";
                    ApiError::param_invalid(
                        "payment_intent",
                        Some("payment_intent_unexpected_state"),
                        message,
                    )
                })?;
                Ok((intent, charge))
            }
        }
    }
}

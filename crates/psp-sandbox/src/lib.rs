//! The payment provider's sandbox: a real HTTP server that speaks the part of Stripe's API that
//! the shop uses, with a ledger of its own that survives `kill -9`.
//!
//! # Endpoints
//!
//! Form-encoded requests, JSON answers, `Authorization: Bearer KEY` (or Basic with the key as user).
//!
//! | call | |
//! |---|---|
//! | `POST /v1/payment_intents` | `amount`, `currency`, `capture_method`, `confirm`, `payment_method`, `metadata[..]`, `description`, `return_url`, `off_session` |
//! | `GET /v1/payment_intents/{id}` | `expand[]=latest_charge` embeds the charge, here and in every answer that is an intent |
//! | `GET /v1/payment_intents` | `limit`, `starting_after`, `ending_before`, `created[gte]` … (all lists) |
//! | `GET /v1/payment_intents/search` | `query=metadata['order_id']:'…' AND status:'…'`; at once, where Stripe takes a minute |
//! | `POST /v1/payment_intents/{id}/confirm` | `payment_method`, `return_url`, `off_session` |
//! | the same and `GET /v1/payment_intents/{id}` with the publishable key | `client_secret` as well: what Stripe.js does in the customer's browser |
//! | `POST /v1/payment_intents/{id}/capture` | `amount_to_capture`: the rest of the authorization is released |
//! | `POST /v1/payment_intents/{id}/cancel` | `cancellation_reason` |
//! | `POST /v1/refunds` | `payment_intent` or `charge`, `amount`, `reason`, `metadata[..]` |
//! | `GET /v1/refunds`, `/v1/refunds/{id}`, `/v1/charges`, `/v1/charges/{id}` | `payment_intent`, `charge` |
//! | `GET /v1/events`, `/v1/events/{id}` | `type`; the last 100,000 |
//! | `GET`, `POST /sandbox/3ds/{intent}` | the bank's page: `result=approve` or `result=refuse`, without a key |
//! | `GET`, `POST /sandbox/faults` | JSON `{latency_ms, fail_next: {count, status}, hang, drop_next, drop_every, webhooks_paused}` |
//! | `POST /sandbox/tamper` | JSON `{intent, with: {amount, captured}}`: falsifies the ledger, for those who look for it |
//! | `GET /sandbox/ledger` | all intents, charges and refunds, one JSON object a line |
//!
//! `Idempotency-Key` works as Stripe's: the first answer (declines and refused moves too, invalid
//! requests not) is kept for 24 hours and replayed with `Idempotent-Replayed: true`; other
//! parameters are 400 `idempotency_error`, a first request still going on is 409
//! `idempotency_key_in_use`. Unknown parameters are refused, as are card numbers.
//!
//! # Payment methods
//!
//! | id | effect |
//! |---|---|
//! | `pm_card_visa`, `pm_card_visa_debit`, `pm_card_mastercard`, `pm_card_amex`, … | approved |
//! | `pm_card_chargeDeclined` | 402 `card_declined`, `generic_decline` |
//! | `pm_card_chargeDeclinedInsufficientFunds` | 402 `card_declined`, `insufficient_funds` |
//! | `pm_card_visa_chargeDeclinedLostCard`, `…StolenCard`, `…VelocityLimitExceeded` | 402 `card_declined` |
//! | `pm_card_chargeDeclinedExpiredCard`, `…IncorrectCvc`, `…ProcessingError`, `…Fraudulent` | 402 with the code of that name |
//! | `pm_card_authenticationRequired`, `pm_card_threeDSecure2Required` | `requires_action` with a redirect to the bank's page |
//! | `pm_sandbox_slow3s` | authorized, answered after 3 s |
//! | `pm_sandbox_noAnswer` | authorized, never answered: closed after 60 s. A repeat with the same key is answered |
//! | `pm_sandbox_captureAnswerLost` | captured, and the connection closed without an answer; a repeat is answered |
//! | `pm_sandbox_webhookDuplicated` | every event is delivered twice |
//! | `pm_sandbox_webhookReordered` | events wait 3 s for later ones and are delivered newest first |
//!
//! # Webhooks
//!
//! `payment_intent.amount_capturable_updated`, `.succeeded`, `.canceled`, `.payment_failed`,
//! `.requires_action`, `charge.captured`, `charge.refunded`, `refund.created`, signed in
//! `Stripe-Signature`, in order per intent, at least once, repeated with pauses of up to 5 s.
//!
//! # Where it differs from Stripe
//!
//! Cards never stop in `processing`; an authorization alone makes no `charge.succeeded`.

mod api;
mod clock;
mod domain;
mod faults;
mod ledger;
mod server;
mod webhook;

pub use clock::{Clock, ManualClock, SystemClock};
pub use server::{Options, PUBLISHABLE_KEY, Running, Sandbox, WebhookOptions};

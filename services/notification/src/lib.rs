//! The notification service: e-mails and messages by SMS about orders and webhooks for merchants, each once per event, whatever is redelivered and
//! whichever process dies.
//!
//! An event's inbox row and its notification are committed together; workers of all replicas then send
//! what is due. The one gap that no sender of e-mail can close is a death between the mail server's
//! answer and the commit that remembers it: the e-mail then goes out again, with the same Message-ID.

mod config;
mod consumers;
mod domain;
mod error;
mod mail;
mod openapi;
mod routes;
mod sms;
mod startup;
mod store;
mod webhook;
mod workers;

pub use config::{MailTransport, SenderSettings, Settings, SmsSettings, WebhookSettings};
pub use startup::{Application, NotificationService};

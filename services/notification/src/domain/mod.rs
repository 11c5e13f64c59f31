//! What a notification is and how often it is tried; no I/O.

#[macro_use]
mod named;

mod content;
mod locale;
mod notification;
mod phone;
mod preferences;
mod purpose;
mod recipient;
mod retry;
mod webhook;

pub(crate) use content::{Content, Line, Occasion};
pub(crate) use named::UnknownName;
pub(crate) use notification::{Channel, Kind, Locale, NewNotification, Status, Summary};
pub(crate) use phone::Phone;
pub(crate) use preferences::{Preferences, Standing, Switch};
pub(crate) use purpose::Purpose;
pub(crate) use recipient::Recipient;
pub(crate) use retry::{Refusal, RetryPolicy, SendError, Tried, Verdict};
pub(crate) use webhook::{
    DeliveryStatus, DisabledReason, Endpoint, EndpointStatus, EventType, NewMessage, Patience, Schedule,
};

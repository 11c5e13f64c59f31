//! What a notification is and how often it is tried; no I/O.

mod content;
mod notification;
mod retry;

pub(crate) use content::{Content, Line, Occasion, reason_in_words};
pub(crate) use notification::{Channel, Kind, NewNotification, Status, Summary};
pub(crate) use retry::{Refusal, RetryPolicy, Tried, Verdict};

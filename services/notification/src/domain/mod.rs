//! What a notification is and how often it is tried; no I/O.

mod content;
mod locale;
mod notification;
mod preferences;
mod retry;

pub(crate) use content::{Content, Line, Occasion};
pub(crate) use notification::{Channel, Kind, Locale, NewNotification, Status, Summary};
pub(crate) use preferences::{Preferences, Standing, Switch};
pub(crate) use retry::{Refusal, RetryPolicy, Tried, Verdict};

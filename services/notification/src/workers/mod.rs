//! What runs beside the requests.

mod courier;
mod handle;
mod housekeeping;
mod sender;

pub(crate) use courier::Courier;
pub(crate) use handle::WorkHandle;
pub(crate) use housekeeping::Housekeeper;
pub(crate) use sender::{Marks, Sender};

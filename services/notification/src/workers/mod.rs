//! What runs beside the requests.

mod housekeeping;
mod sender;

pub(crate) use housekeeping::Housekeeper;
pub(crate) use sender::{Marks, Sender, SenderHandle};

//! What runs beside the requests.

mod courier;
mod handle;
mod housekeeping;
mod outlet;
mod sender;

pub(crate) use courier::Courier;
pub(crate) use handle::WorkHandle;
pub(crate) use housekeeping::Housekeeper;
pub(crate) use outlet::{Mails, Outlet, Texts};
pub(crate) use sender::{Marks, Sender};

mod backlog;

pub(crate) use backlog::{Backlog, watch};

mod housekeeping;
mod recovery;

pub(crate) use housekeeping::Housekeeping;
pub(crate) use recovery::Recovery;

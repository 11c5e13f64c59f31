mod housekeeping;
mod partitions;
mod recovery;

pub(crate) use housekeeping::Housekeeping;
pub(crate) use partitions::Partitions;
pub(crate) use recovery::Recovery;

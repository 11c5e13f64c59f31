pub(crate) mod prune;
pub(crate) mod reprice;

pub(crate) mod prune;

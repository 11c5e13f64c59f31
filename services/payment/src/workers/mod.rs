mod reconciliation;
mod recovery;

pub(crate) use reconciliation::run as reconcile;
pub(crate) use recovery::run as recover;

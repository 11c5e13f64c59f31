mod recovery;

pub(crate) use recovery::run;

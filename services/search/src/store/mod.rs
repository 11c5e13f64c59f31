mod result_cache;

pub(crate) use result_cache::ResultCache;

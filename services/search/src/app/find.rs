use std::sync::Arc;

use bytes::Bytes;
use ferrocart_http_kit::Problem;
use sha2::{Digest, Sha256};

use super::Serving;
use crate::domain::{Normalised, Request};
use crate::engine::language::{Highlighter, Synonyms};
use crate::error::ServiceError;
use crate::routes::SearchAnswer;
use crate::store::ResultCache;

/// Answers searches from the cache or the index.
pub(crate) struct Finder {
    serving: Arc<Serving>,
    cache: ResultCache,
    synonyms: Arc<Synonyms>,
}

/// A serialized answer, and where it came from.
pub(crate) struct Answer {
    pub(crate) json: Bytes,
    pub(crate) cached: bool,
}

impl Finder {
    pub(crate) fn new(serving: Arc<Serving>, cache: ResultCache, synonyms: Arc<Synonyms>) -> Self {
        Self {
            serving,
            cache,
            synonyms,
        }
    }

    pub(crate) fn serving(&self) -> &Serving {
        &self.serving
    }

    pub(crate) async fn find(&self, request: Request) -> Result<Answer, ServiceError> {
        // The same index for all of it, whichever is served by the end.
        let engine = self.serving.engine();
        // Read before the search: a commit in between can only make the stored answer newer than its key.
        let key = cache_key(&engine.generation(), &request)?;
        if let Some(json) = self.cache.get(&key).await {
            return Ok(Answer { json, cached: true });
        }
        let what = request.what.clone();
        let results = engine.search(request).await?;
        let answer = SearchAnswer::new(results, &what, &Highlighter::new(&what.text, &self.synonyms))?;
        let json = serde_json::to_vec(&answer).map_err(|error| {
            tracing::error!(%error, "a search's answer cannot be written");
            Problem::internal()
        })?;
        let json = Bytes::from(json);
        self.cache.put(&key, &json).await;
        Ok(Answer { json, cached: false })
    }
}

fn cache_key(generation: &str, request: &Request) -> Result<String, ServiceError> {
    let parts = (&request.what, &request.facets, request.limit, request.after);
    Ok(format!("search:{generation}:{}", digest(&parts)?))
}

/// Tells searches apart: a cursor of one is of no use in another.
pub(crate) fn fingerprint(what: &Normalised) -> Result<String, ServiceError> {
    Ok(digest(what)?.chars().take(16).collect())
}

fn digest(value: &impl serde::Serialize) -> Result<String, ServiceError> {
    let json = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "a search cannot be written down");
        Problem::internal()
    })?;
    Ok(hex::encode(Sha256::digest(json)))
}

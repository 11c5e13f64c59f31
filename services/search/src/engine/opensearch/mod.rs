//! The index in an OpenSearch or Elasticsearch cluster, over HTTP.
//!
//! Texts are cut into words and stems by the same code as in the embedded engine and stored as such, so that
//! both engines understand the same and the cluster needs no plugin for analysis.

mod client;
mod documents;
mod indexes;
mod queries;
mod reads;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use self::client::Client;
pub(crate) use self::indexes::{OpenSearchIndexes, OpenSearchSettings};
use super::language::Synonyms;
use super::{EngineError, SearchEngine};
use crate::domain::{Change, Request, Results, Suggestion};

/// Grows when the fields or their contents change.
const LAYOUT: u32 = 1;

struct OpenSearchEngine {
    client: Client,
    index: String,
    index_id: String,
    synonyms: Arc<Synonyms>,
    /// Tells this process's commits apart from those of all others.
    run: String,
    commits: AtomicU64,
}

#[async_trait]
impl SearchEngine for OpenSearchEngine {
    fn index_id(&self) -> &str {
        &self.index_id
    }

    /// What other replicas write is not seen here; an answer that misses it goes with its time to live.
    fn generation(&self) -> String {
        let commits = self.commits.load(Ordering::Acquire);
        format!("{}-{}-{commits}", self.index_id, self.run)
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let written = self.write(&changes).await;
        // Part of it may be there even if it failed.
        self.commits.fetch_add(1, Ordering::AcqRel);
        written
    }

    async fn search(&self, request: Request) -> Result<Results, EngineError> {
        self.find(&request).await
    }

    async fn suggest(&self, text: String, limit: usize) -> Result<Vec<Suggestion>, EngineError> {
        self.complete(&text, limit).await
    }

    async fn documents(&self) -> Result<u64, EngineError> {
        self.count(&queries::filtered(None, &crate::domain::Filters::default()))
            .await
    }
}

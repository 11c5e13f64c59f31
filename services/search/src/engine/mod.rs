//! The seam between the service and the software that holds its index.

mod batch;
mod embedded;
pub(crate) mod language;
mod opensearch;
mod weights;

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::{Change, Request, Results, Suggestion};

pub(crate) use embedded::{EmbeddedIndexes, EmbeddedSettings};
pub(crate) use opensearch::{OpenSearchIndexes, OpenSearchSettings};

/// An index of products.
#[async_trait]
pub(crate) trait SearchEngine: Send + Sync + 'static {
    /// Names this index for life. An index that was thrown away comes back under another id, and is
    /// filled from the beginning of the topics.
    fn index_id(&self) -> &str;

    /// Names what a search would find right now: it changes with every commit, and no two indexes ever
    /// have the same. For caches.
    fn generation(&self) -> String;

    /// Applies changes in order. They are durable and searchable when it returns. Changes
    /// that came before, or that are older than what is there, change nothing: after a failure, which may
    /// leave part of them applied, they are given again.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), EngineError>;

    async fn search(&self, request: Request) -> Result<Results, EngineError>;

    /// At most `limit` titles and brands that complete the text.
    async fn suggest(&self, text: String, limit: usize) -> Result<Vec<Suggestion>, EngineError>;

    /// Products that a search can find.
    async fn documents(&self) -> Result<u64, EngineError>;
}

/// Where indexes come from. One of them is served; another one may be filled beside it and then take its place.
#[async_trait]
pub(crate) trait Indexes: Send + Sync + 'static {
    /// Opens the index that is served; the first time, makes it.
    async fn serving(&self) -> anyhow::Result<Arc<dyn SearchEngine>>;

    /// Makes an empty index that nobody is served from.
    async fn create(&self) -> anyhow::Result<Arc<dyn SearchEngine>>;

    /// From now on this index is served, after a restart too. The one before it is thrown away.
    async fn promote(&self, index_id: &str) -> anyhow::Result<()>;
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("too many queries at once")]
    Busy,
    #[error("{operation}: {source}")]
    Failed {
        operation: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the index holds a damaged document: key {key}: {reason}")]
    Damaged { key: String, reason: String },
    #[error("{0} ended without an answer")]
    Stopped(&'static str),
}

impl EngineError {
    /// For `map_err`: names what was being done.
    pub(crate) fn during<E>(operation: &'static str) -> impl Fn(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Failed {
            operation,
            source: source.into(),
        }
    }
}

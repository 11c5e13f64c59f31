use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use ferrocart_types::SharedIds;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, is_missing};
use super::{LAYOUT, OpenSearchEngine, documents};
use crate::engine::language::Synonyms;
use crate::engine::{Indexes, SearchEngine};

#[derive(Clone)]
pub(crate) struct OpenSearchSettings {
    pub(crate) url: String,
    /// Stands before the name of every index and of the alias.
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) synonyms: Arc<Synonyms>,
}

/// The indexes of a cluster, named `<prefix>products-v<layout>-<index id>`. The alias
/// `<prefix>products-v<layout>` stands for the one that is served.
pub(crate) struct OpenSearchIndexes {
    client: Client,
    settings: OpenSearchSettings,
    ids: SharedIds,
}

impl OpenSearchIndexes {
    pub(crate) fn new(settings: OpenSearchSettings, ids: SharedIds) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::new(&settings.url, settings.timeout)?,
            settings,
            ids,
        })
    }

    fn alias(&self) -> String {
        format!("{}products-v{LAYOUT}", self.settings.prefix)
    }

    fn name(&self, index_id: &str) -> String {
        format!("{}-{index_id}", self.alias())
    }

    fn open(&self, index_id: &str) -> Arc<dyn SearchEngine> {
        Arc::new(OpenSearchEngine {
            client: self.client.clone(),
            index: self.name(index_id),
            index_id: index_id.to_owned(),
            synonyms: Arc::clone(&self.settings.synonyms),
            run: self.ids.next().simple().to_string(),
            commits: AtomicU64::new(0),
        })
    }

    async fn current(&self) -> anyhow::Result<Option<String>> {
        let path = format!("_alias/{}", self.alias());
        let found: Result<BTreeMap<String, Value>, _> = self
            .client
            .call("looking for the index", Method::GET, &path, &Value::Null)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut names = found.into_keys();
        let (Some(name), None) = (names.next(), names.next()) else {
            bail!(
                "search_engine: the alias {} stands for several indexes",
                self.alias()
            );
        };
        let index_id = name
            .strip_prefix(&self.name(""))
            .with_context(|| format!("search_engine: the alias stands for {name}, which is not ours"))?;
        Ok(Some(index_id.to_owned()))
    }

    async fn make(&self) -> anyhow::Result<String> {
        let index_id = self.ids.next().simple().to_string();
        let _made: Value = self
            .client
            .call(
                "making an index",
                Method::PUT,
                &self.name(&index_id),
                &documents::layout(),
            )
            .await?;
        Ok(index_id)
    }
}

#[async_trait]
impl Indexes for OpenSearchIndexes {
    async fn serving(&self) -> anyhow::Result<Arc<dyn SearchEngine>> {
        if let Some(index_id) = self.current().await? {
            return Ok(self.open(&index_id));
        }
        let index_id = self.make().await?;
        self.promote(&index_id).await?;
        // Another replica may have been quicker, or later.
        let index_id = self.current().await?.unwrap_or(index_id);
        Ok(self.open(&index_id))
    }

    async fn create(&self) -> anyhow::Result<Arc<dyn SearchEngine>> {
        let index_id = self.make().await?;
        Ok(self.open(&index_id))
    }

    async fn promote(&self, index_id: &str) -> anyhow::Result<()> {
        let before = self.current().await?;
        let mut actions = vec![json!({ "add": { "index": self.name(index_id), "alias": self.alias() } })];
        if let Some(before) = before.filter(|before| before != index_id) {
            // One change of the cluster's state: the alias is never without an index.
            actions.push(json!({ "remove_index": { "index": self.name(&before) } }));
        }
        let _moved: Value = self
            .client
            .call(
                "moving the alias",
                Method::POST,
                "_aliases",
                &json!({ "actions": actions }),
            )
            .await?;
        Ok(())
    }
}

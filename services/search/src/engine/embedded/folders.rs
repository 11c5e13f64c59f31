use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use ferrocart_types::SharedIds;

use super::{EmbeddedEngine, EmbeddedSettings, schema};
use crate::engine::{Indexes, SearchEngine};

/// Names the folder that is served. Replaced as a whole, so that a crash leaves the one or the other.
const CURRENT: &str = "CURRENT";

/// The indexes of one folder, each in a folder `v<layout>-<index id>` of its own. Those of another layout are
/// left alone: a service that went back to its older version goes on with them.
#[derive(Clone)]
pub(crate) struct EmbeddedIndexes {
    settings: EmbeddedSettings,
    ids: SharedIds,
}

impl EmbeddedIndexes {
    pub(crate) fn new(settings: EmbeddedSettings, ids: SharedIds) -> Self {
        Self { settings, ids }
    }

    fn open(&self, index_id: &str) -> anyhow::Result<Arc<dyn SearchEngine>> {
        let folder = self.settings.folder.join(folder_name(index_id));
        Ok(Arc::new(EmbeddedEngine::open(&self.settings, &folder, index_id)?))
    }

    fn open_serving(&self) -> anyhow::Result<Arc<dyn SearchEngine>> {
        let index_id = if let Some(index_id) = self.current()? {
            index_id
        } else {
            let index_id = self.new_id();
            self.make_current(&index_id)?;
            index_id
        };
        let engine = self.open(&index_id)?;
        // A rebuild that was interrupted is begun anew by whoever wants it.
        self.remove_others(&index_id);
        Ok(engine)
    }

    fn new_id(&self) -> String {
        self.ids.next().simple().to_string()
    }

    /// The id of the served index, if it is there and of this layout.
    fn current(&self) -> anyhow::Result<Option<String>> {
        let file = self.settings.folder.join(CURRENT);
        let name = match std::fs::read_to_string(&file) {
            Ok(name) => name,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("index_dir: cannot read {}", file.display())),
        };
        let index_id = name.trim().strip_prefix(&folder_name(""));
        Ok(index_id
            .filter(|index_id| self.settings.folder.join(folder_name(index_id)).is_dir())
            .map(ToOwned::to_owned))
    }

    fn make_current(&self, index_id: &str) -> anyhow::Result<()> {
        let folder = &self.settings.folder;
        let failed = || format!("index_dir: cannot write {CURRENT} in {}", folder.display());
        std::fs::create_dir_all(folder.join(folder_name(index_id))).with_context(failed)?;
        let fresh = folder.join(format!("{CURRENT}.new"));
        std::fs::write(&fresh, folder_name(index_id)).with_context(failed)?;
        sync(&fresh).with_context(failed)?;
        std::fs::rename(&fresh, folder.join(CURRENT)).with_context(failed)?;
        sync(folder).with_context(failed)
    }

    /// Open files stay readable until they are closed. What cannot be removed is removed at the next start.
    fn remove_others(&self, index_id: &str) {
        let entries = match std::fs::read_dir(&self.settings.folder) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "old indexes cannot be listed");
                return;
            }
        };
        let kept = folder_name(index_id);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&folder_name("")) && name != kept {
                let removed: PathBuf = entry.path();
                if let Err(error) = std::fs::remove_dir_all(&removed) {
                    tracing::warn!(%error, folder = %removed.display(), "an old index cannot be removed");
                }
            }
        }
    }
}

fn folder_name(index_id: &str) -> String {
    format!("v{}-{index_id}", schema::SCHEMA_VERSION)
}

fn sync(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

#[async_trait]
impl Indexes for EmbeddedIndexes {
    async fn serving(&self) -> anyhow::Result<Arc<dyn SearchEngine>> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || own.open_serving()).await?
    }

    async fn create(&self) -> anyhow::Result<Arc<dyn SearchEngine>> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || own.open(&own.new_id())).await?
    }

    async fn promote(&self, index_id: &str) -> anyhow::Result<()> {
        let (own, index_id) = (self.clone(), index_id.to_owned());
        let work = move || {
            own.make_current(&index_id)?;
            own.remove_others(&index_id);
            anyhow::Ok(())
        };
        tokio::task::spawn_blocking(work).await?
    }
}

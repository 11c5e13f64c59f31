//! Beginning an import, or going on with it.

use ferrocart_http_kit::detached;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::UserId;

use super::Catalog;
use crate::domain::{Format, Import, ImportId, Mark};
use crate::error::CatalogError;
use crate::store;
use crate::store::imports::{Key, Step};

/// What a request wants to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) merchant: UserId,
    /// A new one without.
    pub(crate) import_id: Option<ImportId>,
    pub(crate) format: Format,
    /// The line that the body begins with.
    pub(crate) from_line: u64,
}

/// The import as far as it has come. From now on no request but this one goes on with it.
pub(crate) async fn open(catalog: Catalog, start: Start) -> Result<(Import, Key), CatalogError> {
    detached("import.open", async move {
        let id = start.import_id.unwrap_or_else(|| ImportId(catalog.ids.next()));
        let now = catalog.clock.now();
        let import = run_tx(&catalog.pool, "import.open", |conn| {
            Box::pin(async move {
                let import = store::imports::open(conn, (start.merchant, id), start.format, now).await?;
                if import.format != start.format {
                    return Err(CatalogError::ImportFormat {
                        format: import.format,
                    });
                }
                let next = import.done.line + 1;
                if start.from_line != 1 && (start.from_line != next || import.completed_at.is_some()) {
                    return Err(CatalogError::ImportPosition {
                        lines_done: import.done.line,
                    });
                }
                Ok(import)
            })
        })
        .await?;
        let key = Key {
            merchant: start.merchant,
            id,
            attempt: import.attempt,
        };
        Ok((import, key))
    })
    .await
}

/// The file was read to its end.
pub(crate) async fn complete(
    catalog: &Catalog,
    key: Key,
    end: Mark,
    columns: Option<&[String]>,
) -> Result<(), CatalogError> {
    let mut conn = catalog.pool.acquire().await?;
    let step = Step {
        done: end,
        counts: crate::domain::Counts::default(),
        columns,
        now: catalog.clock.now(),
    };
    if store::imports::complete(&mut conn, key, &step).await? {
        Ok(())
    } else {
        Err(CatalogError::ImportTakenOver)
    }
}

//! The sample catalog, loaded through the public API as a merchant would.

use anyhow::{Context as _, Result};
use ferrocart_sample_catalog::{LoadOptions, Summary};

use crate::component::Service;
use crate::stack::{Stack, locked};

/// The catalog that everybody sees who runs `make run`.
const SEED: u64 = 42;

impl Stack {
    /// Loads it unless that was done before; needs the sample accounts. Answers nothing when there was nothing
    /// to do.
    pub async fn load_sample_catalog(&self, products: usize) -> Result<Option<Summary>> {
        if locked(&self.state).catalog_loaded {
            return Ok(None);
        }
        let step = "sample catalog";
        let began = self.begin(step);
        let progress = self.progress.clone();
        let summary = ferrocart_sample_catalog::load(LoadOptions {
            gateway_url: self.url(Service::Gateway),
            merchant_token: self.access_token("merchant").await?,
            seed: SEED,
            products,
            progress: move |at: ferrocart_sample_catalog::Progress| {
                progress.advance(step, &at.phase.to_string(), at.done, at.total);
            },
        })
        .await
        .context("load the sample catalog")?;
        self.change_state(|state| state.catalog_loaded = true)?;
        let loaded = summary.products_created + summary.products_updated + summary.products_unchanged;
        self.end(
            step,
            &format!("{loaded} products with {} variants loaded", summary.skus),
            began,
        );
        Ok(Some(summary))
    }
}

//! Several products at once: each is looked for like a single one, but all misses ask Redis and
//! PostgreSQL together.

use std::sync::Arc;
use std::time::Instant;

use ferrocart_types::ProductId;

use super::products::{Answer, ProductCache, answered};
use super::rendered::{Found, Rendered};
use crate::error::CatalogError;

/// The products of a list.
#[derive(Debug, Default)]
pub(crate) struct Many {
    pub(crate) products: Vec<Arc<Rendered>>,
    /// Since when the oldest of them has not been confirmed, when no store answers.
    pub(crate) stale_since: Option<Instant>,
}

impl Many {
    fn add(&mut self, answer: &Answer) {
        if let Some(since) = answer.stale_since {
            self.stale_since = Some(self.stale_since.map_or(since, |oldest| oldest.min(since)));
        }
        if let Found::Product(product) = &answer.found {
            self.products.push(Arc::clone(product));
        }
    }
}

impl ProductCache {
    /// Those that exist, in the order asked for.
    pub(crate) async fn get_many(&self, ids: &[ProductId]) -> Result<Many, CatalogError> {
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            let answer = self.fresh_answer(*id).await;
            if answer.is_some() {
                self.counted.process.increment(1);
            } else {
                missing.push(*id);
            }
            answers.push(answer);
        }
        let mut loaded = self.load_together(missing).await?.into_iter();
        let mut many = Many::default();
        for answer in answers {
            // The load answers in the order in which they were missed.
            if let Some(answer) = answer.or_else(|| loaded.next()) {
                many.add(&self.current(answer).await?);
            }
        }
        Ok(many)
    }

    async fn fresh_answer(&self, id: ProductId) -> Option<Answer> {
        let answer = self.fresh.get(&id).await?;
        (answer.stale_since.is_some() || answer.found.version() >= self.floor(id).await).then_some(answer)
    }

    /// Readers of the same list who miss the same products wait for one load.
    async fn load_together(&self, missing: Vec<ProductId>) -> Result<Vec<Answer>, CatalogError> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let load = async { Ok(Arc::new(Box::pin(self.load_many(&missing)).await?)) };
        let loaded = self
            .flights
            .try_get_with(missing.clone(), load)
            .await
            .map_err(|error| answered(&error))?;
        let mut answers = loaded.to_vec();
        for (answer, id) in answers.iter_mut().zip(&missing) {
            // The load may have begun before a change made here.
            if answer.stale_since.is_none() && answer.found.version() < self.floor(*id).await {
                *answer = self.get(*id).await?;
            }
        }
        Ok(answers)
    }

    /// One answer for each, in their order. All or an error: a list must not lose items because a store
    /// is away.
    async fn load_many(&self, ids: &[ProductId]) -> Result<Vec<Answer>, CatalogError> {
        let mut answers: Vec<Option<Answer>> = vec![None; ids.len()];
        let shared = self.shared.get(ids).await;
        for ((slot, id), found) in answers.iter_mut().zip(ids).zip(shared) {
            if let Some(found) = found
                && found.version() >= self.floor(*id).await
            {
                self.counted.redis.increment(1);
                *slot = Some(self.kept(*id, found).await);
            }
        }
        let missing: Vec<ProductId> = unanswered(ids, &answers).collect();
        if missing.is_empty() {
            return Ok(answers.into_iter().flatten().collect());
        }
        if self.database.is_open() && self.fill_stale(ids, &mut answers).await {
            return Ok(answers.into_iter().flatten().collect());
        }
        match self.read_together(&missing).await {
            Ok(found) => {
                let mut found = found.into_iter();
                for (slot, id) in answers.iter_mut().zip(ids) {
                    if slot.is_none() {
                        let found = found.next().unwrap_or(Found::Absent);
                        *slot = Some(self.kept(*id, found).await);
                    }
                }
            }
            Err(error) => {
                if !self.fill_stale(ids, &mut answers).await {
                    return Err(error);
                }
                tracing::warn!(
                    error = crate::error::cause_chain(&error),
                    "a stale list is served"
                );
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Whether all that are missing were known once.
    async fn fill_stale(&self, ids: &[ProductId], answers: &mut [Option<Answer>]) -> bool {
        for (slot, id) in answers.iter_mut().zip(ids) {
            if slot.is_none() {
                *slot = self.stale(*id).await;
                if slot.is_none() {
                    return false;
                }
            }
        }
        true
    }

    async fn kept(&self, id: ProductId, found: Found) -> Answer {
        let answer = self.known(found).await;
        self.fresh.insert(id, answer.clone()).await;
        answer
    }
}

fn unanswered<'a>(
    ids: &'a [ProductId],
    answers: &'a [Option<Answer>],
) -> impl Iterator<Item = ProductId> + 'a {
    ids.iter()
        .zip(answers)
        .filter(|(_, answer)| answer.is_none())
        .map(|(id, _)| *id)
}

//! Saving products of one merchant: one or a hundred of them, in the transaction of the caller, with
//! a handful of statements however many there are.

use std::collections::HashMap;

use ferrocart_pg_kit::outbox;
use ferrocart_types::{Timestamp, UserId};
use sqlx::PgConnection;

use super::Catalog;
use crate::domain::{Content, Planned, Product, Refusal, RuledCategory, plan};
use crate::error::CatalogError;
use crate::store;

/// What is to be saved. No two of one call may share a handle or an article number.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The product that the content is for, locked and loaded; a new one without.
    pub(crate) existing: Option<&'a Product>,
    pub(crate) content: &'a Content,
}

/// Plans and writes them, with their events. The merchant must be locked. Those that are refused do not
/// keep the others from being saved.
pub(crate) async fn save(
    catalog: &Catalog,
    conn: &mut PgConnection,
    merchant: UserId,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Result<Planned, Refusal>>, CatalogError> {
    let slugs: Vec<&str> = wanted
        .iter()
        .map(|wanted| wanted.content.category.as_str())
        .collect();
    let categories = store::categories::by_slugs(conn, &slugs).await?;
    let skus: Vec<&str> = wanted
        .iter()
        .flat_map(|wanted| &wanted.content.variants)
        .map(|variant| variant.sku.as_str())
        .collect();
    let owners = store::variants::owners(conn, merchant, &skus).await?;
    let now = catalog.clock.now();
    let planned: Vec<Result<Planned, Refusal>> = wanted
        .iter()
        .map(|wanted| {
            let category = category(&categories, wanted.content)?;
            let tools: (&dyn ferrocart_types::IdGen, Timestamp) = (&*catalog.ids, now);
            plan(
                wanted.existing,
                merchant,
                wanted.content,
                (&category.category, &category.rules),
                &owners,
                tools,
            )
        })
        .collect();
    write(catalog, conn, &planned).await?;
    Ok(planned)
}

fn category<'a>(
    categories: &'a HashMap<String, RuledCategory>,
    content: &Content,
) -> Result<&'a RuledCategory, Refusal> {
    categories
        .get(&content.category)
        .ok_or_else(|| Refusal::UnknownCategory {
            slug: content.category.clone(),
        })
}

async fn write(
    catalog: &Catalog,
    conn: &mut PgConnection,
    planned: &[Result<Planned, Refusal>],
) -> Result<(), CatalogError> {
    let (mut created, mut updated) = (Vec::new(), Vec::new());
    for planned in planned.iter().flatten() {
        match planned {
            Planned::Created(product) => created.push(product),
            Planned::Updated(product) => updated.push(product),
            Planned::Unchanged(_) => {}
        }
    }
    store::products::insert(conn, &created).await?;
    store::products::update(conn, &updated).await?;
    let changed: Vec<&Product> = created.into_iter().chain(updated).collect();
    if changed.is_empty() {
        return Ok(());
    }
    store::variants::save(conn, &changed).await?;
    let events: Vec<_> = changed.iter().map(|product| catalog.event(product)).collect();
    outbox::append(conn, &events).await?;
    Ok(())
}

/// Which products a call of [`save`] has changed, for [`Catalog::committed`].
pub(crate) fn changes<'a>(
    planned: impl IntoIterator<Item = &'a Planned>,
) -> Vec<(ferrocart_types::ProductId, i64)> {
    planned
        .into_iter()
        .filter(|planned| !matches!(planned, Planned::Unchanged(_)))
        .map(|planned| (planned.product().id, planned.product().version))
        .collect()
}

use std::sync::Arc;

use ferrocart_http_kit::detached;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::CategoryId;
use sqlx::PgConnection;

use super::Catalog;
use crate::domain::{CATEGORIES_MAX, Category, DEPTH_MAX, NewCategory};
use crate::error::CatalogError;
use crate::store;

pub(crate) async fn create(catalog: Catalog, new: NewCategory) -> Result<Category, CatalogError> {
    let new = Arc::new(new);
    detached("category.create", async move {
        let category = run_tx(&catalog.pool, "category.create", |conn| {
            let (catalog, new) = (catalog.clone(), Arc::clone(&new));
            Box::pin(async move { create_in(&catalog, conn, &new).await })
        })
        .await?;
        catalog.categories.changed().await;
        Ok(category)
    })
    .await
}

async fn create_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    new: &NewCategory,
) -> Result<Category, CatalogError> {
    let count = store::categories::lock_tree(conn).await?;
    let mut path = match new.parent_id {
        Some(parent) => store::categories::path_of(conn, parent)
            .await?
            .ok_or(CatalogError::ParentNotFound)?,
        None => Vec::new(),
    };
    if count >= CATEGORIES_MAX || path.len() >= DEPTH_MAX {
        return Err(CatalogError::TreeTooLarge);
    }
    path.push(new.slug.clone());
    let category = Category {
        category_id: CategoryId(catalog.ids.next()),
        slug: new.slug.clone(),
        name: new.name.clone(),
        parent_id: new.parent_id,
        path,
    };
    if store::categories::insert(conn, &category, catalog.clock.now()).await? {
        Ok(category)
    } else {
        Err(CatalogError::CategoryExists)
    }
}

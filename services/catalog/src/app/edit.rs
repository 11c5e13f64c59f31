//! Changes to single products by their merchant, or by an admin.

use std::sync::Arc;

use ferrocart_http_kit::detached;
use ferrocart_pg_kit::run_tx;
use ferrocart_types::{ProductId, UserId};
use garde::Validate;
use sqlx::PgConnection;

use super::Catalog;
use super::save::{Wanted, changes, save};
use crate::domain::{Content, ContentPatch, Planned, Product, Refusal, Status};
use crate::error::{CatalogError, field_errors};
use crate::store;

/// Who changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Editor {
    pub(crate) user_id: UserId,
    pub(crate) is_admin: bool,
}

impl Editor {
    /// Others' products that everybody sees are forbidden; those that nobody else sees do not exist.
    fn may_change(self, merchant: UserId, status: Status) -> Result<(), CatalogError> {
        if self.is_admin || self.user_id == merchant {
            Ok(())
        } else if status == Status::Active {
            Err(CatalogError::NotOwner)
        } else {
            Err(CatalogError::ProductNotFound)
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Replace(Box<Content>),
    Merge(Box<ContentPatch>),
    Archive,
}

/// Which versions `If-Match` admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    OneOf(Vec<i64>),
}

pub(crate) async fn create(
    catalog: Catalog,
    editor: Editor,
    content: Content,
) -> Result<Product, CatalogError> {
    let content = Arc::new(content);
    detached("product.create", async move {
        let planned = run_tx(&catalog.pool, "product.create", |conn| {
            let (catalog, content) = (catalog.clone(), Arc::clone(&content));
            Box::pin(async move {
                let merchant = editor.user_id;
                store::products::lock_merchant(conn, merchant).await?;
                require_free_handle(conn, merchant, &content.handle).await?;
                save_one(&catalog, conn, merchant, None, &content).await
            })
        })
        .await?;
        catalog.committed(&changes([&planned])).await;
        Ok(planned.product().clone())
    })
    .await
}

pub(crate) async fn change(
    catalog: Catalog,
    editor: Editor,
    id: ProductId,
    edit: Edit,
    expected: Expected,
) -> Result<Product, CatalogError> {
    let (edit, expected) = (Arc::new(edit), Arc::new(expected));
    detached("product.change", async move {
        let planned = run_tx(&catalog.pool, "product.change", |conn| {
            let (catalog, edit, expected) = (catalog.clone(), Arc::clone(&edit), Arc::clone(&expected));
            Box::pin(async move { change_in(&catalog, conn, (editor, id), &edit, &expected).await })
        })
        .await?;
        catalog.committed(&changes([&planned])).await;
        Ok(planned.product().clone())
    })
    .await
}

async fn change_in(
    catalog: &Catalog,
    conn: &mut PgConnection,
    (editor, id): (Editor, ProductId),
    edit: &Edit,
    expected: &Expected,
) -> Result<Planned, CatalogError> {
    // The merchant of a product never changes, so it may be read before the lock.
    let (merchant, status) = store::products::merchant_of(conn, id)
        .await?
        .ok_or(CatalogError::ProductNotFound)?;
    editor.may_change(merchant, status)?;
    store::products::lock_merchant(conn, merchant).await?;
    let product = load_locked(conn, id)
        .await?
        .ok_or(CatalogError::ProductNotFound)?;
    if let Expected::OneOf(versions) = expected
        && !versions.contains(&product.version)
    {
        return Err(CatalogError::VersionMismatch {
            version: product.version,
        });
    }
    let content = match edit {
        Edit::Replace(content) => (**content).clone(),
        Edit::Merge(patch) => {
            let merged = patch.apply(product.content());
            merged
                .validate()
                .map_err(|report| CatalogError::Invalid(field_errors(&report)))?;
            merged
        }
        Edit::Archive => Content {
            status: Status::Archived,
            ..product.content()
        },
    };
    if content.handle != product.handle {
        require_free_handle(conn, merchant, &content.handle).await?;
    }
    save_one(catalog, conn, merchant, Some(&product), &content).await
}

/// The product as it stands, held still until the transaction ends.
pub(crate) async fn load_locked(
    conn: &mut PgConnection,
    id: ProductId,
) -> Result<Option<Product>, CatalogError> {
    let ids = [id.as_uuid()];
    store::products::lock(conn, &ids).await?;
    Ok(store::products::by_ids(conn, &ids).await?.into_iter().next())
}

async fn require_free_handle(
    conn: &mut PgConnection,
    merchant: UserId,
    handle: &str,
) -> Result<(), CatalogError> {
    let taken = store::products::ids_by_handles(conn, merchant, &[handle]).await?;
    if taken.is_empty() {
        return Ok(());
    }
    Err(CatalogError::Refused(Refusal::HandleTaken {
        handle: handle.to_owned(),
    }))
}

async fn save_one(
    catalog: &Catalog,
    conn: &mut PgConnection,
    merchant: UserId,
    existing: Option<&Product>,
    content: &Content,
) -> Result<Planned, CatalogError> {
    let saved = save(catalog, conn, merchant, &[Wanted { existing, content }]).await?;
    match saved.into_iter().next() {
        Some(outcome) => Ok(outcome?),
        None => Err(CatalogError::ProductNotFound),
    }
}

use anyhow::{Context, bail};
use ferrocart_contracts::v1::{self, ProductDeleted, ProductStatus, ProductUpserted, StockUpdated};
use ferrocart_contracts::{Envelope, Event, timestamp_from_proto};
use ferrocart_types::Money;

use crate::domain::{Change, Product, Rating, Variant};

/// What the event means to the index; `None` for those that mean nothing to it.
pub(super) fn change(envelope: &Envelope) -> anyhow::Result<Option<Change>> {
    let change = match envelope.event_type.as_str() {
        ProductUpserted::TYPE => {
            let event: ProductUpserted = envelope.decode()?;
            let product = event.product.context("the event holds no product")?;
            Change::Upserted(Box::new(parse(product)?))
        }
        ProductDeleted::TYPE => {
            let event: ProductDeleted = envelope.decode()?;
            Change::Deleted {
                product_id: event.product_id.parse()?,
                version: event.version,
            }
        }
        StockUpdated::TYPE => {
            let event: StockUpdated = envelope.decode()?;
            // What is no longer offered cannot be bought, whatever is left of it.
            let discontinued = event.reason == "DISCONTINUED";
            Change::Stock {
                sku_id: event.sku_id.parse()?,
                version: event.version,
                available: if discontinued { 0 } else { event.available },
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(change))
}

fn parse(product: v1::Product) -> anyhow::Result<Product> {
    let active = product.status() == ProductStatus::Active;
    let created_at = product.created_at.as_ref().context("created_at is missing")?;
    let created_at = timestamp_from_proto(created_at).context("created_at is no moment")?;
    if product.version < 1 {
        bail!("version: {} is not a version", product.version);
    }
    Ok(Product {
        product_id: product.product_id.parse()?,
        version: product.version,
        active,
        title: product.title,
        description: product.description,
        brand: product.brand,
        category_path: product.category_path,
        attributes: product.attributes.into_iter().collect(),
        image: Some(product.image_url).filter(|url| !url.is_empty()),
        variants: product
            .variants
            .into_iter()
            .map(variant)
            .collect::<anyhow::Result<_>>()?,
        rating: Rating {
            hundredths: product.rating_hundredths,
            count: product.rating_count,
        },
        created_at,
    })
}

fn variant(variant: v1::Variant) -> anyhow::Result<Variant> {
    let price = variant.price.as_ref().context("a variant has no price")?;
    Ok(Variant {
        sku_id: variant.sku_id.parse()?,
        options: variant.options.into_iter().collect(),
        price: Money::try_from(price)?,
    })
}

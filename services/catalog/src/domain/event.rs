//! A product's change as the topic `catalog-events` tells it.

use ferrocart_contracts::{timestamp_to_proto, v1};
use ferrocart_types::Timestamp;

use super::product::{Product, Status, Variant};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Upserted(Box<v1::ProductUpserted>),
    Deleted(v1::ProductDeleted),
}

/// With the prices of this time. An archived product is gone for everybody who follows the catalog.
pub(crate) fn changed(product: &Product, now: Timestamp) -> Change {
    let status = match product.status {
        Status::Archived => {
            return Change::Deleted(v1::ProductDeleted {
                product_id: product.id.to_string(),
                version: product.version,
            });
        }
        Status::Draft => v1::ProductStatus::Draft,
        Status::Active => v1::ProductStatus::Active,
    };
    let attributes = product.attributes.iter();
    Change::Upserted(Box::new(v1::ProductUpserted {
        product: Some(v1::Product {
            product_id: product.id.to_string(),
            merchant_id: product.merchant_id.to_string(),
            handle: product.handle.clone(),
            title: product.title.clone(),
            description: product.description.clone(),
            brand: product.brand.clone(),
            category_id: product.category.id.to_string(),
            category_path: product.category.path.clone(),
            attributes: attributes
                .map(|(key, value)| (key.clone(), value.to_string()))
                .collect(),
            image_url: product
                .images
                .first()
                .map(|image| image.url.clone())
                .unwrap_or_default(),
            variants: product.variants.iter().map(|each| variant(each, now)).collect(),
            rating_hundredths: product.rating.hundredths(),
            rating_count: u32::try_from(product.rating.count()).unwrap_or(0),
            status: status.into(),
            version: product.version,
            created_at: Some(timestamp_to_proto(product.created_at)),
            updated_at: Some(timestamp_to_proto(product.updated_at)),
        }),
    }))
}

fn variant(variant: &Variant, now: Timestamp) -> v1::Variant {
    v1::Variant {
        sku_id: variant.sku_id.to_string(),
        sku: variant.sku.clone(),
        options: variant
            .options
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        price: Some(variant.price_at(now).into()),
    }
}

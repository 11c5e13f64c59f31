//! What saving a product comes to: a new one, a new version, or nothing at all.

use std::collections::HashMap;

use ferrocart_types::{IdGen, ProductId, SkuId, Timestamp, UserId};

use super::attributes::AttributeRules;
use super::category::CategoryRef;
use super::content::Content;
use super::product::{Product, Status, Variant};
use super::rating::Rating;

/// To whom an article number of the merchant belongs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SkuOwner {
    pub(crate) sku_id: SkuId,
    pub(crate) product_id: ProductId,
    /// Whether that product still has it.
    pub(crate) listed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Planned {
    Created(Product),
    Updated(Product),
    /// The content is what is stored: no new version, no event.
    Unchanged(Product),
}

impl Planned {
    pub(crate) fn product(&self) -> &Product {
        match self {
            Self::Created(product) | Self::Updated(product) | Self::Unchanged(product) => product,
        }
    }
}

/// Why a product with valid content cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no category `{slug}`")]
    UnknownCategory { slug: String },
    #[error("another product of yours has the handle `{handle}`")]
    HandleTaken { handle: String },
    #[error("the sku `{sku}` belongs to another product of yours")]
    SkuTaken { at: usize, sku: String },
    #[error("the attributes are not those of the category")]
    Attributes { faults: Vec<(String, String)> },
}

impl Refusal {
    /// The fields that are at fault, and why.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let field = match self {
            Self::UnknownCategory { .. } => "category".to_owned(),
            Self::HandleTaken { .. } => "handle".to_owned(),
            Self::SkuTaken { at, .. } => format!("variants[{at}].sku"),
            Self::Attributes { faults } => return faults.clone(),
        };
        vec![(field, self.to_string())]
    }
}

/// Rules may be younger than a product: it is held to them by what changes its attributes, its category, or
/// makes it active; and may always be archived, or given another price.
fn check_attributes(
    existing: Option<&Product>,
    content: &Content,
    (category, rules): (&CategoryRef, &AttributeRules),
) -> Result<(), Refusal> {
    let must_be_complete = content.status == Status::Active;
    let is_touched = existing.is_none_or(|product| {
        product.attributes != content.attributes
            || product.category.id != category.id
            || (must_be_complete && product.status != Status::Active)
    });
    if !is_touched {
        return Ok(());
    }
    let faults = rules.faults(&content.attributes, must_be_complete);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Attributes { faults })
    }
}

/// `owners` speaks of all article numbers of the content that the merchant has used before.
pub(crate) fn plan(
    existing: Option<&Product>,
    merchant_id: UserId,
    content: &Content,
    (category, rules): (&CategoryRef, &AttributeRules),
    owners: &HashMap<String, SkuOwner>,
    (ids, now): (&dyn IdGen, Timestamp),
) -> Result<Planned, Refusal> {
    if let Some(product) = existing
        && product.content() == *content
    {
        return Ok(Planned::Unchanged(product.clone()));
    }
    check_attributes(existing, content, (category, rules))?;
    let id = existing.map_or_else(|| ProductId(ids.next()), |product| product.id);
    let mut variants = Vec::with_capacity(content.variants.len());
    for (at, wanted) in content.variants.iter().enumerate() {
        let sku_id = match owners.get(&wanted.sku) {
            Some(owner) if owner.listed && owner.product_id != id => {
                return Err(Refusal::SkuTaken {
                    at,
                    sku: wanted.sku.clone(),
                });
            }
            Some(owner) => owner.sku_id,
            None => SkuId(ids.next()),
        };
        variants.push(Variant {
            sku_id,
            sku: wanted.sku.clone(),
            options: wanted.options.clone(),
            price: wanted.price,
            sale: wanted.sale,
        });
    }
    let product = Product {
        id,
        merchant_id,
        handle: content.handle.clone(),
        title: content.title.clone(),
        description: content.description.clone(),
        brand: content.brand.clone(),
        category: category.clone(),
        attributes: content.attributes.clone(),
        images: content.images.clone(),
        variants,
        status: content.status,
        rating: existing.map_or_else(Rating::default, |product| product.rating),
        version: existing.map_or(1, |product| product.version + 1),
        created_at: existing.map_or(now, |product| product.created_at),
        updated_at: now,
    };
    Ok(if existing.is_some() {
        Planned::Updated(product)
    } else {
        Planned::Created(product)
    })
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{CategoryId, SystemIds};
    use serde_json::json;

    use super::*;
    use crate::domain::AttributeValue;

    fn content(skus: &[&str]) -> Content {
        let variants: Vec<_> = skus
            .iter()
            .map(|sku| json!({"sku": sku, "price": {"amount_minor": 100, "currency": "USD"}}))
            .collect();
        serde_json::from_value(json!({
            "handle": "shoe", "title": "Shoe", "brand": "Alpina", "category": "shoes", "variants": variants,
        }))
        .unwrap()
    }

    fn planned(
        existing: Option<&Product>,
        content: &Content,
        owners: &HashMap<String, SkuOwner>,
    ) -> Result<Planned, Refusal> {
        let merchant = UserId(SystemIds.next());
        let category = CategoryRef {
            id: CategoryId(SystemIds.next()),
            slug: content.category.clone(),
            path: vec![content.category.clone()],
        };
        plan(
            existing,
            merchant,
            content,
            (&category, &AttributeRules::inherited(&[])),
            owners,
            (&SystemIds, Timestamp::UNIX_EPOCH),
        )
    }

    fn owners(product: &Product) -> HashMap<String, SkuOwner> {
        product
            .variants
            .iter()
            .map(|variant| {
                let owner = SkuOwner {
                    sku_id: variant.sku_id,
                    product_id: product.id,
                    listed: true,
                };
                (variant.sku.clone(), owner)
            })
            .collect()
    }

    #[test]
    fn the_same_content_again_is_no_change() {
        let content = content(&["A", "B"]);
        let Ok(Planned::Created(product)) = planned(None, &content, &HashMap::new()) else {
            panic!("not created");
        };
        assert_eq!(product.version, 1);
        let again = planned(Some(&product), &content, &owners(&product)).unwrap();
        assert_eq!(again, Planned::Unchanged(product));
    }

    #[test]
    fn a_sku_keeps_its_id_and_is_taken_from_nobody() {
        let created = planned(None, &content(&["A", "B"]), &HashMap::new()).unwrap();
        let product = created.product();
        let mut owners = owners(product);
        let changed = planned(Some(product), &content(&["B", "C"]), &owners).unwrap();
        assert_eq!(changed.product().version, 2);
        assert_eq!(changed.product().variants[0].sku_id, product.variants[1].sku_id);

        let refused = planned(None, &content(&["X", "A"]), &owners).unwrap_err();
        assert_eq!(refused.faults()[0].0, "variants[1].sku");
        owners.get_mut("A").unwrap().listed = false;
        let moved = planned(None, &content(&["X", "A"]), &owners).unwrap();
        assert_eq!(moved.product().variants[1].sku_id, product.variants[0].sku_id);
    }

    #[test]
    fn rules_hold_for_what_is_touched() {
        let rules: super::super::CategoryAttributes = serde_json::from_value(json!({"attributes": [
            {"name": "color", "type": "text", "required": true}]}))
        .unwrap();
        let rules = AttributeRules::inherited(&[rules]);
        let product = planned(None, &content(&["A"]), &HashMap::new())
            .unwrap()
            .product()
            .clone();
        let check = |existing: Option<&Product>, change: &dyn Fn(&mut Content)| {
            let mut content = product.content();
            change(&mut content);
            check_attributes(existing, &content, (&product.category, &rules)).is_ok()
        };
        let old = Some(&product);
        assert!(!check(None, &|_| {}));
        assert!(check(None, &|content| content.status = Status::Draft));
        // It was there before the rule.
        assert!(check(old, &|content| content.title = "Other".to_owned()));
        assert!(check(old, &|content| content.status = Status::Archived));
        let blue = AttributeValue::Text("blue".to_owned());
        assert!(!check(old, &|content| drop(
            content.attributes.insert("sole".to_owned(), blue.clone())
        )));
        assert!(check(old, &|content| drop(
            content.attributes.insert("color".to_owned(), blue.clone())
        )));
        let draft = Product {
            status: Status::Draft,
            ..product.clone()
        };
        assert!(!check(Some(&draft), &|_| {}), "now it is to be active");
    }
}

//! Sixty products of which everything is known.

use std::collections::BTreeMap;

use ferrocart_contracts::{timestamp_to_proto, v1};
use ferrocart_types::Timestamp;

use crate::support::{Shop, product, variant};

const BRANDS: [&str; 4] = ["Nordlicht", "Acme", "Zephyr & Söhne", "Kestrel"];
const CATEGORIES: [[&str; 2]; 3] = [["shoes", "trail-shoes"], ["shoes", "boots"], ["home", "lamps"]];

#[derive(Debug, Clone)]
pub(crate) struct Good {
    pub(crate) event: v1::Product,
    pub(crate) prices: [i64; 2],
    pub(crate) created: i64,
    pub(crate) in_stock: bool,
}

impl Good {
    pub(crate) fn id(&self) -> &str {
        &self.event.product_id
    }

    pub(crate) fn path(&self) -> &[String] {
        &self.event.category_path
    }
}

/// Lists all of them and waits until they can be found.
pub(crate) async fn list(shop: &Shop) -> Vec<Good> {
    let goods: Vec<Good> = (0..60).map(good).collect();
    for good in &goods {
        shop.list(&good.event).await;
        shop.stock(&good.event.variants[0].sku_id, 0, 2).await;
        shop.stock(&good.event.variants[1].sku_id, i64::from(good.in_stock), 1)
            .await;
    }
    shop.settled().await;
    goods
}

fn good(number: usize) -> Good {
    let n = i64::try_from(number).unwrap();
    let kind = ["Trail Shoe", "Boot", "Lantern"][number % 3];
    let mut event = product(&format!("{kind} {number}"));
    event.brand = BRANDS[number % 4].into();
    event.category_path = CATEGORIES[number % 3].map(ToOwned::to_owned).to_vec();
    // Several share a price, a rating and a moment, so that ties have to be settled.
    let lowest = 1_000 + (n * 37 % 20) * 100;
    let prices = [lowest + 500 * (n % 2), lowest];
    event.variants = prices.map(variant).to_vec();
    event.rating_hundredths = u32::try_from(n % 6 * 90).unwrap();
    event.rating_count = if number.is_multiple_of(6) { 0 } else { 3 };
    let material = ["leather", "brass, polished"][number % 2];
    event.attributes = [
        ("material".to_owned(), material.to_owned()),
        ("washable".to_owned(), number.is_multiple_of(3).to_string()),
    ]
    .into();
    for (variant, colour) in event.variants.iter_mut().zip(["red", "blue"]) {
        let colour = if number.is_multiple_of(5) { "black" } else { colour };
        variant.options.insert("colour".to_owned(), colour.to_owned());
    }
    let created = 1_750_000_000 + n / 3 * 60;
    event.created_at = Some(timestamp_to_proto(Timestamp::from_timestamp(created, 0).unwrap()));
    Good {
        event,
        prices,
        created,
        in_stock: !number.is_multiple_of(5),
    }
}

impl Good {
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        let options = self.event.variants.iter().map(|variant| &variant.options);
        let mut all = options.chain([&self.event.attributes]);
        all.any(|pairs| pairs.get(name).is_some_and(|own| own == value))
    }
}

/// What the facets must say of these goods.
pub(crate) fn counts<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value.to_owned()).or_default() += 1;
    }
    counts
}

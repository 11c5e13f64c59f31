use std::collections::HashSet;
use std::time::Instant;

use serde_json::json;
use uuid::Uuid;

use super::arrive::People;
use super::webhooks::{Webhook, add};
use super::{Outcome, Script, Told};
use crate::api::Answer;
use crate::dto::{Product, SearchAnswer, SearchItem, Variant};
use crate::report::{Failure, Reporter, Step, Unmet};
use crate::screen::format_duration;
use crate::shop::{Session, Shop, unique};
use crate::wait::{Attempt, until};

/// Units of the merchant's own product: plenty of the first variant, one of the second.
const PLENTY: i64 = 20;
/// What the main purchase takes.
pub(super) const QUANTITY: u32 = 2;
const PAGE: u64 = 5;

pub(super) struct Goods {
    /// From the sample catalog, for the main purchase.
    pub(super) product: Product,
    pub(super) variant: Variant,
    /// Listed by this run, so nobody else touches its stock.
    pub(super) own: Product,
    /// A word that no other product has.
    pub(super) own_word: String,
    pub(super) plenty: Variant,
    pub(super) last_unit: Variant,
    /// Where the merchant is told what becomes of it all.
    pub(super) webhook: Webhook,
}

pub(super) async fn chapter(
    script: &mut Script<'_, impl Reporter>,
    people: &People,
) -> Result<Goods, Failure> {
    let shop = script.shop;
    let found = script.step(Step::Search, search(shop)).await?;
    script
        .step(Step::FilterAndSort, filter_and_sort(shop, &found[0]))
        .await?;
    let (product, variant) = script.step(Step::ReadProduct, read_product(shop, &found)).await?;
    let own = script
        .step(
            Step::ListProduct,
            list_product(shop, &people.merchant, &product.category),
        )
        .await?;
    let (own, own_word, [plenty, last_unit]) = own;
    let webhook = script.step(Step::AddWebhook, add(shop, &people.merchant)).await?;
    Ok(Goods {
        product,
        variant,
        own,
        own_word,
        plenty,
        last_unit,
        webhook,
    })
}

pub(super) async fn query(
    shop: &Shop<'_>,
    parameters: &[(&str, &str)],
) -> Result<(Answer, SearchAnswer), Unmet> {
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", value.replace(' ', "%20")))
        .collect();
    let answer = shop
        .api
        .get(format!("/v1/search?{}", parameters.join("&")))
        .send()
        .await?
        .expect(&[200])?;
    let found = answer.read()?;
    Ok((answer, found))
}

/// The index follows its events, so a catalog that was just loaded may take a moment.
async fn search(shop: &Shop<'_>) -> Outcome<Vec<SearchItem>> {
    let wanted = shop.options.query.as_str();
    let parameters = [
        ("q", wanted),
        ("in_stock", "true"),
        ("facets", "category,brand"),
        ("limit", "10"),
    ];
    let expectation = format!("\"{wanted}\" to find products in stock (is the sample catalog loaded?)");
    let (answer, found) = until(shop.limit(), &expectation, async || {
        let (answer, found) = query(shop, &parameters).await?;
        Ok(if found.items.is_empty() {
            Attempt::not_yet(answer)
        } else {
            Attempt::Done((answer, found))
        })
    })
    .await?;
    answer.must(
        found.items.iter().all(|item| item.in_stock),
        "only products in stock",
    )?;
    let mut notes = Vec::new();
    for name in ["category", "brand"] {
        let facet = found.facets.get(name).filter(|values| !values.is_empty());
        let facet = facet.ok_or_else(|| answer.unmet(format!("the facet {name}")))?;
        let counts: Vec<String> = facet
            .iter()
            .take(4)
            .map(|facet| format!("{} {}", facet.value, facet.count))
            .collect();
        notes.push(format!("{name}: {}", counts.join(", ")));
    }
    let detail = format!(
        "200, \"{wanted}\" finds {}, first {}",
        found.total, found.items[0].title
    );
    Ok(Told {
        value: found.items,
        detail,
        notes,
    })
}

async fn filter_and_sort(shop: &Shop<'_>, like: &SearchItem) -> Outcome<()> {
    let price_max = like.price_min.amount_minor.to_string();
    let limit = PAGE.to_string();
    let mut parameters = vec![
        ("category", like.category.as_str()),
        ("price_min", "0"),
        ("price_max", price_max.as_str()),
        ("sort", "price_asc"),
        ("limit", limit.as_str()),
    ];
    let (answer, first) = query(shop, &parameters).await?;
    let count = |items: &[SearchItem]| u64::try_from(items.len()).unwrap_or(u64::MAX);
    answer.must(
        (1..=PAGE).contains(&count(&first.items)),
        format!("1 to {PAGE} items"),
    )?;
    let cursor = first.next_cursor.clone();
    let mut items = first.items;
    if let Some(cursor) = &cursor {
        parameters.push(("cursor", cursor));
        let (_, second) = query(shop, &parameters).await?;
        items.extend(second.items);
    }
    let two_pages = first.total.min(2 * PAGE);
    answer.must(
        count(&items) == two_pages,
        format!("{two_pages} items on two pages"),
    )?;
    answer.must(
        items.iter().all(|item| item.category == like.category),
        format!("only {}", like.category),
    )?;
    let prices: Vec<i64> = items.iter().map(|item| item.price_min.amount_minor).collect();
    answer.must(prices.is_sorted(), format!("ascending prices, not {prices:?}"))?;
    answer.must(
        prices.iter().all(|price| *price <= like.price_min.amount_minor),
        format!("prices up to {price_max}"),
    )?;
    let distinct: HashSet<Uuid> = items.iter().map(|item| item.product_id).collect();
    answer.must(distinct.len() == items.len(), "no product on two pages")?;
    let detail = format!(
        "200, {} in {} up to {}, cheapest first",
        first.total, like.category, like.price_min
    );
    Ok(Told::new((), detail))
}

/// The first of the found products with enough units of a variant.
async fn read_product(shop: &Shop<'_>, found: &[SearchItem]) -> Outcome<(Product, Variant)> {
    for item in found {
        let path = format!("/v1/products/{}", item.product_id);
        let answer = shop.api.get(path.as_str()).send().await?.expect(&[200])?;
        let product: Product = answer.read()?;
        answer.must(
            product.product_id == item.product_id,
            "the product that was asked for",
        )?;
        let etag = answer
            .header("etag")
            .ok_or_else(|| answer.unmet("an ETag"))?
            .to_owned();
        for variant in product.variants.clone() {
            let (_, stock) = shop.stock(variant.sku_id).await?;
            if stock.available < i64::from(QUANTITY) {
                continue;
            }
            let again = shop
                .api
                .get(path)
                .header("if-none-match", etag)
                .send()
                .await?
                .expect(&[304])?;
            let detail = format!(
                "200, {}, {} variants, {}",
                product.title,
                product.variants.len(),
                variant.price
            );
            let note = format!(
                "{}: {} available; again with its ETag: 304 in {}",
                variant.sku,
                stock.available,
                format_duration(again.duration)
            );
            return Ok(Told::new((product, variant), detail).note(note));
        }
    }
    Err(Unmet::new(format!(
        "one of the {} found products to have {QUANTITY} units of a variant",
        found.len()
    )))
}

/// A product, the word that finds it, and its variants with plenty of units and with one.
type Listed = (Product, String, [Variant; 2]);

/// Lists a product of this run alone and waits until it can be found.
async fn list_product(shop: &Shop<'_>, merchant: &Session, category: &str) -> Outcome<Listed> {
    let id = unique();
    let word = format!("zephyrine{}", &id[..10]);
    let price = json!({"amount_minor": 4_250, "currency": "USD"});
    let variants: Vec<_> = ["PLENTY", "LAST"]
        .iter()
        .map(|edition| json!({"sku": format!("DEMO-{}-{edition}", &id[..12]), "options": {"edition": edition}, "price": price}))
        .collect();
    let body = json!({
        "handle": format!("demo-lantern-{}", &id[..12]),
        "title": format!("Demo Lantern {word}"),
        "description": "A lantern that is listed to show how a new product reaches the search.",
        "brand": "Shopper",
        "category": category,
        "attributes": {"material": "brass", "weight_g": 640},
        "images": [{"url": "https://images.example.com/products/demo-lantern/1.jpg", "alt": "A brass lantern"}],
        "variants": variants,
    });
    let answer = shop
        .api
        .post("/v1/products", body)
        .token(&merchant.token)
        .send()
        .await?
        .expect(&[201])?;
    let product: Product = answer.read()?;
    let Ok([plenty, last_unit]) = <[Variant; 2]>::try_from(product.variants.clone()) else {
        return Err(answer.unmet("two variants, as listed"));
    };
    for (variant, on_hand) in [(&plenty, PLENTY), (&last_unit, 1)] {
        let body = json!({"sku_id": variant.sku_id, "on_hand": on_hand});
        let request = shop.api.post("/v1/inventory", body).token(&merchant.token);
        request.key(&unique()).send().await?.expect(&[201])?;
        let (answer, stock) = shop.stock(variant.sku_id).await?;
        answer.must(
            (stock.on_hand, stock.reserved) == (on_hand, 0),
            format!("{on_hand} on hand, none reserved"),
        )?;
    }
    let written = Instant::now();
    until(
        shop.limit(),
        "the new product to be found, in stock",
        async || {
            let (answer, found) = query(shop, &[("q", word.as_str()), ("in_stock", "true")]).await?;
            let there = found
                .items
                .iter()
                .any(|item| item.product_id == product.product_id);
            Ok(if there {
                Attempt::Done(())
            } else {
                Attempt::not_yet(answer)
            })
        },
    )
    .await?;
    let detail = format!(
        "201, {}, {PLENTY} units of one variant and 1 of the other",
        product.handle
    );
    let note = format!(
        "found by search, in stock, {} after the last write",
        format_duration(written.elapsed())
    );
    Ok(Told::new((product, word, [plenty, last_unit]), detail).note(note))
}

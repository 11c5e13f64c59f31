use serde_json::{Value, json};
use tantivy::tokenizer::TextAnalyzer;
use uuid::Uuid;

use crate::domain::{Product, Record};
use crate::engine::language::{plain_analyzer, stemmed_analyzer, tokens};

/// The texts of a product, the most telling first.
pub(super) const TEXTS: [&str; 5] = ["title", "brand", "category", "attributes", "description"];

pub(super) fn plain(field: &str) -> String {
    format!("{field}_plain")
}

pub(super) fn stemmed(field: &str) -> String {
    format!("{field}_stemmed")
}

/// What an index is made with. A document holds its record whole; only listed products have more.
pub(super) fn layout() -> Value {
    let words = json!({ "type": "text", "analyzer": "whitespace", "index_options": "positions" });
    let mut properties = json!({
        "record": { "type": "object", "enabled": false },
        "listed": { "type": "boolean" },
        "in_stock": { "type": "boolean" },
        "sku": { "type": "keyword", "doc_values": false },
        "category": { "type": "keyword" },
        "brand": { "type": "keyword" },
        "attributes": { "type": "keyword" },
        "price": { "type": "long" },
        "price_min": { "type": "long" },
        "rating": { "type": "integer" },
        "rating_rank": { "type": "long" },
        "created": { "type": "long" },
        "tie": { "type": "keyword", "index": false },
    });
    if let Some(properties) = properties.as_object_mut() {
        for field in TEXTS {
            properties.insert(plain(field), words.clone());
            properties.insert(stemmed(field), words.clone());
        }
    }
    json!({
        "settings": {
            // One: word statistics and counts are exact. Replicas spread the reads.
            "number_of_shards": 1,
            // A commit refreshes by itself.
            "refresh_interval": -1,
        },
        "mappings": { "dynamic": "strict", "properties": properties },
    })
}

pub(super) fn document(record: &Record) -> serde_json::Result<Value> {
    let mut document = json!({ "record": serde_json::to_value(record)? });
    if let Record::Product { product, in_stock } = record
        && product.listed()
        && let Some(fields) = document.as_object_mut()
        && let Value::Object(listed) = listed(product, *in_stock)
    {
        fields.extend(listed);
    }
    Ok(document)
}

fn listed(product: &Product, in_stock: bool) -> Value {
    let prices: Vec<i64> = product
        .variants
        .iter()
        .map(|variant| variant.price.amount_minor)
        .collect();
    let skus: Vec<String> = product
        .variants
        .iter()
        .map(|variant| variant.sku_id.to_string())
        .collect();
    let mut document = json!({
        "listed": true,
        "in_stock": in_stock,
        "sku": skus,
        "category": product.category_path,
        "attributes": product.facet_attributes(),
        "price_min": prices.iter().min(),
        "price": prices,
        "rating": product.rating.hundredths,
        "rating_rank": product.rating.rank(),
        "created": product.created_at.timestamp_micros(),
        "tie": tie(product.product_id.as_uuid()),
    });
    let Some(fields) = document.as_object_mut() else {
        return document;
    };
    if !product.brand.is_empty() {
        fields.insert("brand".to_owned(), json!(product.brand));
    }
    let (mut plainly, mut stemming) = (plain_analyzer(), stemmed_analyzer());
    let mut add = |field: &str, texts: &[&str]| {
        let cut = |analyzer: &mut TextAnalyzer| -> Vec<String> {
            let texts = texts.iter();
            texts.map(|text| tokens(analyzer, text).join(" ")).collect()
        };
        fields.insert(plain(field), json!(cut(&mut plainly)));
        fields.insert(stemmed(field), json!(cut(&mut stemming)));
    };
    add("title", &[&product.title]);
    add("brand", &[&product.brand]);
    let categories: Vec<&str> = product.category_path.iter().map(String::as_str).collect();
    add("category", &categories);
    add("attributes", &product.attribute_texts());
    add("description", &[&product.description]);
    document
}

/// Sorts the newest id first.
pub(super) fn tie(product_id: Uuid) -> String {
    format!("{:032x}", !product_id.as_u128())
}

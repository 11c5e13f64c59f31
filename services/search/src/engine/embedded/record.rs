use tantivy::schema::Value;
use tantivy::{DocAddress, Searcher, TantivyDocument, Term};

use super::schema::Fields;
use crate::domain::{Product, Record};
use crate::engine::EngineError;

/// The document; only a listed product gets more than its key and its body.
pub(super) fn to_document(record: &Record, fields: &Fields) -> Result<TantivyDocument, EngineError> {
    let mut document = TantivyDocument::default();
    document.add_text(fields.key, record.key());
    let body = serde_json::to_vec(record).map_err(EngineError::during("writing a document"))?;
    document.add_bytes(fields.body, &body);
    if let Record::Product { product, in_stock } = record
        && product.listed()
    {
        add_listed(&mut document, fields, product, *in_stock);
    }
    Ok(document)
}

/// Reads the document with the key, if there is one.
pub(super) fn find(searcher: &Searcher, fields: &Fields, key: &str) -> Result<Option<Record>, EngineError> {
    let term = Term::from_field_text(fields.key, key);
    let address = addresses(searcher, &term)?.into_iter().next();
    address.map(|address| read(searcher, fields, address)).transpose()
}

pub(super) fn read(searcher: &Searcher, fields: &Fields, address: DocAddress) -> Result<Record, EngineError> {
    let document: TantivyDocument = searcher
        .doc(address)
        .map_err(EngineError::during("reading a document"))?;
    let key = || {
        let key = document.get_first(fields.key).and_then(|value| value.as_str());
        key.map_or_else(|| format!("{address:?}"), ToOwned::to_owned)
    };
    let body = document.get_first(fields.body).and_then(|value| value.as_bytes());
    let body = body.ok_or_else(|| EngineError::Damaged {
        key: key(),
        reason: "it has no body".to_owned(),
    })?;
    serde_json::from_slice(body).map_err(|error| EngineError::Damaged {
        key: key(),
        reason: error.to_string(),
    })
}

/// The living documents that hold the term.
pub(super) fn addresses(searcher: &Searcher, term: &Term) -> Result<Vec<DocAddress>, EngineError> {
    use tantivy::schema::IndexRecordOption::Basic;
    use tantivy::{DocSet, TERMINATED};
    let failed = EngineError::during("looking up a key");
    let mut found = Vec::new();
    for (ordinal, segment) in (0_u32..).zip(searcher.segment_readers()) {
        let index = segment.inverted_index(term.field()).map_err(&failed)?;
        let Some(mut postings) = index
            .read_postings(term, Basic)
            .map_err(EngineError::during("looking up a key"))?
        else {
            continue;
        };
        let mut doc = postings.doc();
        while doc != TERMINATED {
            if !segment.is_deleted(doc) {
                found.push(DocAddress::new(ordinal, doc));
            }
            doc = postings.advance();
        }
    }
    Ok(found)
}

fn add_listed(document: &mut TantivyDocument, fields: &Fields, product: &Product, in_stock: bool) {
    document.add_bool(fields.listed, true);
    document.add_bool(fields.in_stock, in_stock);
    for texts in [&fields.stemmed, &fields.plain] {
        document.add_text(texts.title, &product.title);
        document.add_text(texts.brand, &product.brand);
        for slug in &product.category_path {
            document.add_text(texts.category, slug);
        }
        for words in product.attribute_texts() {
            document.add_text(texts.attributes, words);
        }
        document.add_text(texts.description, &product.description);
    }
    for slug in &product.category_path {
        document.add_text(fields.category, slug);
    }
    if !product.brand.is_empty() {
        document.add_text(fields.brand, &product.brand);
    }
    for attribute in product.facet_attributes() {
        document.add_text(fields.attributes, attribute);
    }
    for variant in &product.variants {
        document.add_text(fields.sku, variant.sku_id.to_string());
        document.add_i64(fields.price, variant.price.amount_minor);
    }
    if let Some((lowest, _)) = product.price_range() {
        document.add_i64(fields.price_min, lowest.amount_minor);
    }
    document.add_u64(fields.rating, u64::from(product.rating.hundredths));
    document.add_i64(fields.rating_rank, product.rating.rank());
    document.add_i64(fields.created, product.created_at.timestamp_micros());
    let (high, low) = product.product_id.as_uuid().as_u64_pair();
    document.add_u64(fields.id_high, high);
    document.add_u64(fields.id_low, low);
}

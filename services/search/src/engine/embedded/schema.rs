use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::TokenizerManager;

use crate::engine::language::{plain_analyzer, stemmed_analyzer};

/// Grows when the fields or the analysis change: an index of another version is left alone and a new one
/// is filled from the topics.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// Words as they are typed: lower case, without accents.
pub(super) const PLAIN: &str = "plain";
/// The same words, each cut to its English stem.
pub(super) const STEMMED: &str = "stemmed";
const RAW: &str = "raw";

/// Names of the fields that are read as columns.
pub(super) const CATEGORY: &str = "category";
pub(super) const BRAND: &str = "brand";
pub(super) const PRICE_MIN: &str = "price_min";
pub(super) const RATING_RANK: &str = "rating_rank";
pub(super) const PRICE: &str = "price";
pub(super) const RATING: &str = "rating";
pub(super) const IN_STOCK: &str = "in_stock";
pub(super) const ATTRIBUTES: &str = "attributes";
pub(super) const CREATED: &str = "created";
pub(super) const ID_HIGH: &str = "id_high";
pub(super) const ID_LOW: &str = "id_low";

/// The fields of the index. It holds products that can be found, and, with `key` and `body` alone, what
/// must be remembered besides: products that are not listed, deleted ones, and each SKU's stock.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    /// Unique: `p:<product_id>` or `s:<sku_id>`.
    pub(super) key: Field,
    /// A [`super::record::Record`] as JSON.
    pub(super) body: Field,
    /// Present and true in what can be found.
    pub(super) listed: Field,
    pub(super) sku: Field,
    pub(super) stemmed: TextFields,
    pub(super) plain: TextFields,
    pub(super) category: Field,
    pub(super) brand: Field,
    /// Names and values in one, see [`crate::domain::attribute_value`].
    pub(super) attributes: Field,
    /// The price of every variant.
    pub(super) price: Field,
    pub(super) price_min: Field,
    pub(super) rating: Field,
    pub(super) rating_rank: Field,
    pub(super) created: Field,
    pub(super) in_stock: Field,
    pub(super) id_high: Field,
    pub(super) id_low: Field,
}

/// The texts of a product, the most telling first.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextFields {
    pub(super) title: Field,
    pub(super) brand: Field,
    pub(super) category: Field,
    pub(super) attributes: Field,
    pub(super) description: Field,
}

pub(super) fn build() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let raw = indexed_by(RAW, IndexRecordOption::Basic, false);
    let raw_column = raw.clone().set_fast(RAW);
    let text_fields = |schema: &mut tantivy::schema::SchemaBuilder, tokenizer: &str, record| {
        let options = indexed_by(tokenizer, record, true);
        let mut add = |name: &str| schema.add_text_field(&format!("{name}_{tokenizer}"), options.clone());
        TextFields {
            title: add("title"),
            brand: add("brand"),
            category: add("category"),
            attributes: add("attributes"),
            description: add("description"),
        }
    };
    let fields = Fields {
        key: schema.add_text_field("key", raw.clone()),
        body: schema.add_bytes_field("body", STORED),
        listed: schema.add_bool_field("listed", INDEXED),
        sku: schema.add_text_field("sku", raw),
        stemmed: text_fields(&mut schema, STEMMED, IndexRecordOption::WithFreqsAndPositions),
        plain: text_fields(&mut schema, PLAIN, IndexRecordOption::WithFreqs),
        category: schema.add_text_field(CATEGORY, raw_column.clone()),
        brand: schema.add_text_field(BRAND, raw_column.clone()),
        attributes: schema.add_text_field(ATTRIBUTES, raw_column),
        price: schema.add_i64_field(PRICE, FAST),
        price_min: schema.add_i64_field(PRICE_MIN, FAST),
        rating: schema.add_u64_field(RATING, FAST),
        rating_rank: schema.add_i64_field(RATING_RANK, FAST),
        created: schema.add_i64_field(CREATED, FAST),
        in_stock: schema.add_bool_field(IN_STOCK, INDEXED | FAST),
        id_high: schema.add_u64_field(ID_HIGH, FAST),
        id_low: schema.add_u64_field(ID_LOW, FAST),
    };
    (schema.build(), fields)
}

fn indexed_by(tokenizer: &str, record: IndexRecordOption, fieldnorms: bool) -> TextOptions {
    TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_index_option(record)
            .set_fieldnorms(fieldnorms),
    )
}

pub(super) fn register_analyzers(manager: &TokenizerManager) {
    manager.register(PLAIN, plain_analyzer());
    manager.register(STEMMED, stemmed_analyzer());
}

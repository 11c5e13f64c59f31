//! How a search is said in the cluster's language. The weights are the embedded engine's.

use serde_json::{Value, json};

use super::documents::{TEXTS, plain, stemmed};
use crate::domain::{FacetName, Filters, PRICE_EDGES, STARS, Sort, attribute_value, price_bands};
use crate::engine::language::{Slot, Synonyms, Typed, Word};
use crate::engine::weights::{EXACT, FIELDS, GUESSES_MAX, SIDE_BY_SIDE, SYNONYM_IN_TITLE, misspelt, synonym};

/// More values of a facet than can be told apart by counting them exactly.
const TERMS_MAX: usize = 10_000;

/// What is listed, holds the text and passes the filters. Only the text counts for the score.
pub(super) fn filtered(text: Option<&Value>, filters: &Filters) -> Value {
    let mut musts = vec![json!({ "term": { "listed": true } })];
    if let Some(category) = &filters.category {
        musts.push(json!({ "term": { "category": category } }));
    }
    if let Some(brand) = &filters.brand {
        musts.push(json!({ "term": { "brand": brand } }));
    }
    if let Some(in_stock) = filters.in_stock {
        musts.push(json!({ "term": { "in_stock": in_stock } }));
    }
    if filters.price_min.is_some() || filters.price_max.is_some() {
        musts.push(json!({ "range": { "price": { "gte": filters.price_min, "lte": filters.price_max } } }));
    }
    if let Some(rating) = filters.rating_min_hundredths {
        musts.push(json!({ "range": { "rating": { "gte": rating } } }));
    }
    for (name, values) in &filters.attributes {
        let any: Vec<String> = values.iter().map(|value| attribute_value(name, value)).collect();
        musts.push(json!({ "terms": { "attributes": any } }));
    }
    let text: Vec<&Value> = text.into_iter().collect();
    json!({ "bool": { "filter": musts, "must": text } })
}

pub(super) fn text(typed: &Typed, relaxed: bool, synonyms: &Synonyms) -> Value {
    if typed.words.is_empty() {
        return json!({ "match_none": {} });
    }
    let slots: Vec<Value> = synonyms.slots(&typed.words).iter().map(one_slot).collect();
    let mut musts = if relaxed { vec![any_of(&slots)] } else { slots };
    for phrase in &typed.phrases {
        let anywhere = TEXTS.map(|field| side_by_side(field, phrase));
        musts.push(any_of(&anywhere));
    }
    let pairs = typed.words.windows(2).map(|pair| {
        let stems: Vec<String> = pair.iter().map(|word| word.stem.clone()).collect();
        constant(&side_by_side("title", &stems), SIDE_BY_SIDE)
    });
    json!({ "bool": { "must": musts, "should": pairs.collect::<Vec<_>>() } })
}

fn one_slot(slot: &Slot<'_>) -> Value {
    let itself = all_of(&slot.words.iter().map(one_word).collect::<Vec<_>>());
    if slot.alternatives.is_empty() {
        return itself;
    }
    let mut ways = vec![itself];
    for stems in &slot.alternatives {
        let everywhere = stems
            .iter()
            .map(|stem| any_of(&in_texts(stem)))
            .collect::<Vec<_>>();
        let in_title = stems
            .iter()
            .map(|stem| term(&stemmed("title"), stem))
            .collect::<Vec<_>>();
        ways.push(constant(&all_of(&everywhere), synonym(slot.words.len())));
        ways.push(constant(&all_of(&in_title), SYNONYM_IN_TITLE));
    }
    any_of(&ways)
}

fn in_texts(stem: &str) -> Vec<Value> {
    TEXTS.map(|field| term(&stemmed(field), stem)).into()
}

fn one_word(word: &Word) -> Value {
    let mut ways = vec![constant(&any_of(&in_texts(&word.stem)), EXACT)];
    for (field, (holds, begins)) in TEXTS.iter().zip(FIELDS) {
        ways.push(json!({ "term": { stemmed(field): { "value": word.stem, "boost": holds } } }));
        if word.may_be_a_prefix() {
            ways.push(constant(&prefix(field, &word.typed), begins));
        }
        if word.may_be_misspelt() {
            let near = json!({ "fuzzy": { plain(field): {
                "value": word.typed, "fuzziness": 1, "transpositions": true, "max_expansions": GUESSES_MAX,
            } } });
            ways.push(constant(&near, misspelt(holds)));
        }
    }
    any_of(&ways)
}

/// All the words, the last one as a beginning.
pub(super) fn completing(words: &[Word], field: &str) -> Value {
    let word = |word: &Word| {
        if word.unfinished {
            prefix(field, &word.typed)
        } else {
            term(&plain(field), &word.typed)
        }
    };
    all_of(&words.iter().map(word).collect::<Vec<_>>())
}

/// Whether anything holds the word, or, while it may still be typed, a word that begins so.
pub(super) fn holds(word: &Word) -> Value {
    let mut ways = in_texts(&word.stem);
    if word.may_be_a_prefix() {
        ways.extend(TEXTS.map(|field| prefix(field, &word.typed)));
    }
    json!({ "bool": { "filter": [any_of(&ways)] } })
}

fn term(field: &str, value: &str) -> Value {
    json!({ "term": { field: value } })
}

fn prefix(field: &str, value: &str) -> Value {
    json!({ "prefix": { plain(field): value } })
}

fn side_by_side(field: &str, stems: &[String]) -> Value {
    json!({ "match_phrase": { stemmed(field): stems.join(" ") } })
}

fn constant(query: &Value, boost: f32) -> Value {
    json!({ "constant_score": { "filter": query, "boost": boost } })
}

fn any_of(queries: &[Value]) -> Value {
    json!({ "bool": { "should": queries, "minimum_should_match": 1 } })
}

fn all_of(queries: &[Value]) -> Value {
    json!({ "bool": { "must": queries } })
}

/// The order, and the field whose value is a hit's place in it; `true`: the lowest first.
pub(super) fn order(sort: Sort) -> (&'static str, bool) {
    match sort {
        Sort::Relevance => ("_score", false),
        Sort::PriceAsc => ("price_min", true),
        Sort::PriceDesc => ("price_min", false),
        Sort::Newest => ("created", false),
        Sort::Rating => ("rating_rank", false),
    }
}

pub(super) fn sorting(sort: Sort) -> Value {
    let (field, lowest) = order(sort);
    let direction = if lowest { "asc" } else { "desc" };
    json!([{ field: { "order": direction } }, { "tie": { "order": "asc" } }])
}

pub(super) fn counting(facet: FacetName) -> Value {
    let terms = |field: &str| json!({ "terms": { "field": field, "size": TERMS_MAX } });
    match facet {
        FacetName::Category => terms("category"),
        FacetName::Brand => terms("brand"),
        FacetName::Attributes => terms("attributes"),
        FacetName::InStock => terms("in_stock"),
        FacetName::Price => {
            let ends = PRICE_EDGES.iter().skip(1).map(Some).chain([None]);
            let bands = price_bands().into_iter().zip(PRICE_EDGES.iter().zip(ends));
            let ranges = bands.map(|(key, (from, end))| match end {
                Some(end) => json!({ "key": key, "from": from, "to": end }),
                None => json!({ "key": key, "from": from }),
            });
            json!({ "range": { "field": "price", "ranges": ranges.collect::<Vec<_>>() } })
        }
        FacetName::Rating => {
            let ranges = STARS.map(|stars| json!({ "key": stars.to_string(), "from": stars * 100 }));
            json!({ "range": { "field": "rating", "ranges": ranges } })
        }
    }
}

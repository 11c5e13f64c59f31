use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::documents::{TEXTS, plain, tie};
use super::{OpenSearchEngine, queries};
use crate::domain::{
    After, FacetCounts, FacetName, Filters, Hit, Record, Request, Results, Sort, Suggestion, Tally, complete,
    counts,
};
use crate::engine::EngineError;
use crate::engine::language::{Typed, Word, plain_analyzer, tokens, typed, words};
use crate::engine::weights::TWO_WRONG_FROM;

/// Titles and brands are looked for among so many products.
const SUGGESTED_AMONG: usize = 100;
const SUGGESTED_BRANDS_MAX: usize = 3;

#[derive(Deserialize)]
struct Answer {
    hits: Hits,
    #[serde(default)]
    aggregations: BTreeMap<String, Buckets>,
}

#[derive(Deserialize)]
struct Hits {
    total: Option<Total>,
    hits: Vec<Found>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
pub(super) struct Found {
    #[serde(rename = "_id")]
    key: String,
    #[serde(rename = "_source")]
    source: Source,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
pub(super) struct Source {
    pub(super) record: Record,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: Value,
    key_as_string: Option<String>,
    doc_count: u64,
}

impl Buckets {
    fn tally(self) -> Tally {
        let buckets = self.buckets.into_iter();
        buckets
            .map(|bucket| {
                let key = bucket.key_as_string.unwrap_or_else(|| match bucket.key {
                    Value::String(key) => key,
                    key => key.to_string(),
                });
                (key, bucket.doc_count)
            })
            .collect()
    }
}

impl Found {
    fn hit(self) -> Result<Hit, EngineError> {
        match self.source.record {
            Record::Product { product, in_stock } => Ok(Hit { product, in_stock }),
            _ => Err(EngineError::Damaged {
                key: self.key,
                reason: "it is no product, yet it is listed".to_owned(),
            }),
        }
    }

    pub(super) fn into_record(self) -> Record {
        self.source.record
    }
}

impl OpenSearchEngine {
    pub(super) async fn find(&self, request: &Request) -> Result<Results, EngineError> {
        let typed = typed(&request.what.text);
        let browsing = request.what.text.is_empty();
        let text = |relaxed| (!browsing).then(|| queries::text(&typed, relaxed, &self.synonyms));
        let mut relaxed = request.after.is_some_and(|after| after.relaxed);
        let mut query = text(relaxed);
        let (mut page, mut facets) = self.page(request, query.as_ref()).await?;
        let may_relax = request.after.is_none() && typed.words.len() > 1 && typed.phrases.is_empty();
        // Only where the words themselves find nothing, not where the filters leave nothing of it.
        if page.total() == 0 && may_relax {
            let anything = queries::filtered(query.as_ref(), &Filters::default());
            if self.count(&anything).await? == 0 {
                relaxed = true;
                query = text(relaxed);
                (page, facets) = self.page(request, query.as_ref()).await?;
            }
        }
        let total = page.total();
        // One more than asked for was looked for, to know whether there is more.
        let more = page.hits.len() > request.limit;
        page.hits.truncate(request.limit);
        let last = page.hits.last().filter(|_| more);
        let rank = last.map(|last| rank(request.what.sort, last)).transpose()?;
        let hits = page.hits.into_iter().map(Found::hit);
        let hits = hits.collect::<Result<Vec<Hit>, EngineError>>()?;
        Ok(Results {
            next: rank.zip(hits.last()).map(|(rank, last)| After {
                rank,
                product_id: last.product.product_id,
                relaxed,
            }),
            hits,
            facets,
            total,
            did_you_mean: match request.after {
                None => self.did_you_mean(&typed, &request.what.text).await?,
                Some(_) => None,
            },
        })
    }

    async fn page(
        &self,
        request: &Request,
        text: Option<&Value>,
    ) -> Result<(Hits, FacetCounts), EngineError> {
        let filters = &request.what.filters;
        let (among, apart) = counts(&request.facets, filters);
        let mut body = json!({
            "query": queries::filtered(text, filters),
            "size": request.limit + 1,
            "sort": queries::sorting(request.what.sort),
            "track_total_hits": true,
            "_source": ["record"],
            "aggs": aggregations(&among),
        });
        if let (Some(after), Some(body)) = (request.after, body.as_object_mut()) {
            let place = json!([
                value_of(request.what.sort, after.rank),
                tie(after.product_id.as_uuid())
            ]);
            body.insert("search_after".to_owned(), place);
        }
        let answer = self.ask("searching", &body).await?;
        let mut tallies = BTreeMap::new();
        for (facet, (_, buckets)) in among.iter().zip(answer.aggregations) {
            tallies.insert(*facet, buckets.tally());
        }
        for apart in apart {
            let body = json!({
                "query": queries::filtered(text, &apart.filters),
                "size": 0,
                "aggs": aggregations(&[apart.facet]),
            });
            let counted = self.ask("counting a facet", &body).await?;
            for buckets in counted.aggregations.into_values() {
                apart.merge(buckets.tally(), &mut tallies);
            }
        }
        Ok((answer.hits, FacetCounts::new(tallies)))
    }

    async fn ask(&self, operation: &'static str, body: &Value) -> Result<Answer, EngineError> {
        let path = format!("{}/_search", self.index);
        self.client.call(operation, Method::POST, &path, body).await
    }

    pub(super) async fn hits(
        &self,
        operation: &'static str,
        body: &Value,
    ) -> Result<Vec<Found>, EngineError> {
        Ok(self.ask(operation, body).await?.hits.hits)
    }

    pub(super) async fn count(&self, query: &Value) -> Result<u64, EngineError> {
        #[derive(Deserialize)]
        struct Counted {
            count: u64,
        }
        let path = format!("{}/_count", self.index);
        let body = json!({ "query": query });
        let counted: Counted = self.client.call("counting", Method::POST, &path, &body).await?;
        Ok(counted.count)
    }

    /// The text with each word that nothing holds replaced by what was probably meant; `None` if there is
    /// no such word, or for one of them no guess.
    async fn did_you_mean(&self, typed: &Typed, text: &str) -> Result<Option<String>, EngineError> {
        let slots = self.synonyms.slots(&typed.words);
        let alone = slots.iter().filter(|slot| slot.alternatives.is_empty());
        let words = alone.flat_map(|slot| slot.words);
        let mut meant = BTreeMap::new();
        for word in words.filter(|word| word.may_be_misspelt()) {
            if self.count(&queries::holds(word)).await? > 0 {
                continue;
            }
            match self.meant(word).await? {
                Some(guess) => meant.insert(word.typed.as_str(), guess),
                None => return Ok(None),
            };
        }
        if meant.is_empty() {
            return Ok(None);
        }
        let words = tokens(&mut plain_analyzer(), text).into_iter();
        let words = words.map(|word| meant.get(word.as_str()).cloned().unwrap_or(word));
        Ok(Some(words.collect::<Vec<_>>().join(" ")))
    }

    /// What was probably meant by a word that nothing holds: the closest, of those the most frequent.
    async fn meant(&self, word: &Word) -> Result<Option<String>, EngineError> {
        #[derive(Deserialize)]
        struct Suggested {
            suggest: BTreeMap<String, Vec<Entry>>,
        }
        #[derive(Deserialize)]
        struct Entry {
            options: Vec<Guess>,
        }
        #[derive(Deserialize)]
        struct Guess {
            text: String,
            freq: u64,
        }
        let farthest = if word.typed.chars().count() < TWO_WRONG_FROM {
            1
        } else {
            2
        };
        let guesses = TEXTS.iter().map(|field| {
            let term = json!({
                "field": plain(field), "suggest_mode": "always", "max_edits": farthest, "prefix_length": 0,
                "min_word_length": 4, "size": 10,
            });
            ((*field).to_owned(), json!({ "text": word.typed, "term": term }))
        });
        let body = json!({ "suggest": guesses.collect::<serde_json::Map<_, _>>(), "size": 0 });
        let path = format!("{}/_search", self.index);
        let suggested: Suggested = self
            .client
            .call("guessing a word", Method::POST, &path, &body)
            .await?;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for guess in suggested
            .suggest
            .into_values()
            .flatten()
            .flat_map(|entry| entry.options)
        {
            *counts.entry(guess.text).or_default() += guess.freq;
        }
        let closest = counts
            .into_iter()
            .min_by_key(|(text, count)| (strsim::osa_distance(text, &word.typed), std::cmp::Reverse(*count)));
        Ok(closest.map(|(text, _)| text))
    }

    pub(super) async fn complete(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, EngineError> {
        let words = words(typed);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let holding =
            |field| queries::filtered(Some(&queries::completing(&words, field)), &Filters::default());
        let brands = json!({
            "query": holding("brand"),
            "size": 0,
            "aggs": { "brand": { "terms": { "field": "brand", "size": SUGGESTED_BRANDS_MAX } } },
        });
        let brands = self.ask("suggesting brands", &brands).await?;
        let brands = brands
            .aggregations
            .into_values()
            .flat_map(|brands| brands.buckets);
        let brands = brands.filter_map(|brand| brand.key.as_str().map(ToOwned::to_owned));
        let brands: Vec<String> = brands.collect();
        let titles = json!({
            "query": holding("title"),
            "size": SUGGESTED_AMONG,
            "sort": queries::sorting(Sort::Rating),
            "_source": ["record"],
        });
        let titles = self.hits("suggesting titles", &titles).await?;
        let titles = titles.into_iter().map(|found| Ok(found.hit()?.product.title));
        let titles = titles.collect::<Result<Vec<_>, EngineError>>()?;
        Ok(complete(typed, brands, titles, limit))
    }
}

impl Hits {
    fn total(&self) -> u64 {
        self.total.as_ref().map_or(0, |total| total.value)
    }
}

/// Named so that they come back in the order of the facets.
fn aggregations(facets: &[FacetName]) -> Value {
    let named: BTreeSet<FacetName> = facets.iter().copied().collect();
    let named = named.into_iter().enumerate();
    let named = named.map(|(number, facet)| (format!("{number}"), queries::counting(facet)));
    Value::Object(named.collect())
}

/// The place in the order that a cursor carries, the same as the embedded engine's: lower comes first.
fn rank(sort: Sort, found: &Found) -> Result<i64, EngineError> {
    let damaged = || EngineError::Damaged {
        key: found.key.clone(),
        reason: "it has no place in the order".to_owned(),
    };
    let value = found.sort.first().ok_or_else(damaged)?;
    if sort == Sort::Relevance {
        let score: f32 = serde_json::from_value(value.clone()).map_err(|_| damaged())?;
        return Ok(-i64::from(score.to_bits()));
    }
    let value = value.as_i64().ok_or_else(damaged)?;
    let (_, lowest) = queries::order(sort);
    Ok(if lowest { value } else { !value })
}

/// The value behind a rank.
fn value_of(sort: Sort, rank: i64) -> Value {
    if sort == Sort::Relevance {
        return json!(f32::from_bits(u32::try_from(rank.saturating_neg()).unwrap_or(0)));
    }
    let (_, lowest) = queries::order(sort);
    json!(if lowest { rank } else { !rank })
}

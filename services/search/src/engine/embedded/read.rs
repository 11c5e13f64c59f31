use std::collections::BTreeMap;
use std::ops::Bound;

use tantivy::collector::Count;
use tantivy::query::{
    Bm25StatisticsProvider, BooleanQuery, ConstScoreQuery, Occur, Query, QueryClone, RangeQuery, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

use super::collect::{Counting, PageHits, PageOf, Place};
use super::record;
use super::schema::Fields;
use super::text::{self, Mode};
use crate::domain::{
    After, FacetCount, FacetCounts, FacetName, Filters, Hit, Record, Request, Results, Sort, Suggestion,
    attribute_value, complete, counts, most_frequent,
};
use crate::engine::EngineError;
use crate::engine::language::{Synonyms, Typed, Word, plain_analyzer, tokens, typed, words};

/// Titles and brands are looked for among so many products.
const SUGGESTED_AMONG: usize = 100;
const SUGGESTED_BRANDS_MAX: usize = 3;

/// Reads one state of the index.
pub(super) struct Reading<'a> {
    searcher: &'a Searcher,
    fields: &'a Fields,
    synonyms: &'a Synonyms,
    statistics: Listed<'a>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        searcher: &'a Searcher,
        fields: &'a Fields,
        synonyms: &'a Synonyms,
    ) -> Result<Self, EngineError> {
        let listed = searcher
            .doc_freq(&Term::from_field_bool(fields.listed, true))
            .map_err(EngineError::during("counting documents"))?;
        Ok(Self {
            searcher,
            fields,
            synonyms,
            statistics: Listed { searcher, listed },
        })
    }

    pub(super) fn documents(&self) -> Result<u64, EngineError> {
        self.count(&self.filtered(None, &Filters::default()))
    }

    pub(super) fn search(&self, request: &Request) -> Result<Results, EngineError> {
        let typed = typed(&request.what.text);
        let mut mode = match request.after {
            Some(after) if after.relaxed => Mode::Any,
            _ => Mode::All,
        };
        let text = self.text(request, &typed, mode)?;
        let (mut page, mut facets) = self.page(request, text.as_deref())?;
        let may_relax = request.after.is_none() && typed.words.len() > 1 && typed.phrases.is_empty();
        // Only where the words themselves find nothing, not where the filters leave nothing of it.
        if page.total == 0 && may_relax && self.count(&self.filtered(text, &Filters::default()))? == 0 {
            mode = Mode::Any;
            let text = self.text(request, &typed, mode)?;
            (page, facets) = self.page(request, text.as_deref())?;
        }
        // One more than asked for was looked for, to know whether there is more.
        let more = page.hits.len() > request.limit;
        page.hits.truncate(request.limit);
        let hits = page
            .hits
            .iter()
            .map(|(_, address)| self.hit(*address))
            .collect::<Result<Vec<Hit>, EngineError>>()?;
        let last = page.hits.last().zip(hits.last()).filter(|_| more);
        Ok(Results {
            facets,
            total: page.total,
            next: last.map(|((place, _), hit)| After {
                rank: place.rank,
                product_id: hit.product.product_id,
                relaxed: mode == Mode::Any,
            }),
            hits,
            did_you_mean: match request.after {
                None => self.did_you_mean(&typed, &request.what.text)?,
                Some(_) => None,
            },
        })
    }

    /// The text with each word that nothing holds replaced by what was probably meant; `None` if there is
    /// no such word, or for one of them no guess.
    fn did_you_mean(&self, typed: &Typed, text: &str) -> Result<Option<String>, EngineError> {
        let mut meant = BTreeMap::new();
        let slots = self.synonyms.slots(&typed.words);
        let alone = slots.iter().filter(|slot| slot.alternatives.is_empty());
        let words = alone.flat_map(|slot| slot.words);
        for word in words.filter(|word| word.may_be_misspelt()) {
            if text::is_known(word, self.searcher, self.fields)? {
                continue;
            }
            match text::meant(word, self.searcher, self.fields)? {
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

    fn text(
        &self,
        request: &Request,
        typed: &Typed,
        mode: Mode,
    ) -> Result<Option<Box<dyn Query>>, EngineError> {
        if request.what.text.is_empty() {
            return Ok(None);
        }
        text::query(typed, mode, self.synonyms, self.searcher, self.fields).map(Some)
    }

    /// The page and its facets. A facet whose own filter is set is counted in a pass of its own, without
    /// that filter, so that the other values can still be chosen.
    fn page(
        &self,
        request: &Request,
        text: Option<&dyn Query>,
    ) -> Result<(PageHits, FacetCounts), EngineError> {
        let filters = &request.what.filters;
        let (among, apart) = counts(&request.facets, filters);
        let page = PageOf {
            sort: request.what.sort,
            after: request
                .after
                .map(|after| Place::new(after.rank, after.product_id.as_uuid())),
            limit: request.limit + 1,
        };
        let text = || text.map(QueryClone::box_clone);
        let query = self.filtered(text(), filters);
        let searching = EngineError::during("searching");
        let (page, mut tallies) = if among.is_empty() {
            let page = self
                .searcher
                .search_with_statistics_provider(&query, &page, &self.statistics);
            (page.map_err(searching)?, BTreeMap::new())
        } else {
            let collector = (page, Counting { facets: &among });
            self.searcher
                .search_with_statistics_provider(&query, &collector, &self.statistics)
                .map_err(searching)?
        };
        for apart in apart {
            let facets = [apart.facet];
            let counted = self
                .searcher
                .search(
                    &self.filtered(text(), &apart.filters),
                    &Counting { facets: &facets },
                )
                .map_err(EngineError::during("counting a facet"))?;
            for tally in counted.into_values() {
                apart.merge(tally, &mut tallies);
            }
        }
        Ok((page, FacetCounts::new(tallies)))
    }

    fn hit(&self, address: tantivy::DocAddress) -> Result<Hit, EngineError> {
        match record::read(self.searcher, self.fields, address)? {
            Record::Product { product, in_stock } => Ok(Hit { product, in_stock }),
            other => Err(EngineError::Damaged {
                key: other.key(),
                reason: "it is no product, yet it is listed".to_owned(),
            }),
        }
    }

    /// What is listed, holds the text and passes the filters. Only the text counts for the score.
    fn filtered(&self, text: Option<Box<dyn Query>>, filters: &Filters) -> BooleanQuery {
        let fields = self.fields;
        let mut musts = vec![exactly(Term::from_field_bool(fields.listed, true))];
        if let Some(category) = &filters.category {
            musts.push(exactly(Term::from_field_text(fields.category, category)));
        }
        if let Some(brand) = &filters.brand {
            musts.push(exactly(Term::from_field_text(fields.brand, brand)));
        }
        if let Some(in_stock) = filters.in_stock {
            musts.push(exactly(Term::from_field_bool(fields.in_stock, in_stock)));
        }
        if filters.price_min.is_some() || filters.price_max.is_some() {
            let bound = |value: Option<i64>| value.map(|value| Term::from_field_i64(fields.price, value));
            musts.push(between(bound(filters.price_min), bound(filters.price_max)));
        }
        if let Some(rating) = filters.rating_min_hundredths {
            let lowest = Term::from_field_u64(fields.rating, u64::from(rating));
            musts.push(between(Some(lowest), None));
        }
        for (name, values) in &filters.attributes {
            let any = values.iter().map(|value| {
                let pair = attribute_value(name, value);
                exactly(Term::from_field_text(fields.attributes, &pair))
            });
            musts.push(Box::new(BooleanQuery::union(any.collect())));
        }
        let musts = musts
            .into_iter()
            .map(|query| -> Box<dyn Query> { Box::new(ConstScoreQuery::new(query, 0.0)) });
        BooleanQuery::new(musts.chain(text).map(|query| (Occur::Must, query)).collect())
    }

    fn count(&self, query: &BooleanQuery) -> Result<u64, EngineError> {
        let count = self
            .searcher
            .search(query, &Count)
            .map_err(EngineError::during("counting"))?;
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Brands, then titles, that hold all the words, the last one as a beginning.
    pub(super) fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, EngineError> {
        let words = words(typed);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let brands = self.brands(&words)?.into_iter().map(|brand| brand.value);
        Ok(complete(typed, brands.collect(), self.titles(&words)?, limit))
    }

    fn brands(&self, words: &[Word]) -> Result<Vec<FacetCount>, EngineError> {
        let query = self.filtered(
            Some(completing(words, self.fields.plain.brand)),
            &Filters::default(),
        );
        let counts = self
            .searcher
            .search(
                &query,
                &Counting {
                    facets: &[FacetName::Brand],
                },
            )
            .map_err(EngineError::during("suggesting brands"))?;
        let brands = counts.into_values().next().unwrap_or_default();
        Ok(most_frequent(brands, SUGGESTED_BRANDS_MAX))
    }

    fn titles(&self, words: &[Word]) -> Result<Vec<String>, EngineError> {
        let query = self.filtered(
            Some(completing(words, self.fields.plain.title)),
            &Filters::default(),
        );
        let page = PageOf {
            sort: Sort::Rating,
            after: None,
            limit: SUGGESTED_AMONG,
        };
        let page = self
            .searcher
            .search(&query, &page)
            .map_err(EngineError::during("suggesting titles"))?;
        page.hits
            .iter()
            .map(|(_, address)| Ok(self.hit(*address)?.product.title))
            .collect()
    }
}

fn exactly(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

fn between(lowest: Option<Term>, highest: Option<Term>) -> Box<dyn Query> {
    let bound = |term: Option<Term>| term.map_or(Bound::Unbounded, Bound::Included);
    Box::new(RangeQuery::new(bound(lowest), bound(highest)))
}

fn completing(words: &[Word], field: Field) -> Box<dyn Query> {
    let clauses = words
        .iter()
        .map(|word| {
            if word.unfinished {
                text::prefix(field, &word.typed)
            } else {
                text::term(field, &word.typed)
            }
        })
        .collect();
    Box::new(BooleanQuery::intersection(clauses))
}

/// Word statistics over listed products alone. The index holds several documents without any text for
/// each product, which would make every text look long.
struct Listed<'a> {
    searcher: &'a Searcher,
    /// Deleted documents that are not yet merged away included, as in all of these statistics.
    listed: u64,
}

impl Bm25StatisticsProvider for Listed<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        self.searcher.total_num_tokens(field)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.listed)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.searcher.doc_freq(term)
    }
}

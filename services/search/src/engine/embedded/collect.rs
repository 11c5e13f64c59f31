//! One pass over the hits of a query: how many there are, those of one page, and the facets' counts.

use std::collections::{BTreeMap, BinaryHeap};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};
use uuid::Uuid;

use super::schema::{CREATED, ID_HIGH, ID_LOW, PRICE_MIN, RATING_RANK};
use crate::domain::{FacetCount, Sort};

/// More values of a facet than anybody reads; the rest, the rarest, are left out.
const FACET_VALUES_MAX: usize = 100;

/// A hit's place: lower comes first. The id settles ties, the newest first, so that no two hits share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) rank: i64,
    tie: u128,
}

impl Place {
    pub(super) fn new(rank: i64, product_id: Uuid) -> Self {
        Self {
            rank,
            tie: !product_id.as_u128(),
        }
    }
}

/// The first `limit` hits after a place, in order, and the number of all.
pub(super) struct PageOf {
    pub(super) sort: Sort,
    pub(super) after: Option<Place>,
    pub(super) limit: usize,
}

#[derive(Debug)]
pub(super) struct PageHits {
    pub(super) total: u64,
    pub(super) hits: Vec<(Place, DocAddress)>,
}

impl Collector for PageOf {
    type Fruit = PageHits;
    type Child = PageOfSegment;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<PageOfSegment> {
        let columns = segment.fast_fields();
        let rank = match self.sort {
            Sort::Relevance => Rank::Score,
            Sort::PriceAsc => Rank::Lowest(columns.column_opt(PRICE_MIN)?),
            Sort::PriceDesc => Rank::Highest(columns.column_opt(PRICE_MIN)?),
            Sort::Newest => Rank::Highest(columns.column_opt(CREATED)?),
            Sort::Rating => Rank::Highest(columns.column_opt(RATING_RANK)?),
        };
        Ok(PageOfSegment {
            ordinal,
            rank,
            id: (columns.column_opt(ID_HIGH)?, columns.column_opt(ID_LOW)?),
            after: self.after,
            limit: self.limit,
            total: 0,
            best: BinaryHeap::with_capacity(self.limit + 1),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.sort == Sort::Relevance
    }

    fn merge_fruits(&self, fruits: Vec<PageHits>) -> tantivy::Result<PageHits> {
        let total = fruits.iter().map(|fruit| fruit.total).sum();
        let mut hits: Vec<_> = fruits.into_iter().flat_map(|fruit| fruit.hits).collect();
        hits.sort_unstable();
        hits.truncate(self.limit);
        Ok(PageHits { total, hits })
    }
}

enum Rank {
    Score,
    Lowest(Option<Column<i64>>),
    Highest(Option<Column<i64>>),
}

impl Rank {
    fn of(&self, doc: DocId, score: Score) -> i64 {
        let value = |column: &Option<Column<i64>>| column.as_ref().and_then(|column| column.first(doc));
        match self {
            // The bits of floats that are not negative are in the order of the floats.
            Self::Score => -i64::from(score.to_bits()),
            Self::Lowest(column) => value(column).unwrap_or(i64::MAX),
            Self::Highest(column) => value(column).map_or(i64::MAX, |value| !value),
        }
    }
}

pub(super) struct PageOfSegment {
    ordinal: SegmentOrdinal,
    rank: Rank,
    id: (Option<Column<u64>>, Option<Column<u64>>),
    after: Option<Place>,
    limit: usize,
    total: u64,
    /// The best so far; the worst of them on top.
    best: BinaryHeap<(Place, DocId)>,
}

impl PageOfSegment {
    fn id_of(&self, doc: DocId) -> Uuid {
        let value = |column: &Option<Column<u64>>| column.as_ref().and_then(|column| column.first(doc));
        Uuid::from_u64_pair(value(&self.id.0).unwrap_or(0), value(&self.id.1).unwrap_or(0))
    }
}

impl SegmentCollector for PageOfSegment {
    type Fruit = PageHits;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        let rank = self.rank.of(doc, score);
        let full = self.best.len() >= self.limit;
        if full && self.best.peek().is_some_and(|(worst, _)| rank > worst.rank) {
            return;
        }
        if self.after.is_some_and(|after| rank < after.rank) {
            return;
        }
        let place = Place::new(rank, self.id_of(doc));
        if self.after.is_some_and(|after| place <= after) {
            return;
        }
        self.best.push((place, doc));
        if full {
            self.best.pop();
        }
    }

    fn harvest(self) -> PageHits {
        let hits = self.best.into_iter();
        PageHits {
            total: self.total,
            hits: hits
                .map(|(place, doc)| (place, DocAddress::new(self.ordinal, doc)))
                .collect(),
        }
    }
}

/// How many hits have each value of a column; exact.
pub(super) struct CountsOf {
    pub(super) column: &'static str,
}

impl Collector for CountsOf {
    type Fruit = BTreeMap<String, u64>;
    type Child = CountsOfSegment;

    fn for_segment(
        &self,
        _ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<CountsOfSegment> {
        let column = segment.fast_fields().str(self.column)?;
        let values = column.as_ref().map_or(0, |column| column.num_terms());
        Ok(CountsOfSegment {
            column,
            counts: vec![0; values],
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<BTreeMap<String, u64>>) -> tantivy::Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for (value, count) in fruits.into_iter().flatten() {
            *counts.entry(value).or_default() += count;
        }
        Ok(counts)
    }
}

pub(super) struct CountsOfSegment {
    column: Option<StrColumn>,
    /// By the value's ordinal.
    counts: Vec<u64>,
}

impl SegmentCollector for CountsOfSegment {
    type Fruit = BTreeMap<String, u64>;

    fn collect(&mut self, doc: DocId, _score: Score) {
        let Some(column) = &self.column else {
            return;
        };
        for ordinal in column.term_ords(doc) {
            let count = usize::try_from(ordinal)
                .ok()
                .and_then(|ordinal| self.counts.get_mut(ordinal));
            if let Some(count) = count {
                *count += 1;
            }
        }
    }

    fn harvest(self) -> BTreeMap<String, u64> {
        let Some(column) = self.column else {
            return BTreeMap::new();
        };
        let mut counts = BTreeMap::new();
        let mut value = String::new();
        for (ordinal, count) in (0_u64..).zip(self.counts).filter(|(_, count)| *count > 0) {
            value.clear();
            match column.ord_to_str(ordinal, &mut value) {
                Ok(true) => {
                    counts.insert(value.clone(), count);
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "a facet's value cannot be read"),
            }
        }
        counts
    }
}

/// The most frequent values first, equal ones by name.
pub(super) fn most_frequent(counts: BTreeMap<String, u64>) -> Vec<FacetCount> {
    let mut counts: Vec<FacetCount> = counts
        .into_iter()
        .map(|(value, count)| FacetCount { value, count })
        .collect();
    counts.sort_by_key(|facet| std::cmp::Reverse(facet.count));
    counts.truncate(FACET_VALUES_MAX);
    counts
}

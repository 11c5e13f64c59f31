//! One pass over the hits of a query: how many there are, those of one page, and the facets' counts.

use std::collections::{BTreeMap, BinaryHeap};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};
use uuid::Uuid;

use super::schema::{
    ATTRIBUTES, BRAND, CATEGORY, CREATED, ID_HIGH, ID_LOW, IN_STOCK, PRICE, PRICE_MIN, RATING, RATING_RANK,
};
use crate::domain::{FacetName, STARS, Sort, Tally, price_band, price_bands};

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

/// How many hits have each value of each facet; exact.
pub(super) struct Counting<'a> {
    pub(super) facets: &'a [FacetName],
}

impl Collector for Counting<'_> {
    type Fruit = BTreeMap<FacetName, Tally>;
    type Child = CountingSegment;

    fn for_segment(
        &self,
        _ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<CountingSegment> {
        let counters = self
            .facets
            .iter()
            .map(|facet| Ok((*facet, Counter::new(*facet, segment)?)));
        Ok(CountingSegment(counters.collect::<tantivy::Result<_>>()?))
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<Self::Fruit>) -> tantivy::Result<Self::Fruit> {
        // What nothing has is still counted: as nothing.
        let mut tallies: Self::Fruit = self.facets.iter().map(|facet| (*facet, Tally::new())).collect();
        for (facet, tally) in fruits.into_iter().flatten() {
            let all = tallies.entry(facet).or_default();
            for (value, count) in tally {
                *all.entry(value).or_default() += count;
            }
        }
        Ok(tallies)
    }
}

pub(super) struct CountingSegment(Vec<(FacetName, Counter)>);

/// Counts by a value's number: its ordinal in a column, its price band, its stars.
enum Counter {
    Words(Option<StrColumn>, Vec<u64>),
    Prices(Option<Column<i64>>, Vec<u64>),
    Stars(Option<Column<u64>>, Vec<u64>),
    Stock(Option<Column<bool>>, [u64; 2]),
}

impl Counter {
    fn new(facet: FacetName, segment: &SegmentReader) -> tantivy::Result<Self> {
        let columns = segment.fast_fields();
        let words = |name: &str| -> tantivy::Result<Self> {
            let column = columns.str(name)?;
            let values = column.as_ref().map_or(0, |column| column.num_terms());
            Ok(Self::Words(column, vec![0; values]))
        };
        Ok(match facet {
            FacetName::Category => words(CATEGORY)?,
            FacetName::Brand => words(BRAND)?,
            FacetName::Attributes => words(ATTRIBUTES)?,
            FacetName::Price => Self::Prices(columns.column_opt(PRICE)?, vec![0; price_bands().len()]),
            FacetName::Rating => Self::Stars(columns.column_opt(RATING)?, vec![0; STARS.len()]),
            FacetName::InStock => Self::Stock(columns.column_opt(IN_STOCK)?, [0; 2]),
        })
    }

    fn count(&mut self, doc: DocId) {
        match self {
            Self::Words(Some(column), counts) => {
                for ordinal in column.term_ords(doc) {
                    let count = usize::try_from(ordinal)
                        .ok()
                        .and_then(|ordinal| counts.get_mut(ordinal));
                    if let Some(count) = count {
                        *count += 1;
                    }
                }
            }
            Self::Prices(Some(column), counts) => {
                let prices = column.values_for_doc(doc);
                let bands = prices.fold(0_u32, |bands, price| bands | 1 << price_band(price));
                for (band, count) in counts.iter_mut().enumerate() {
                    *count += u64::from(bands >> band & 1);
                }
            }
            Self::Stars(Some(column), counts) => {
                let hundredths = column.first(doc).unwrap_or(0);
                for (count, stars) in counts.iter_mut().zip(STARS) {
                    *count += u64::from(hundredths >= u64::from(stars) * 100);
                }
            }
            Self::Stock(Some(column), [out, there]) => {
                *(if column.first(doc).unwrap_or(false) {
                    there
                } else {
                    out
                }) += 1;
            }
            Self::Words(None, _) | Self::Prices(None, _) | Self::Stars(None, _) | Self::Stock(None, _) => {}
        }
    }

    fn tally(self) -> Tally {
        match self {
            Self::Words(None, _) => Tally::new(),
            Self::Words(Some(column), counts) => named(&column, counts),
            Self::Prices(_, counts) => price_bands().into_iter().zip(counts).collect(),
            Self::Stars(_, counts) => STARS.iter().map(ToString::to_string).zip(counts).collect(),
            Self::Stock(_, [out, there]) => [("false".to_owned(), out), ("true".to_owned(), there)].into(),
        }
    }
}

fn named(column: &StrColumn, counts: Vec<u64>) -> Tally {
    let mut tally = Tally::new();
    let mut value = String::new();
    for (ordinal, count) in (0_u64..).zip(counts).filter(|(_, count)| *count > 0) {
        value.clear();
        match column.ord_to_str(ordinal, &mut value) {
            Ok(true) => {
                tally.insert(value.clone(), count);
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "a facet's value cannot be read"),
        }
    }
    tally
}

impl SegmentCollector for CountingSegment {
    type Fruit = BTreeMap<FacetName, Tally>;

    fn collect(&mut self, doc: DocId, _score: Score) {
        for (_, counter) in &mut self.0 {
            counter.count(doc);
        }
    }

    fn harvest(self) -> Self::Fruit {
        let counters = self.0.into_iter();
        counters
            .map(|(facet, counter)| (facet, counter.tally()))
            .collect()
    }
}

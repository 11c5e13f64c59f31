use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Filters;

/// More values of a facet than anybody reads; the rest, the rarest, are left out.
const VALUES_MAX: usize = 100;
const ATTRIBUTES_MAX: usize = 30;
const ATTRIBUTE_VALUES_MAX: usize = 20;
/// Where each price band begins, in minor units; the last one has no end.
pub(crate) const PRICE_EDGES: [i64; 11] = [
    0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
];
/// Stars that a rating may be asked to have at least.
pub(crate) const STARS: [u32; 4] = [1, 2, 3, 4];
/// Stands between the name and the value of an attribute.
const BETWEEN: char = '\u{1f}';

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FacetName {
    Category,
    Brand,
    Price,
    Rating,
    InStock,
    Attributes,
}

impl FacetName {
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("category", Self::Category),
        ("brand", Self::Brand),
        ("price", Self::Price),
        ("rating", Self::Rating),
        ("in_stock", Self::InStock),
        ("attributes", Self::Attributes),
    ];
}

/// How many products have each value of a facet.
pub(crate) type Tally = BTreeMap<String, u64>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct FacetCount {
    pub(crate) value: String,
    /// What `total` would be with this value as the filter.
    pub(crate) count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct AttributeFacet {
    pub(crate) name: String,
    /// At most the 20 most frequent.
    pub(crate) values: Vec<FacetCount>,
}

/// The facets that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct FacetCounts {
    /// Slugs; a product counts for its category and for all above it. At most 100, the most frequent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Vec<FacetCount>>,
    /// At most 100, the most frequent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<Vec<FacetCount>>,
    /// Bands such as `1000-1999`, as `price_min` and `price_max` take them, the cheapest first; the last
    /// band has no end: `1000000-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Vec<FacetCount>>,
    /// Stars, as `rating_min` takes them, the most first; a product counts for all that it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<Vec<FacetCount>>,
    /// `true` and `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_stock: Option<Vec<FacetCount>>,
    /// Attributes and the options of variants; at most 30, those of the most products first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<AttributeFacet>>,
}

impl FacetCounts {
    pub(crate) fn new(tallies: BTreeMap<FacetName, Tally>) -> Self {
        let mut facets = Self::default();
        for (name, tally) in tallies {
            match name {
                FacetName::Category => facets.category = Some(most_frequent(tally, VALUES_MAX)),
                FacetName::Brand => facets.brand = Some(most_frequent(tally, VALUES_MAX)),
                FacetName::Price => facets.price = Some(in_order(tally, &price_bands())),
                FacetName::Rating => {
                    let stars = STARS.iter().rev().map(ToString::to_string);
                    facets.rating = Some(in_order(tally, &stars.collect::<Vec<_>>()));
                }
                FacetName::InStock => {
                    facets.in_stock = Some(in_order(tally, &["true".to_owned(), "false".to_owned()]));
                }
                FacetName::Attributes => facets.attributes = Some(by_attribute(tally)),
            }
        }
        facets
    }
}

/// The band of a price: its place in [`price_bands`].
pub(crate) fn price_band(amount_minor: i64) -> usize {
    PRICE_EDGES
        .iter()
        .rposition(|edge| amount_minor >= *edge)
        .unwrap_or(0)
}

pub(crate) fn price_bands() -> Vec<String> {
    let ends = PRICE_EDGES.iter().skip(1).map(Some).chain([None]);
    PRICE_EDGES
        .iter()
        .zip(ends)
        .map(|(from, end)| match end {
            Some(end) => format!("{from}-{}", end - 1),
            None => format!("{from}-"),
        })
        .collect()
}

/// An attribute as one value, for the index.
pub(crate) fn attribute_value(name: &str, value: &str) -> String {
    format!("{name}{BETWEEN}{value}")
}

/// A count that must be made under filters of its own, so that a facet ignores its own filter.
#[derive(Debug)]
pub(crate) struct Apart {
    pub(crate) facet: FacetName,
    /// Of [`FacetName::Attributes`]: the one attribute that is counted.
    pub(crate) attribute: Option<String>,
    pub(crate) filters: Filters,
}

impl Apart {
    /// Puts what was counted apart into its place among the rest.
    pub(crate) fn merge(&self, counted: Tally, tallies: &mut BTreeMap<FacetName, Tally>) {
        let tally = tallies.entry(self.facet).or_default();
        match &self.attribute {
            None => *tally = counted,
            Some(name) => {
                let own = attribute_value(name, "");
                tally.retain(|value, _| !value.starts_with(&own));
                tally.extend(counted.into_iter().filter(|(value, _)| value.starts_with(&own)));
            }
        }
    }
}

/// What can be counted among the hits themselves, and what must be counted apart.
pub(crate) fn counts(wanted: &BTreeSet<FacetName>, filters: &Filters) -> (Vec<FacetName>, Vec<Apart>) {
    let mut among = Vec::new();
    let mut apart = Vec::new();
    for facet in wanted.iter().copied() {
        if facet == FacetName::Attributes {
            among.push(facet);
            for name in filters.attributes.keys() {
                let mut others = filters.clone();
                others.attributes.remove(name);
                apart.push(Apart {
                    facet,
                    attribute: Some(name.clone()),
                    filters: others,
                });
            }
            continue;
        }
        let mut others = filters.clone();
        match facet {
            FacetName::Category => others.category = None,
            FacetName::Brand => others.brand = None,
            FacetName::Price => (others.price_min, others.price_max) = (None, None),
            FacetName::Rating => others.rating_min_hundredths = None,
            FacetName::InStock => others.in_stock = None,
            FacetName::Attributes => {}
        }
        if others == *filters {
            among.push(facet);
        } else {
            apart.push(Apart {
                facet,
                attribute: None,
                filters: others,
            });
        }
    }
    (among, apart)
}

/// The most frequent values first, equal ones by name.
pub(crate) fn most_frequent(tally: Tally, most: usize) -> Vec<FacetCount> {
    let mut counts: Vec<FacetCount> = tally
        .into_iter()
        .map(|(value, count)| FacetCount { value, count })
        .collect();
    counts.sort_by_key(|facet| std::cmp::Reverse(facet.count));
    counts.truncate(most);
    counts
}

fn in_order(mut tally: Tally, values: &[String]) -> Vec<FacetCount> {
    values
        .iter()
        .filter_map(|value| tally.remove_entry(value))
        .filter(|(_, count)| *count > 0)
        .map(|(value, count)| FacetCount { value, count })
        .collect()
}

fn by_attribute(tally: Tally) -> Vec<AttributeFacet> {
    let mut attributes: BTreeMap<String, Tally> = BTreeMap::new();
    for (pair, count) in tally {
        if let Some((name, value)) = pair.split_once(BETWEEN) {
            attributes
                .entry(name.to_owned())
                .or_default()
                .insert(value.to_owned(), count);
        }
    }
    let mut attributes: Vec<(u64, AttributeFacet)> = attributes
        .into_iter()
        .map(|(name, tally)| {
            let products = tally.values().sum();
            let values = most_frequent(tally, ATTRIBUTE_VALUES_MAX);
            (products, AttributeFacet { name, values })
        })
        .collect();
    attributes.sort_by_key(|(products, _)| std::cmp::Reverse(*products));
    attributes
        .into_iter()
        .take(ATTRIBUTES_MAX)
        .map(|(_, facet)| facet)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_has_one_band() {
        let bands = price_bands();
        for (price, band) in [
            (-1, "0-999"),
            (0, "0-999"),
            (999, "0-999"),
            (1_000, "1000-1999"),
            (999_999, "500000-999999"),
            (1_000_000, "1000000-"),
            (i64::MAX, "1000000-"),
        ] {
            assert_eq!(bands[price_band(price)], band, "{price}");
        }
    }

    #[test]
    fn only_what_is_filtered_is_counted_apart() {
        let filters = Filters {
            brand: Some("Acme".to_owned()),
            attributes: [("colour".to_owned(), ["red".to_owned()].into())].into(),
            ..Filters::default()
        };
        let wanted = [FacetName::Category, FacetName::Brand, FacetName::Attributes].into();
        let (among, apart) = counts(&wanted, &filters);
        assert_eq!(among, [FacetName::Category, FacetName::Attributes]);
        assert_eq!(apart.len(), 2);
        assert!(apart[0].filters.brand.is_none() && apart[0].filters.attributes.len() == 1);
        assert!(apart[1].filters.brand.is_some() && apart[1].filters.attributes.is_empty());
    }

    #[test]
    fn an_attribute_counted_apart_replaces_only_its_own_values() {
        let apart = Apart {
            facet: FacetName::Attributes,
            attribute: Some("colour".to_owned()),
            filters: Filters::default(),
        };
        let tally = |pairs: &[(&str, &str, u64)]| -> Tally {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value, count)| (attribute_value(name, value), *count))
                .collect()
        };
        let mut tallies = BTreeMap::from([(
            FacetName::Attributes,
            tally(&[("colour", "red", 1), ("colours", "two", 5), ("size", "m", 1)]),
        )]);
        let counted = tally(&[("colour", "red", 1), ("colour", "blue", 4), ("size", "m", 9)]);
        apart.merge(counted, &mut tallies);
        let expected = tally(&[
            ("colour", "red", 1),
            ("colour", "blue", 4),
            ("colours", "two", 5),
            ("size", "m", 1),
        ]);
        assert_eq!(tallies[&FacetName::Attributes], expected);
    }
}

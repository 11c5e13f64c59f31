use std::collections::{BTreeMap, BTreeSet};

use ferrocart_http_kit::{Problem, decode_cursor};
use serde::Deserialize;
use utoipa::IntoParams;

use super::answer::Cursor;
use crate::app::fingerprint;
use crate::domain::{After, FacetName, Filters, Normalised, Request, Sort};
use crate::error::ServiceError;

pub(super) const TEXT_CHARS_MAX: usize = 200;
const NAME_CHARS_MAX: usize = 200;
/// Each name costs a pass of its own over the hits where attributes are counted.
const ATTRIBUTE_NAMES_MAX: usize = 5;
const ATTRIBUTES_MAX: usize = 20;
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// What a search may be asked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchParameters {
    /// Words, as they come; what stands in quotes is a phrase, and there is no other syntax. Products that hold all of them are found, in title, brand,
    /// category, attributes or description, in any English form, the last one also as a beginning, and
    /// with one letter wrong, or hold what means the same; if there is none, those that hold any. Empty to
    /// browse.
    #[param(max_length = 200, example = "waterproof shoe")]
    q: Option<String>,
    /// The slug of a category; what is in its descendants is found too.
    category: Option<String>,
    brand: Option<String>,
    /// Minor units; a product is found if any of its variants costs as much or more.
    #[param(minimum = 0)]
    price_min: Option<i64>,
    /// Minor units. With both bounds, one variant must lie between them.
    #[param(minimum = 0)]
    price_max: Option<i64>,
    /// Stars, from 0 to 5, with at most two decimals.
    #[param(example = "4.5")]
    rating_min: Option<String>,
    /// `true`: only what can be bought right now; `false`: only what cannot.
    in_stock: Option<bool>,
    /// Names and values of attributes or of variants' options, such as `colour:red;colour:blue;size:42`. A
    /// product is found if it has, of each name, any of the values.
    #[param(max_length = 1000, example = "material:leather;waterproof:true")]
    attributes: Option<String>,
    /// `price_asc` and `price_desc` go by the lowest price of a product's variants.
    sort: Option<Sort>,
    /// Facets to count, separated by commas: `category`, `brand`, `price`, `rating`, `in_stock`,
    /// `attributes`. A facet's counts ignore its own filter.
    #[param(example = "category,brand")]
    facets: Option<String>,
    /// How many items at most: 1 to 100, 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before, of the same search.
    cursor: Option<String>,
}

/// What completions may be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuggestParameters {
    /// What has been typed so far.
    #[param(max_length = 200, example = "wat")]
    pub(super) q: String,
}

impl SearchParameters {
    pub(super) fn parse(self) -> Result<Request, ServiceError> {
        let filters = Filters {
            category: name("category", self.category)?,
            brand: name("brand", self.brand)?,
            price_min: amount("price_min", self.price_min)?,
            price_max: amount("price_max", self.price_max)?,
            rating_min_hundredths: self.rating_min.as_deref().map(stars).transpose()?,
            in_stock: self.in_stock,
            attributes: attributes(self.attributes.as_deref().unwrap_or_default())?,
        };
        if let (Some(lowest), Some(highest)) = (filters.price_min, filters.price_max)
            && lowest > highest
        {
            return Err(Problem::invalid_field("price_min", "must not be greater than price_max").into());
        }
        let what = Normalised {
            text: text("q", &self.q.unwrap_or_default())?,
            filters,
            sort: self.sort.unwrap_or_default(),
        };
        let after = match self.cursor.filter(|cursor| !cursor.is_empty()) {
            None => None,
            Some(cursor) => Some(position(&cursor, &what)?),
        };
        Ok(Request {
            what,
            facets: facets(self.facets.as_deref().unwrap_or_default())?,
            limit: limit(self.limit)?,
            after,
        })
    }
}

/// Lower case with single spaces, so that the same words are the same search.
pub(super) fn text(field: &'static str, typed: &str) -> Result<String, Problem> {
    if typed.chars().count() > TEXT_CHARS_MAX {
        let reason = format!("must have at most {TEXT_CHARS_MAX} characters");
        return Err(Problem::invalid_field(field, reason));
    }
    let words: Vec<&str> = typed.split_whitespace().collect();
    Ok(words.join(" ").to_lowercase())
}

fn name(field: &'static str, value: Option<String>) -> Result<Option<String>, Problem> {
    match value.filter(|value| !value.is_empty()) {
        Some(value) if value.chars().count() > NAME_CHARS_MAX => {
            let reason = format!("must have at most {NAME_CHARS_MAX} characters");
            Err(Problem::invalid_field(field, reason))
        }
        value => Ok(value),
    }
}

fn amount(field: &'static str, value: Option<i64>) -> Result<Option<i64>, Problem> {
    match value {
        Some(value) if value < 0 => Err(Problem::invalid_field(field, "must not be negative")),
        value => Ok(value),
    }
}

/// "4", "4.5" or "4.25" as hundredths.
fn stars(text: &str) -> Result<u32, Problem> {
    let invalid = || {
        Problem::invalid_field(
            "rating_min",
            "must be a number from 0 to 5 with at most two decimals",
        )
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed =
        whole.len() == 1 && (1..=2).contains(&decimals.len()) && digits(whole) && digits(decimals);
    if !well_formed {
        return Err(invalid());
    }
    let hundredths: u32 = format!("{whole}{decimals:0<2}").parse().map_err(|_| invalid())?;
    if hundredths > 500 {
        Err(invalid())
    } else {
        Ok(hundredths)
    }
}

fn facets(names: &str) -> Result<BTreeSet<FacetName>, Problem> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let facet = |name: &str| {
        let known = FacetName::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, facet)| *facet).ok_or_else(|| {
            let all = FacetName::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
            Problem::invalid_field("facets", format!("must be of {all}"))
        })
    };
    names.map(facet).collect()
}

fn attributes(pairs: &str) -> Result<BTreeMap<String, BTreeSet<String>>, Problem> {
    let invalid = |reason: &str| Problem::invalid_field("attributes", reason);
    let mut attributes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let pairs = pairs.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    for (number, pair) in (1..).zip(pairs) {
        if number > ATTRIBUTES_MAX {
            return Err(invalid("more than 20 values"));
        }
        match pair
            .split_once(':')
            .map(|(name, value)| (name.trim(), value.trim()))
        {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                if pair.chars().count() > NAME_CHARS_MAX {
                    return Err(invalid("a name with its value must have at most 200 characters"));
                }
                attributes
                    .entry(name.to_owned())
                    .or_default()
                    .insert(value.to_owned());
            }
            _ => return Err(invalid("must be `name:value`, several separated by `;`")),
        }
    }
    if attributes.len() > ATTRIBUTE_NAMES_MAX {
        return Err(invalid("more than 5 names"));
    }
    Ok(attributes)
}

fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid_field(
        "limit",
        format!("must be from 1 to {LIMIT_MAX}"),
    ))
}

fn position(cursor: &str, what: &Normalised) -> Result<After, ServiceError> {
    let cursor: Cursor = decode_cursor(cursor)?;
    if cursor.of != fingerprint(what)? {
        return Err(Problem::invalid_field("cursor", "belongs to another search").into());
    }
    Ok(cursor.after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_hundredths() {
        for (text, hundredths) in [("0", 0), ("4", 400), ("4.5", 450), ("4.25", 425), ("5.00", 500)] {
            assert_eq!(stars(text).unwrap(), hundredths, "{text}");
        }
        for text in [
            "", ".", "5.01", "6", "-1", "4.", ".5", "4.555", "x", "1e0", "٣", "4,5",
        ] {
            assert!(stars(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_words_are_the_same_search() {
        assert_eq!(text("q", "  Red\t SHOE \n").unwrap(), "red shoe");
        assert!(text("q", &"é".repeat(200)).is_ok());
        assert!(text("q", &"é".repeat(201)).is_err());
    }
}

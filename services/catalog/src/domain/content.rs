//! What a merchant writes of a product, and its bounds.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]

use std::collections::{BTreeMap, HashSet};

use ferrocart_types::Money;
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::product::Status;
use super::sale::{Sale, below};
use super::text::{block, check_length, line, refuse_control, sku_text, slug_text};

pub(crate) const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;
pub(crate) const VARIANTS_MAX: usize = 100;
const ATTRIBUTES_MAX: usize = 50;
const OPTIONS_MAX: usize = 10;

/// What a merchant writes of a product: the body of POST and PUT, and a line of the import and the export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProductContent)]
pub(crate) struct Content {
    /// The merchant's own name for it, unique among the merchant's products.
    #[garde(custom(slug_text(200)))]
    #[schema(example = "trail-running-shoe-alpina", max_length = 200)]
    pub(crate) handle: String,
    #[garde(custom(line(300)))]
    #[schema(max_length = 300)]
    pub(crate) title: String,
    #[garde(custom(block(20_000)))]
    #[serde(default)]
    #[schema(max_length = 20_000)]
    pub(crate) description: String,
    #[garde(custom(line(100)))]
    #[schema(max_length = 100)]
    pub(crate) brand: String,
    /// The slug of a category.
    #[garde(custom(slug_text(100)))]
    pub(crate) category: String,
    /// At most 50; the values are strings, numbers or booleans.
    #[garde(custom(valid_attributes))]
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, AttributeValue>,
    #[garde(length(max = 20), dive)]
    #[serde(default)]
    pub(crate) images: Vec<Image>,
    /// 1 to 100, all in one currency.
    #[garde(length(min = 1, max = VARIANTS_MAX), dive, custom(one_family))]
    pub(crate) variants: Vec<VariantContent>,
    /// `active` if not said otherwise.
    #[garde(skip)]
    #[serde(default)]
    pub(crate) status: Status,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a string, a number or a boolean is expected")]
pub(crate) enum AttributeValue {
    Flag(bool),
    #[schema(value_type = f64)]
    Number(serde_json::Number),
    Text(String),
}

/// For events and search: numbers and booleans in their JSON form.
impl std::fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    /// `http` or `https`.
    #[garde(custom(image_url))]
    #[schema(format = "uri", max_length = 2_048)]
    pub(crate) url: String,
    /// What is to be seen, for those who do not see it.
    #[garde(custom(block(500)))]
    #[serde(default)]
    #[schema(max_length = 500)]
    pub(crate) alt: String,
    /// In pixels, where it is known.
    #[garde(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub(crate) width: Option<u32>,
    /// In pixels, where it is known.
    #[garde(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub(crate) height: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantContent {
    /// The merchant's article number, unique among the merchant's variants.
    #[garde(custom(sku_text))]
    #[schema(example = "ALPINA-42-BLUE", max_length = 64)]
    pub(crate) sku: String,
    /// What sets it apart from its sisters: at most 10, such as size and color.
    #[garde(custom(valid_options))]
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    /// 0 to 10^12 minor units.
    #[garde(custom(valid_price))]
    pub(crate) price: Money,
    /// What it costs for a time.
    #[garde(dive, custom(below(self.price)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sale: Option<Sale>,
}

/// Changes to a product as a JSON merge patch (RFC 7396): what is absent stays. Within `attributes`
/// `null` removes a key; lists are replaced as a whole.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[schema(as = ProductPatch)]
pub(crate) struct ContentPatch {
    #[serde(default, deserialize_with = "not_null")]
    handle: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    title: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    description: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    brand: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    category: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Option<std::collections::HashMap<String, AttributeValue>>)]
    attributes: Option<BTreeMap<String, Option<AttributeValue>>>,
    #[serde(default, deserialize_with = "not_null")]
    images: Option<Vec<Image>>,
    #[serde(default, deserialize_with = "not_null")]
    variants: Option<Vec<VariantContent>>,
    #[serde(default, deserialize_with = "not_null")]
    status: Option<Status>,
}

/// None of the members can be removed, so `null` is an error and not "leave it".
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl ContentPatch {
    /// The content with the changes; to be validated by the caller.
    pub(crate) fn apply(&self, mut content: Content) -> Content {
        let patch = self.clone();
        replace(&mut content.handle, patch.handle);
        replace(&mut content.title, patch.title);
        replace(&mut content.description, patch.description);
        replace(&mut content.brand, patch.brand);
        replace(&mut content.category, patch.category);
        replace(&mut content.images, patch.images);
        replace(&mut content.variants, patch.variants);
        replace(&mut content.status, patch.status);
        for (key, value) in patch.attributes.into_iter().flatten() {
            match value {
                Some(value) => content.attributes.insert(key, value),
                None => content.attributes.remove(&key),
            };
        }
        content
    }
}

fn replace<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn valid_attributes(attributes: &BTreeMap<String, AttributeValue>, (): &()) -> garde::Result {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(garde::Error::new(format!(
            "must have at most {ATTRIBUTES_MAX} keys, has {}",
            attributes.len()
        )));
    }
    for (key, value) in attributes {
        named(key, line(100)(key, &()))?;
        if let AttributeValue::Text(text) = value {
            named(key, block(1_000)(text, &()))?;
        }
    }
    Ok(())
}

fn valid_options(options: &BTreeMap<String, String>, (): &()) -> garde::Result {
    if options.len() > OPTIONS_MAX {
        return Err(garde::Error::new(format!(
            "must have at most {OPTIONS_MAX} keys, has {}",
            options.len()
        )));
    }
    for (key, value) in options {
        named(key, line(50)(key, &()))?;
        named(key, line(100)(value, &()))?;
    }
    Ok(())
}

/// Says of which key of a map the fault is.
fn named(key: &str, outcome: garde::Result) -> garde::Result {
    outcome.map_err(|error| {
        let key: String = key.chars().take(50).collect();
        garde::Error::new(format!("{key:?}: {error}"))
    })
}

fn valid_price(price: &Money, (): &()) -> garde::Result {
    if (0..=AMOUNT_MINOR_MAX).contains(&price.amount_minor) {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "amount_minor must be from 0 to {AMOUNT_MINOR_MAX}"
    )))
}

fn image_url(url: &str, (): &()) -> garde::Result {
    check_length(url, 1, 2_048)?;
    refuse_control(url, |_| false)?;
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .and_then(|rest| rest.split(['/', '?', '#']).next());
    if host.is_some_and(|host| !host.is_empty()) && !url.contains(char::is_whitespace) {
        return Ok(());
    }
    Err(garde::Error::new("must be an http or https URL"))
}

fn one_family(variants: &[VariantContent], (): &()) -> garde::Result {
    let mut skus = HashSet::new();
    for variant in variants {
        if !skus.insert(variant.sku.as_str()) {
            return Err(garde::Error::new(format!(
                "the sku {:?} stands there twice",
                variant.sku
            )));
        }
    }
    let mut currencies = variants.iter().map(|variant| variant.price.currency);
    if let Some(first) = currencies.next()
        && let Some(other) = currencies.find(|currency| *currency != first)
    {
        return Err(garde::Error::new(format!(
            "all prices must be in one currency, not in {first} and {other}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> serde_json::Value {
        json!({
            "handle": "shoe", "title": "Shoe", "brand": "Alpina", "category": "shoes",
            "attributes": {"color": "blue", "weight_g": 250.5, "waterproof": true},
            "images": [{"url": "https://img.example.com/1.jpg", "alt": "Shoe"}],
            "variants": [
                {"sku": "S-42", "options": {"size": "42"}, "price": {"amount_minor": 9900, "currency": "USD"}},
                {"sku": "S-43", "options": {"size": "43"}, "price": {"amount_minor": 9900, "currency": "USD"}},
            ],
        })
    }

    fn faults(change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        let mut body = sample();
        change(&mut body);
        let content: Content = serde_json::from_value(body).unwrap();
        content
            .validate()
            .err()
            .map(|report| report.iter().map(|(path, _)| path.to_string()).collect())
            .unwrap_or_default()
    }

    #[test]
    fn bounds_are_kept_and_name_their_field() {
        assert_eq!(faults(|_| {}), Vec::<String>::new());
        assert_eq!(faults(|body| body["handle"] = json!("Not A Slug")), ["handle"]);
        assert_eq!(faults(|body| body["title"] = json!("a\u{0}b")), ["title"]);
        assert_eq!(
            faults(|body| body["variants"][1]["price"]["amount_minor"] = json!(-1)),
            ["variants[1].price"]
        );
        assert_eq!(
            faults(|body| body["variants"][1]["price"]["amount_minor"] = json!(AMOUNT_MINOR_MAX + 1)),
            ["variants[1].price"]
        );
        assert_eq!(
            faults(|body| body["variants"][1]["price"]["currency"] = json!("EUR")),
            ["variants"]
        );
        let sale = |price: i64, until: &str| json!({"price": {"amount_minor": price, "currency": "USD"}, "from": "2030-01-02T00:00:00Z", "until": until});
        assert_eq!(
            faults(|body| body["variants"][1]["sale"] = sale(9_899, "2030-01-03T00:00:00Z")),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(|body| body["variants"][1]["sale"] = sale(9_900, "2030-01-03T00:00:00Z")),
            ["variants[1].sale"]
        );
        assert_eq!(
            faults(|body| body["variants"][1]["sale"] = sale(-1, "2030-01-03T00:00:00Z")),
            ["variants[1].sale"]
        );
        assert_eq!(
            faults(|body| body["variants"][1]["sale"] = sale(1, "2030-01-02T00:00:00Z")),
            ["variants[1].sale.until"]
        );
        assert_eq!(
            faults(|body| body["images"][0]["width"] = json!(0)),
            ["images[0].width"]
        );
        assert_eq!(
            faults(|body| body["variants"][1]["sku"] = json!("S-42")),
            ["variants"]
        );
        assert_eq!(faults(|body| body["variants"] = json!([])), ["variants"]);
        assert_eq!(
            faults(|body| body["images"][0]["url"] = json!("javascript:alert(1)")),
            ["images[0].url"]
        );
        let many: BTreeMap<String, i64> = (0..51).map(|n| (format!("k{n}"), n)).collect();
        assert_eq!(faults(|body| body["attributes"] = json!(many)), ["attributes"]);
    }

    #[test]
    fn attributes_are_strings_numbers_or_booleans() {
        for bad in [json!(null), json!([1]), json!({"a": 1})] {
            let mut body = sample();
            body["attributes"]["color"] = bad;
            assert!(serde_json::from_value::<Content>(body).is_err());
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_alone() {
        let content: Content = serde_json::from_value(sample()).unwrap();
        let patch: ContentPatch =
            serde_json::from_value(json!({"title": "Boot", "attributes": {"color": null, "sole": "hard"}}))
                .unwrap();
        let mut expected = content.clone();
        expected.title = "Boot".into();
        expected.attributes.remove("color");
        expected
            .attributes
            .insert("sole".into(), AttributeValue::Text("hard".into()));
        assert_eq!(patch.apply(content), expected);
        assert!(serde_json::from_value::<ContentPatch>(json!({"title": null})).is_err());
        assert!(serde_json::from_value::<ContentPatch>(json!({"titel": "x"})).is_err());
    }
}

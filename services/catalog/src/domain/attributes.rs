//! Which attributes the products of a category have. A category has those of the categories above it as well.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]

use std::collections::{BTreeMap, HashSet};

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

use super::content::AttributeValue;
use super::text::line;

const RULES_MAX: usize = 50;
const CHOICES_MAX: usize = 100;
/// More faults of one product are not told.
const FAULTS_MAX: usize = 20;

/// What is said of a product's attributes in one category.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CategoryAttributes {
    /// At most 50. One takes the place of the rule of the same name further up.
    #[garde(length(max = RULES_MAX), dive, custom(each_named_once))]
    pub(crate) attributes: Vec<AttributeRule>,
    /// Whether products may have attributes that are not named, here or further up. Absent: as further up, and
    /// at the root they may.
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) additional: Option<bool>,
}

/// An attribute that products have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttributeRule {
    /// Its key among the product's attributes.
    #[garde(custom(line(100)))]
    #[schema(max_length = 100, example = "color")]
    pub(crate) name: String,
    #[garde(skip)]
    #[serde(rename = "type")]
    pub(crate) kind: AttributeKind,
    /// Whether an active product must have it. A draft may lack it still.
    #[garde(skip)]
    #[serde(default)]
    pub(crate) required: bool,
    /// The values that it may have, at most 100; empty: any.
    #[garde(length(max = CHOICES_MAX), custom(all_of(self.kind)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) one_of: Vec<AttributeValue>,
    /// The least that a number may be.
    #[garde(custom(bound(self.kind, None)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub(crate) min: Option<Number>,
    /// The most that a number may be.
    #[garde(custom(bound(self.kind, self.min.as_ref())))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub(crate) max: Option<Number>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AttributeKind {
    Text,
    Number,
    Boolean,
}

impl AttributeKind {
    fn is_of(self, value: &AttributeValue) -> bool {
        match value {
            AttributeValue::Text(_) => self == Self::Text,
            AttributeValue::Number(_) => self == Self::Number,
            AttributeValue::Flag(_) => self == Self::Boolean,
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Text => "must be a text",
            Self::Number => "must be a number",
            Self::Boolean => "must be true or false",
        }
    }
}

fn each_named_once(rules: &[AttributeRule], (): &()) -> garde::Result {
    let mut names = HashSet::new();
    match rules.iter().find(|rule| !names.insert(&rule.name)) {
        Some(twice) => Err(garde::Error::new(format!("{:?} stands there twice", twice.name))),
        None => Ok(()),
    }
}

fn all_of(kind: AttributeKind) -> impl FnOnce(&[AttributeValue], &()) -> garde::Result {
    move |values, ()| {
        if !values.iter().all(|value| kind.is_of(value)) {
            return Err(garde::Error::new("must be values of the attribute's type"));
        }
        for value in values {
            if let AttributeValue::Text(text) = value {
                line(100)(text, &())?;
            }
        }
        Ok(())
    }
}

/// Only numbers have bounds, and the upper one is not below the lower one.
fn bound(kind: AttributeKind, min: Option<&Number>) -> impl FnOnce(&Option<Number>, &()) -> garde::Result {
    move |bound, ()| {
        let Some(bound) = bound else { return Ok(()) };
        if kind != AttributeKind::Number {
            return Err(garde::Error::new("is for numbers alone"));
        }
        if min.is_some_and(|min| is_less(bound, min)) {
            return Err(garde::Error::new("must not be below min"));
        }
        Ok(())
    }
}

fn is_less(left: &Number, right: &Number) -> bool {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left < right,
        _ => left.as_f64() < right.as_f64(),
    }
}

/// What holds in a category, by all that is said from the root down to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttributeRules {
    by_name: BTreeMap<String, AttributeRule>,
    additional: bool,
}

impl AttributeRules {
    pub(crate) fn inherited(from_root: &[CategoryAttributes]) -> Self {
        let rules = from_root.iter().flat_map(|said| &said.attributes);
        Self {
            by_name: rules.map(|rule| (rule.name.clone(), rule.clone())).collect(),
            additional: from_root
                .iter()
                .rev()
                .find_map(|said| said.additional)
                .unwrap_or(true),
        }
    }

    /// As if it were said in one place.
    pub(crate) fn as_said(&self) -> CategoryAttributes {
        CategoryAttributes {
            attributes: self.by_name.values().cloned().collect(),
            additional: Some(self.additional),
        }
    }

    /// What is wrong with the attributes: the field, and the reason.
    pub(crate) fn faults(
        &self,
        attributes: &BTreeMap<String, AttributeValue>,
        must_be_complete: bool,
    ) -> Vec<(String, String)> {
        let present = attributes.iter().filter_map(|(name, value)| {
            let reason = match self.by_name.get(name) {
                Some(rule) => rule.fault(value)?,
                None if self.additional => return None,
                None => "is no attribute of this category".to_owned(),
            };
            Some((name, reason))
        });
        let missing = self
            .by_name
            .values()
            .filter(|rule| must_be_complete && rule.required && !attributes.contains_key(&rule.name))
            .map(|rule| (&rule.name, "must be given in this category".to_owned()));
        let faults = present.chain(missing).take(FAULTS_MAX);
        faults
            .map(|(name, reason)| (format!("attributes.{name}"), reason))
            .collect()
    }
}

impl AttributeRule {
    fn fault(&self, value: &AttributeValue) -> Option<String> {
        if !self.kind.is_of(value) {
            return Some(self.kind.expected().to_owned());
        }
        if let AttributeValue::Number(number) = value {
            if let Some(min) = self.min.as_ref().filter(|min| is_less(number, min)) {
                return Some(format!("must be at least {min}"));
            }
            if let Some(max) = self.max.as_ref().filter(|max| is_less(max, number)) {
                return Some(format!("must be at most {max}"));
            }
        }
        if self.one_of.is_empty() || self.one_of.iter().any(|choice| is_same(choice, value)) {
            return None;
        }
        let mut choices: Vec<String> = self.one_of.iter().take(10).map(ToString::to_string).collect();
        if self.one_of.len() > choices.len() {
            choices.push("…".to_owned());
        }
        Some(format!("must be one of {}", choices.join(", ")))
    }
}

/// 1 and 1.0 are one number.
fn is_same(left: &AttributeValue, right: &AttributeValue) -> bool {
    match (left, right) {
        (AttributeValue::Number(left), AttributeValue::Number(right)) => {
            !is_less(left, right) && !is_less(right, left)
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: serde_json::Value) -> CategoryAttributes {
        serde_json::from_value(value).unwrap()
    }

    fn invalid(value: serde_json::Value) -> Vec<String> {
        let report = said(value).validate().err();
        report
            .map(|report| report.iter().map(|(path, _)| path.to_string()).collect())
            .unwrap_or_default()
    }

    fn faults(
        rules: &AttributeRules,
        attributes: serde_json::Value,
        complete: bool,
    ) -> Vec<(String, String)> {
        rules.faults(&serde_json::from_value(attributes).unwrap(), complete)
    }

    fn names(faults: &[(String, String)]) -> Vec<&str> {
        faults.iter().map(|(field, _)| field.as_str()).collect()
    }

    #[test]
    fn rules_that_cannot_be_kept_are_refused() {
        let rule = json!({"name": "size", "type": "number", "min": 1, "max": 60, "one_of": [41, 42.5]});
        assert_eq!(invalid(json!({"attributes": [rule]})), Vec::<String>::new());
        assert_eq!(invalid(json!({"attributes": [rule, rule]})), ["attributes"]);
        let with = |key: &str, value: serde_json::Value| {
            let mut rule = rule.clone();
            rule[key] = value;
            invalid(json!({"attributes": [rule]}))
        };
        assert_eq!(with("max", json!(0.5)), ["attributes[0].max"]);
        assert_eq!(with("one_of", json!(["41"])), ["attributes[0].one_of"]);
        assert_eq!(with("name", json!("")), ["attributes[0].name"]);
        let text = json!({"name": "color", "type": "text", "min": 1});
        assert_eq!(invalid(json!({"attributes": [text]})), ["attributes[0].min"]);
        assert!(
            serde_json::from_value::<CategoryAttributes>(json!({"attributes": [], "closed": true})).is_err()
        );
    }

    #[test]
    fn what_is_said_further_down_takes_the_place_of_what_is_said_further_up() {
        let root = said(json!({"additional": false, "attributes": [
            {"name": "color", "type": "text", "required": true},
            {"name": "size", "type": "number", "min": 30},
        ]}));
        let leaf = said(json!({"attributes": [
            {"name": "color", "type": "text", "one_of": ["blue", "red"]},
            {"name": "wet", "type": "boolean"},
        ]}));
        let at_root = AttributeRules::inherited(std::slice::from_ref(&root));
        assert_eq!(
            names(&faults(&at_root, json!({"wet": true}), true)),
            ["attributes.wet", "attributes.color"]
        );
        assert_eq!(
            names(&faults(&at_root, json!({"wet": true}), false)),
            ["attributes.wet"]
        );
        let at_leaf = AttributeRules::inherited(&[root.clone(), leaf.clone()]);
        assert_eq!(faults(&at_leaf, json!({"wet": true, "size": 30.0}), true), []);
        assert_eq!(
            faults(
                &at_leaf,
                json!({"color": "green", "size": 29.5, "wet": "yes", "sole": 1}),
                true
            ),
            [
                ("attributes.color", "must be one of blue, red"),
                ("attributes.size", "must be at least 30"),
                ("attributes.sole", "is no attribute of this category"),
                ("attributes.wet", "must be true or false"),
            ]
            .map(|(field, reason)| (field.to_owned(), reason.to_owned()))
        );
        let opened = CategoryAttributes {
            additional: Some(true),
            ..leaf
        };
        let at_leaf = AttributeRules::inherited(&[root, opened]);
        assert_eq!(faults(&at_leaf, json!({"sole": 1}), true), []);
        assert_eq!(
            faults(&AttributeRules::inherited(&[]), json!({"any": "thing"}), true),
            []
        );
    }
}

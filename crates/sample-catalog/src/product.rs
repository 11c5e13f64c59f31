//! A product as `POST /v1/products` and each line of `POST /v1/products:import` take it.

use std::collections::BTreeMap;

use serde::Serialize;

/// One line of the import. Maps are sorted, so that equal products are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    pub handle: String,
    pub title: String,
    pub description: String,
    pub brand: &'static str,
    /// The slug of a leaf category.
    pub category: &'static str,
    pub attributes: BTreeMap<&'static str, AttributeValue>,
    pub images: Vec<Image>,
    pub variants: Vec<Variant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    Text(&'static str),
    Number(i64),
    Flag(bool),
}

impl std::fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    pub url: String,
    pub alt: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variant {
    pub sku: String,
    pub options: BTreeMap<&'static str, &'static str>,
    pub price: Money,
    /// Units in the warehouse. Stock belongs to the inventory, so the import does not carry it.
    #[serde(skip)]
    pub on_hand: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Money {
    pub amount_minor: i64,
    pub currency: &'static str,
}

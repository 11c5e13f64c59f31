//! A product as rows of a spreadsheet: a row a variant, those of one product one after the other. What is
//! the product's stands in its first row; in the others it is left empty, or stands there again.

use std::collections::{BTreeMap, HashMap};

use ferrocart_types::{Currency, Money};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::content::{AttributeValue, Content, Image, VariantContent};
use super::product::Status;
use super::sale::Sale;

/// The header that an export has.
pub(crate) const HEADER: [&str; 15] = [
    "handle",
    "title",
    "description",
    "brand",
    "category",
    "status",
    "attributes",
    "images",
    "sku",
    "options",
    "price_minor",
    "currency",
    "sale_price_minor",
    "sale_from",
    "sale_until",
];
const REQUIRED: [&str; 7] = [
    "handle",
    "title",
    "brand",
    "category",
    "sku",
    "price_minor",
    "currency",
];
/// `attribute.color` is the attribute color.
const ATTRIBUTE: &str = "attribute.";
/// `option.size` is the option size.
const OPTION: &str = "option.";
const COLUMNS_MAX: usize = 200;

/// A column and what is wrong with its cell.
pub(crate) type Fault = (String, String);

/// The header of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// The reason when nothing can be read by it.
    pub(crate) fn new(names: Vec<String>) -> Result<Self, String> {
        if names.len() > COLUMNS_MAX {
            return Err(format!("has more than {COLUMNS_MAX} columns"));
        }
        if names.first().is_none_or(|first| first != "handle") {
            return Err("must begin with the column handle".to_owned());
        }
        let mut places = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            let named = |prefix| name.strip_prefix(prefix).is_some_and(|key| !key.is_empty());
            if !HEADER.contains(&name.as_str()) && !named(ATTRIBUTE) && !named(OPTION) {
                return Err(format!(
                    "has the unknown column {name:?}; there are {}, {ATTRIBUTE}NAME and {OPTION}NAME",
                    HEADER.join(", ")
                ));
            }
            if places.insert(name.clone(), at).is_some() {
                return Err(format!("has the column {name} twice"));
            }
        }
        match REQUIRED.iter().find(|name| !places.contains_key(**name)) {
            Some(name) => Err(format!("lacks the column {name}")),
            None => Ok(Self { names, places }),
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the column says something of the product, not of one variant.
    fn is_of_product(name: &str) -> bool {
        name.starts_with(ATTRIBUTE) || HEADER.iter().take(8).any(|column| *column == name)
    }

    /// Which of the product's cells differ from those in its first row without being empty.
    pub(crate) fn contradictions(&self, first: &[String], cells: &[String]) -> Vec<Fault> {
        let each = self.names.iter().zip(first.iter().zip(cells));
        each.filter(|(name, (first, cell))| Self::is_of_product(name) && !cell.is_empty() && first != cell)
            .map(|(name, _)| (name.clone(), "differs from the product's first row".to_owned()))
            .collect()
    }

    /// The product without its variants, of the cells of its first row.
    pub(crate) fn product(&self, cells: &[String]) -> (Content, Vec<Fault>) {
        let row = Row {
            columns: self,
            cells,
            faults: Vec::new(),
        };
        row.product()
    }

    /// The variant in a row; `None` only with a fault.
    pub(crate) fn variant(&self, cells: &[String]) -> (Option<VariantContent>, Vec<Fault>) {
        let row = Row {
            columns: self,
            cells,
            faults: Vec::new(),
        };
        row.variant()
    }
}

/// Whatever is wrong with it is noted and read as if it were empty, so that all faults are found.
struct Row<'a> {
    columns: &'a Columns,
    cells: &'a [String],
    faults: Vec<Fault>,
}

impl<'a> Row<'a> {
    fn cell(&self, name: &str) -> &'a str {
        let place = self.columns.places.get(name);
        place
            .and_then(|at| self.cells.get(*at))
            .map_or("", String::as_str)
    }

    fn fault(&mut self, name: &str, reason: &dyn ToString) {
        self.faults.push((name.to_owned(), reason.to_string()));
    }

    fn json<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let cell = self.cell(name);
        if cell.trim().is_empty() {
            return T::default();
        }
        serde_json::from_str(cell).unwrap_or_else(|error| {
            self.fault(name, &format!("is not the JSON expected: {error}"));
            T::default()
        })
    }

    /// The cells of all columns that begin so and are not empty.
    fn named(&self, prefix: &str) -> Vec<(String, &'a str)> {
        let columns = self.columns.names.iter();
        columns
            .filter_map(|column| Some((column.strip_prefix(prefix)?.to_owned(), self.cell(column))))
            .filter(|(_, cell)| !cell.is_empty())
            .collect()
    }

    fn product(mut self) -> (Content, Vec<Fault>) {
        let status = match self.cell("status").trim() {
            "" => Status::default(),
            text => Status::parse(text).unwrap_or_else(|| {
                self.fault("status", &"must be draft, active or archived");
                Status::default()
            }),
        };
        let content = Content {
            handle: self.cell("handle").to_owned(),
            title: self.cell("title").to_owned(),
            description: self.cell("description").to_owned(),
            brand: self.cell("brand").to_owned(),
            category: self.cell("category").to_owned(),
            attributes: self.attributes(),
            images: self.images(),
            variants: Vec::new(),
            status,
        };
        (content, self.faults)
    }

    fn attributes(&mut self) -> BTreeMap<String, AttributeValue> {
        let mut attributes: BTreeMap<String, AttributeValue> = self.json("attributes");
        for (key, cell) in self.named(ATTRIBUTE) {
            if attributes.insert(key.clone(), by_its_looks(cell)).is_some() {
                self.fault(&format!("{ATTRIBUTE}{key}"), &"stands in attributes as well");
            }
        }
        attributes
    }

    fn images(&mut self) -> Vec<Image> {
        let cell = self.cell("images");
        if cell.trim_start().starts_with('[') {
            return self.json("images");
        }
        let image = |url: &str| Image {
            url: url.to_owned(),
            alt: String::new(),
            width: None,
            height: None,
        };
        cell.split_whitespace().map(image).collect()
    }

    fn variant(mut self) -> (Option<VariantContent>, Vec<Fault>) {
        let mut options: BTreeMap<String, String> = self.json("options");
        for (key, cell) in self.named(OPTION) {
            if options.insert(key.clone(), cell.to_owned()).is_some() {
                self.fault(&format!("{OPTION}{key}"), &"stands in options as well");
            }
        }
        let currency: Option<Currency> = match self.cell("currency").trim().parse() {
            Ok(currency) => Some(currency),
            Err(error) => {
                self.fault("currency", &error);
                None
            }
        };
        let amount = self.amount("price_minor");
        if amount.is_none() && self.cell("price_minor").trim().is_empty() {
            self.fault("price_minor", &"must be given");
        }
        let sale = currency.and_then(|currency| self.sale(currency));
        let variant = currency.zip(amount).map(|(currency, amount)| VariantContent {
            sku: self.cell("sku").to_owned(),
            options,
            price: Money::new(amount, currency),
            sale,
        });
        (variant, self.faults)
    }

    fn amount(&mut self, name: &str) -> Option<i64> {
        match self.cell(name).trim() {
            "" => None,
            text => text.parse().ok().or_else(|| {
                self.fault(name, &"must be a whole number of minor units, such as cents");
                None
            }),
        }
    }

    fn sale(&mut self, currency: Currency) -> Option<Sale> {
        let (from, until) = (self.cell("sale_from").trim(), self.cell("sale_until").trim());
        let Some(amount) = self.amount("sale_price_minor") else {
            for (name, cell) in [("sale_from", from), ("sale_until", until)] {
                if !cell.is_empty() && self.cell("sale_price_minor").trim().is_empty() {
                    self.fault(name, &"is given without sale_price_minor");
                }
            }
            return None;
        };
        let mut sale = Sale {
            price: Money::new(amount, currency),
            from: None,
            until: None,
        };
        for (name, key, cell) in [("sale_from", "from", from), ("sale_until", "until", until)] {
            if cell.is_empty() {
                continue;
            }
            let read: Result<Sale, _> = serde_json::from_value(json!({"price": sale.price, key: cell}));
            match read {
                Ok(read) if key == "from" => sale.from = read.from,
                Ok(read) => sale.until = read.until,
                Err(_) => self.fault(name, &"must be a time such as 2030-01-31T08:00:00Z"),
            }
        }
        Some(sale)
    }
}

/// `true`, `42` and `0.5` are what they look like, and so is `"42"`, a text; anything else is a text.
fn by_its_looks(cell: &str) -> AttributeValue {
    match serde_json::from_str(cell) {
        // An article code of twenty digits is no number: its last digits would be lost.
        Ok(AttributeValue::Number(number)) if number.is_f64() && !cell.contains(['.', 'e', 'E']) => {
            AttributeValue::Text(cell.to_owned())
        }
        Ok(value) => value,
        Err(_) => AttributeValue::Text(cell.to_owned()),
    }
}

/// The cells of the product under [`HEADER`], a row a variant.
pub(crate) fn rows(content: &Content) -> Vec<[String; 15]> {
    let first = |at: usize, cell: &dyn Fn() -> String| if at == 0 { cell() } else { String::new() };
    let variants = content.variants.iter().enumerate();
    variants
        .map(|(at, variant)| {
            let sale = variant.sale.as_ref();
            let time = |time: Option<ferrocart_types::Timestamp>| {
                time.map_or_else(String::new, |time| {
                    json!(time).as_str().unwrap_or_default().to_owned()
                })
            };
            [
                content.handle.clone(),
                first(at, &|| content.title.clone()),
                first(at, &|| content.description.clone()),
                first(at, &|| content.brand.clone()),
                first(at, &|| content.category.clone()),
                first(at, &|| content.status.as_str().to_owned()),
                first(at, &|| {
                    unless(content.attributes.is_empty(), || json!(content.attributes))
                }),
                first(at, &|| {
                    unless(content.images.is_empty(), || json!(content.images))
                }),
                variant.sku.clone(),
                unless(variant.options.is_empty(), || json!(variant.options)),
                variant.price.amount_minor.to_string(),
                variant.price.currency.to_string(),
                sale.map_or_else(String::new, |sale| sale.price.amount_minor.to_string()),
                time(sale.and_then(|sale| sale.from)),
                time(sale.and_then(|sale| sale.until)),
            ]
        })
        .collect()
}

fn unless(is_empty: bool, json: impl Fn() -> serde_json::Value) -> String {
    if is_empty {
        String::new()
    } else {
        json().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Result<Columns, String> {
        Columns::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn cells(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_header_that_cannot_be_meant_is_refused() {
        assert!(columns(&HEADER).is_ok());
        let without = |name: &str| -> Vec<&str> { HEADER.into_iter().filter(|each| *each != name).collect() };
        assert!(columns(&without("sale_until")).is_ok());
        assert_eq!(columns(&without("sku")).unwrap_err(), "lacks the column sku");
        assert!(columns(&without("handle")).unwrap_err().contains("begin with"));
        let more = |name: &'static str| HEADER.into_iter().chain([name]).collect::<Vec<_>>();
        assert!(columns(&more("colour")).unwrap_err().contains("\"colour\""));
        assert!(columns(&more("option.")).is_err());
        assert!(columns(&more("option.size")).is_ok());
        assert!(columns(&more("title")).unwrap_err().contains("twice"));
    }

    #[test]
    fn what_was_written_is_read_again() {
        let content: Content = serde_json::from_value(json!({
            "handle": "shoe", "title": "Shoe", "description": "Two\r\nlines, \"quoted\"", "brand": "Alpina",
            "category": "shoes", "status": "draft",
            "attributes": {"color": "blue", "ean": "4006381333931", "weight_g": 250.5, "waterproof": true},
            "images": [{"url": "https://img.example.com/1.jpg", "alt": "Shoe", "width": 640}],
            "variants": [
                {"sku": "S-42", "options": {"size": "42"}, "price": {"amount_minor": 9900, "currency": "USD"},
                 "sale": {"price": {"amount_minor": 1, "currency": "USD"}, "from": "2030-01-02T00:00:00.123Z"}},
                {"sku": "S-43", "price": {"amount_minor": 0, "currency": "USD"}},
            ],
        }))
        .unwrap();
        let columns = columns(&HEADER).unwrap();
        let rows = rows(&content);
        let (mut read, faults) = columns.product(&rows[0]);
        assert_eq!(faults, []);
        for row in &rows {
            let (variant, faults) = columns.variant(row);
            assert_eq!(faults, []);
            read.variants.extend(variant);
        }
        assert_eq!(read, content);
        assert_eq!(columns.contradictions(&rows[0], &rows[1]), []);
    }

    #[test]
    fn cells_of_columns_of_their_own_are_read_by_their_looks() {
        let columns = columns(&[
            "handle",
            "title",
            "brand",
            "category",
            "sku",
            "price_minor",
            "currency",
            "images",
            "attribute.ean",
            "attribute.size",
            "attribute.wet",
            "attribute.none",
            "option.size",
        ])
        .unwrap();
        let row = cells(&[
            "a",
            "T",
            "B",
            "c",
            "S",
            "100",
            "EUR",
            "https://a.example/1.jpg https://a.example/2.jpg",
            "40063813339311234567890",
            "0.50",
            "true",
            "",
            "42",
        ]);
        let (content, faults) = columns.product(&row);
        assert_eq!(faults, []);
        assert_eq!(
            serde_json::to_value(&content.attributes).unwrap(),
            json!({"ean": "40063813339311234567890", "size": 0.5, "wet": true})
        );
        assert_eq!(content.images.len(), 2);
        let (variant, _) = columns.variant(&row);
        assert_eq!(variant.unwrap().options["size"], "42");
        assert_eq!(by_its_looks("\"42\""), AttributeValue::Text("42".to_owned()));
    }

    #[test]
    fn all_faults_of_a_row_name_their_column() {
        let columns = columns(&HEADER).unwrap();
        let row = cells(&[
            "a",
            "T",
            "",
            "B",
            "c",
            "gone",
            "{\"a\":null}",
            "[1]",
            "S",
            "[]",
            "9.90",
            "dollar",
            "",
            "",
            "",
        ]);
        let names = |faults: Vec<Fault>| faults.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(columns.product(&row).1), ["status", "attributes", "images"]);
        assert_eq!(
            names(columns.variant(&row).1),
            ["options", "currency", "price_minor"]
        );
        let row = cells(&[
            "a",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "S",
            "",
            "1",
            "USD",
            "",
            "2030-01-01T00:00:00Z",
            "",
        ]);
        assert_eq!(names(columns.variant(&row).1), ["sale_from"]);
        let row = cells(&[
            "a", "", "", "", "", "", "", "", "S", "", "1", "USD", "1", "soon", "",
        ]);
        assert_eq!(names(columns.variant(&row).1), ["sale_from"]);
    }

    #[test]
    fn a_later_row_may_repeat_the_product_but_not_change_it() {
        let columns = columns(&HEADER).unwrap();
        let first = cells(&[
            "a", "T", "", "B", "c", "", "", "", "S", "", "1", "USD", "", "", "",
        ]);
        let mut second = first.clone();
        second[8] = "S2".to_owned();
        assert_eq!(columns.contradictions(&first, &second), []);
        second[1] = "Other".to_owned();
        assert_eq!(columns.contradictions(&first, &second)[0].0, "title");
    }
}

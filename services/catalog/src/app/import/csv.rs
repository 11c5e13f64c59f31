//! Products out of the rows of a CSV file (RFC 4180), as `domain::columns` describes them.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use csv_core::ReadRecordResult;
use ferrocart_http_kit::FieldError;
use garde::Validate;

use super::{Item, LINE_BYTES_MAX};
use crate::domain::{Columns, Fault, Mark, VARIANTS_MAX, VariantContent};
use crate::error::field_errors;

/// What is wrong with a product is told up to this number of faults.
const FAULTS_MAX: usize = 50;
/// Handles that are remembered, to find rows of one product that do not stand together.
const SEEN_MAX: usize = 1_000_000;

pub(crate) struct Reader {
    columns: Option<Columns>,
    parser: csv_core::Reader,
    row: Row,
    group: Option<Group>,
    /// The hashes of the handles so far.
    seen: HashSet<u64>,
    hasher: RandomState,
}

/// The row that is being read: a quoted cell may have several lines.
#[derive(Default)]
struct Row {
    /// Where it begins, if it has begun.
    line: Option<u64>,
    bytes: usize,
    /// The text of its cells, one after the other, and where each ends.
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
}

/// The rows of one product.
struct Group {
    handle: String,
    line: u64,
    end: Mark,
    bytes: usize,
    first: Vec<String>,
    variants: Vec<VariantContent>,
    rows: Vec<u64>,
    faults: Vec<FieldError>,
}

impl Reader {
    pub(super) fn new(columns: Option<&[String]>) -> Result<Self, String> {
        Ok(Self {
            columns: columns.map(|names| header(names.to_vec())).transpose()?,
            parser: csv_core::Reader::new(),
            row: Row::default(),
            group: None,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        })
    }

    pub(super) fn columns(&self) -> Option<&[String]> {
        self.columns.as_ref().map(Columns::names)
    }

    pub(super) fn push(&mut self, line: Option<&[u8]>, end: Mark) -> Result<Option<Item>, String> {
        let begins = self.row.line.unwrap_or(end.line);
        let line = line.filter(|line| self.row.bytes + line.len() < LINE_BYTES_MAX);
        let Some(line) = line else {
            return Err(format!(
                "the row on line {begins} is longer than {LINE_BYTES_MAX} bytes: is a quote not closed?"
            ));
        };
        if self.row.line.is_none() && line.trim_ascii().is_empty() {
            return Ok(None);
        }
        self.row.line = Some(begins);
        self.row.bytes += line.len() + 1;
        let Some(left) = self.feed(line)? else {
            // The line feed is a part of the cell, or ends the row.
            return match self.feed(b"\n")? {
                Some(_) => self.take_row(begins, end),
                None => Ok(None),
            };
        };
        if !line.get(left..).unwrap_or_default().trim_ascii().is_empty() {
            return Err(format!("line {} has a carriage return in its midst", end.line));
        }
        self.take_row(begins, end)
    }

    /// How much of it was read when the row was complete; `None` if it is not.
    fn feed(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        let row = &mut self.row;
        row.text.resize(row.text_len + input.len() + 1, 0);
        let mut read = 0;
        loop {
            if row.ends.len() <= row.ends_len {
                row.ends.resize(row.ends_len + 32, 0);
            }
            let (Some(rest), Some(text), Some(ends)) = (
                input.get(read..),
                row.text.get_mut(row.text_len..),
                row.ends.get_mut(row.ends_len..),
            ) else {
                return Err("the rows could not be read".to_owned());
            };
            // An empty input would be its end.
            if rest.is_empty() {
                return Ok(None);
            }
            let (outcome, took, wrote, ended) = self.parser.read_record(rest, text, ends);
            read += took;
            row.text_len += wrote;
            row.ends_len += ended;
            match outcome {
                ReadRecordResult::Record => return Ok(Some(read)),
                ReadRecordResult::InputEmpty => return Ok(None),
                ReadRecordResult::OutputEndsFull => {}
                ReadRecordResult::OutputFull | ReadRecordResult::End => {
                    return Err("the rows could not be read".to_owned());
                }
            }
        }
    }

    /// The row is complete.
    fn take_row(&mut self, line: u64, end: Mark) -> Result<Option<Item>, String> {
        let bytes = self.row.bytes;
        let (cells, not_utf8) = self.row.take();
        let Some(columns) = &self.columns else {
            let names = cells.into_iter().map(|cell| cell.trim().to_owned()).collect();
            self.columns = Some(header(names)?);
            return Ok(None);
        };
        let is_more = self
            .group
            .as_ref()
            .is_some_and(|group| Some(&group.handle) == cells.first());
        let complete = if is_more { None } else { self.group.take() };
        let complete = complete.map(|group| group.item(columns));
        let seen = &mut self.seen;
        let group = self.group.get_or_insert_with(|| {
            let mut group = Group::new(line, &cells);
            let hash = self.hasher.hash_one(&group.handle);
            if seen.len() < SEEN_MAX && !seen.insert(hash) {
                group.fault(
                    line,
                    [(
                        "handle".to_owned(),
                        "has rows further up: all rows of a product must stand together".to_owned(),
                    )],
                );
            }
            group
        });
        if let Some(at) = not_utf8 {
            let name = columns.names().get(at).map_or("line", String::as_str);
            group.fault(line, [(name.to_owned(), "is not UTF-8".to_owned())]);
        }
        group.add(columns, line, &cells);
        group.end = end;
        group.bytes += bytes;
        Ok(complete)
    }

    pub(super) fn finish(&mut self) -> Result<Option<Item>, String> {
        if let Some(line) = self.row.line {
            return Err(format!(
                "the file ends within the row on line {line}: a quote is not closed"
            ));
        }
        let columns = self.columns.as_ref();
        Ok(self
            .group
            .take()
            .zip(columns)
            .map(|(group, columns)| group.item(columns)))
    }
}

fn header(names: Vec<String>) -> Result<Columns, String> {
    Columns::new(names).map_err(|reason| format!("the header {reason}"))
}

impl Row {
    /// Its cells, and the first of them that is no text.
    fn take(&mut self) -> (Vec<String>, Option<usize>) {
        let ends = self.ends.get(..self.ends_len).unwrap_or_default();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let cells: Vec<&[u8]> = starts
            .zip(ends)
            .map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
            .collect();
        let not_utf8 = cells.iter().position(|cell| std::str::from_utf8(cell).is_err());
        let cells = cells.into_iter().map(String::from_utf8_lossy);
        let cells = cells.map(std::borrow::Cow::into_owned).collect();
        (self.line, self.bytes, self.text_len, self.ends_len) = (None, 0, 0, 0);
        // A row with very many cells is a mistake; its memory is not kept for the others.
        self.ends.truncate(1_024);
        (cells, not_utf8)
    }
}

impl Group {
    fn new(line: u64, cells: &[String]) -> Self {
        Self {
            handle: cells.first().cloned().unwrap_or_default(),
            line,
            end: Mark::default(),
            bytes: 0,
            first: cells.to_vec(),
            variants: Vec::new(),
            rows: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, line: u64, faults: impl IntoIterator<Item = Fault>) {
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        let faults = faults.into_iter().take(room);
        let faults: Vec<_> = faults
            .map(|(field, reason)| self.on_line(line, field, reason))
            .collect();
        self.faults.extend(faults);
    }

    fn on_line(&self, line: u64, field: String, reason: String) -> FieldError {
        let reason = if line == self.line {
            reason
        } else {
            format!("line {line}: {reason}")
        };
        FieldError { field, reason }
    }

    fn add(&mut self, columns: &Columns, line: u64, cells: &[String]) {
        // One more than may be is enough to know that there are too many.
        if self.rows.len() > VARIANTS_MAX {
            return;
        }
        self.rows.push(line);
        if cells.len() != columns.names().len() {
            let reason = format!(
                "has {} cells, the header has {}",
                cells.len(),
                columns.names().len()
            );
            self.fault(line, [("line".to_owned(), reason)]);
            return;
        }
        let contradictions = columns.contradictions(&self.first, cells);
        self.fault(line, contradictions);
        let (variant, faults) = columns.variant(cells);
        self.variants.extend(variant);
        self.fault(line, faults);
    }

    fn item(mut self, columns: &Columns) -> Item {
        let (mut content, faults) = columns.product(&self.first);
        if self.first.len() == columns.names().len() {
            self.fault(self.line, faults);
        }
        content.variants = std::mem::take(&mut self.variants);
        // Of a row that could not be read, nothing more is to be said.
        if self.faults.is_empty()
            && let Err(report) = content.validate()
        {
            self.faults = in_columns(field_errors(&report), &self.rows);
            self.faults.truncate(FAULTS_MAX);
        }
        let content = if self.faults.is_empty() {
            Ok(content)
        } else {
            Err(self.faults)
        };
        Item {
            line: self.line,
            end: self.end,
            bytes: self.bytes,
            content,
            rows: self.rows,
        }
    }
}

/// Faults of a product as faults of its rows: `variants[1].price` is `price_minor` on its second row.
pub(super) fn in_columns(errors: Vec<FieldError>, rows: &[u64]) -> Vec<FieldError> {
    let first = rows.first().copied();
    errors
        .into_iter()
        .map(|error| {
            let variant = error.field.strip_prefix("variants[").and_then(|rest| {
                let (at, field) = rest.split_once(']')?;
                let line = *rows.get(at.parse::<usize>().ok()?)?;
                Some((line, field.trim_start_matches('.')))
            });
            let Some((line, field)) = variant else {
                return error;
            };
            let column = match field {
                "price" => "price_minor",
                "sale" | "sale.price" => "sale_price_minor",
                "sale.from" => "sale_from",
                "sale.until" => "sale_until",
                other => other,
            };
            let reason = if Some(line) == first {
                error.reason
            } else {
                format!("line {line}: {}", error.reason)
            };
            FieldError {
                field: column.to_owned(),
                reason,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "handle,title,brand,category,sku,price_minor,currency,description,option.size";

    fn read(body: &str) -> Result<Vec<Item>, String> {
        let mut reader = Reader::new(None)?;
        let mut items = Vec::new();
        let mut mark = Mark::default();
        for line in body.split('\n') {
            mark = mark.after(line.as_bytes());
            items.extend(reader.push(Some(line.as_bytes()), mark)?);
        }
        items.extend(reader.finish()?);
        Ok(items)
    }

    fn faults(item: &Item) -> Vec<(&str, &str)> {
        let errors = item.content.as_ref().unwrap_err();
        errors
            .iter()
            .map(|error| (error.field.as_str(), error.reason.as_str()))
            .collect()
    }

    #[test]
    fn rows_of_one_handle_are_one_product() {
        for end in ["\n", "\r\n"] {
            let body = [
                "\u{feff}handle,title,brand,category,sku,price_minor,currency,description,option.size",
                "a,A,B,c,A-1,100,USD,\"Two\nlines, \"\"quoted\"\"\",42",
                "a,,,,A-2,200,USD,,43",
                "",
                "b,B,B,c,B-1,300,USD,,",
            ]
            .join(end);
            let items = read(&body).unwrap();
            let places: Vec<_> = items.iter().map(|item| (item.line, item.end.line)).collect();
            assert_eq!(places, [(2, 4), (6, 6)]);
            let first = items[0].content.as_ref().unwrap();
            assert_eq!(first.description, "Two\nlines, \"quoted\"");
            let skus: Vec<_> = first
                .variants
                .iter()
                .map(|v| (v.sku.as_str(), v.price.amount_minor))
                .collect();
            assert_eq!(skus, [("A-1", 100), ("A-2", 200)]);
            assert_eq!(first.variants[1].options["size"], "43");
            assert!(items[1].content.is_ok());
        }
    }

    #[test]
    fn a_product_with_one_bad_row_is_not_imported_without_it() {
        let body = [
            HEADER,
            "a,A,B,c,A-1,100,USD,,",
            "a,,,,A-2,200",
            "b,B,B,c,B-1,300,USD,,",
            "b,Bb,,,B-2,1.50,USD,,",
            "c,C,B,c,C-1,300,USD,,",
            "c,,,,C-2,-1,USD,,",
            "d,D,B,c,D-1,300,USD,,",
        ];
        let items = read(&body.join("\n")).unwrap();
        assert_eq!(
            faults(&items[0]),
            [("line", "line 3: has 6 cells, the header has 9")]
        );
        assert_eq!(
            faults(&items[1]),
            [
                ("title", "line 5: differs from the product's first row"),
                (
                    "price_minor",
                    "line 5: must be a whole number of minor units, such as cents"
                ),
            ]
        );
        let (field, reason) = faults(&items[2])[0];
        assert_eq!(field, "price_minor");
        assert!(reason.starts_with("line 7: amount_minor must be"), "{reason}");
        assert!(items[3].content.is_ok());
    }

    #[test]
    fn rows_of_one_product_that_do_not_stand_together_are_refused() {
        let body = [
            HEADER,
            "a,A,B,c,A-1,1,USD,,",
            "b,B,B,c,B-1,1,USD,,",
            "a,A,B,c,A-2,1,USD,,",
        ];
        let items = read(&body.join("\n")).unwrap();
        assert!(items[0].content.is_ok());
        assert_eq!(faults(&items[2])[0].0, "handle");
    }

    #[test]
    fn what_cannot_be_read_on_ends_the_import() {
        assert!(
            read("title,handle")
                .unwrap_err()
                .starts_with("the header must begin")
        );
        let open = format!("{HEADER}\na,A,B,c,A-1,100,USD,\"never\nclosed");
        assert!(read(&open).unwrap_err().contains("row on line 2"));
        let endless = format!("{open}{}", "\nmore".repeat(LINE_BYTES_MAX / 5));
        assert!(read(&endless).unwrap_err().contains("longer than"));
        assert!(
            read("handle,title\rbrand")
                .unwrap_err()
                .contains("carriage return")
        );
    }

    #[test]
    fn memory_is_bounded_however_many_rows_a_product_has() {
        let rows: Vec<String> = (0..1_000).map(|n| format!("a,A,B,c,A-{n},1,USD,,")).collect();
        let items = read(&format!("{HEADER}\n{}", rows.join("\n"))).unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(faults(&items[0])[0].0, "variants");
        assert_eq!(items[0].end.line, 1_001);
        assert!(items[0].rows.len() <= VARIANTS_MAX + 1);
    }
}

//! How far an import has come.

use std::str::FromStr;

use ferrocart_types::{InvalidId, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

/// An import of a merchant: unique among the merchant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Uuid, format = "uuid")]
pub(crate) struct ImportId(pub(crate) Uuid);

impl FromStr for ImportId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| InvalidId { kind: "import_id" })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportFormat)]
pub(crate) enum Format {
    Ndjson,
    Csv,
}

impl Format {
    pub(crate) const ALL: [Self; 2] = [Self::Ndjson, Self::Csv];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }
}

/// A place in a file: after so many lines, which were these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) line: u64,
    /// Of all lines so far, each taken without what stands blank at its end.
    pub(crate) digest: [u8; 32],
}

impl Mark {
    /// The place after one more line.
    pub(crate) fn after(self, line: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(self.digest)
            .chain_update(line.trim_ascii_end())
            .finalize();
        Self {
            line: self.line + 1,
            digest: digest.into(),
        }
    }
}

/// What came of the products of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    /// They were like that already, and keep their version.
    pub(crate) unchanged: u64,
    pub(crate) failed: u64,
}

/// An import as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) id: ImportId,
    pub(crate) format: Format,
    /// The header of a CSV file, once something of it is saved.
    pub(crate) columns: Option<Vec<String>>,
    /// Which of the requests that sent it is the last.
    pub(crate) attempt: i32,
    pub(crate) done: Mark,
    pub(crate) counts: Counts,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) completed_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_knows_the_lines_before_it_but_not_how_they_end() {
        let mark = |lines: &[&str]| {
            let marks = lines.iter();
            marks.fold(Mark::default(), |mark, line| mark.after(line.as_bytes()))
        };
        assert_eq!(mark(&["a", "b"]), mark(&["a\r", "b"]));
        assert_eq!(mark(&["a", "b"]).line, 2);
        assert_ne!(mark(&["a", "b"]), mark(&["b", "a"]));
        assert_ne!(mark(&["ab", ""]), mark(&["a", "b"]));
    }
}

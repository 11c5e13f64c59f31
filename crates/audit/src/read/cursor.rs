//! Rows that come in the order of their ids, one at a time, so that several sources can be joined as they
//! stream by.

use anyhow::{Result, ensure};
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::sort::{Sorted, Sorter};

/// One row an id.
pub(crate) struct Cursor<'c, T> {
    what: &'static str,
    rows: BoxStream<'c, Result<(Uuid, T)>>,
    head: Option<(Uuid, T)>,
}

impl<'c, T> Cursor<'c, T> {
    pub(crate) async fn open(what: &'static str, mut rows: BoxStream<'c, Result<(Uuid, T)>>) -> Result<Self> {
        let head = rows.try_next().await?;
        Ok(Self { what, rows, head })
    }

    pub(crate) fn key(&self) -> Option<Uuid> {
        self.head.as_ref().map(|(key, _)| *key)
    }

    /// The id's row, if it is the next one.
    pub(crate) async fn take(&mut self, key: Uuid) -> Result<Option<T>> {
        if self.key() != Some(key) {
            return Ok(None);
        }
        let next = self.rows.try_next().await?;
        if let Some((after, _)) = &next {
            ensure!(
                *after > key,
                "{} came out of order: {after} after {key}",
                self.what
            );
        }
        Ok(std::mem::replace(&mut self.head, next).map(|(_, row)| row))
    }
}

/// Any number of rows an id.
pub(crate) struct Groups<T> {
    rows: Sorted<T>,
    head: Option<(Uuid, T)>,
}

impl<T: serde::Serialize + DeserializeOwned> Groups<T> {
    pub(crate) fn open(rows: Sorter<T>) -> Result<Self> {
        let mut rows = rows.sorted()?;
        let head = rows.next()?;
        Ok(Self { rows, head })
    }

    pub(crate) fn key(&self) -> Option<Uuid> {
        self.head.as_ref().map(|(key, _)| *key)
    }

    /// The id's next row, if it has one more.
    pub(crate) fn take(&mut self, key: Uuid) -> Result<Option<T>> {
        if self.key() != Some(key) {
            return Ok(None);
        }
        let next = self.rows.next()?;
        Ok(std::mem::replace(&mut self.head, next).map(|(_, row)| row))
    }
}

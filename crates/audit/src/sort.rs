//! Sorts more than fits into memory: sorted runs on disk, merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Rows that are held in memory before a run is written.
const RUN_ROWS: usize = 100_000;

/// A row's place: whose it is, and its place among the rows of the same.
type Place = (Uuid, u64);

/// Takes rows in any order.
#[derive(Debug)]
pub(crate) struct Sorter<T> {
    rows: Vec<(Place, T)>,
    run_rows: usize,
    runs: Vec<File>,
    count: u64,
}

impl<T: Serialize + DeserializeOwned> Sorter<T> {
    pub(crate) fn new() -> Self {
        Self::with_runs_of(RUN_ROWS)
    }

    fn with_runs_of(run_rows: usize) -> Self {
        Self {
            rows: Vec::new(),
            run_rows,
            runs: Vec::new(),
            count: 0,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, key: Uuid, place: u64, row: T) -> Result<()> {
        self.rows.push(((key, place), row));
        self.count += 1;
        if self.rows.len() >= self.run_rows {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        self.rows.sort_by_key(|(place, _)| *place);
        let mut file = BufWriter::new(tempfile::tempfile().context("make a file to sort in")?);
        for row in self.rows.drain(..) {
            serde_json::to_writer(&mut file, &row).context("write a row to sort")?;
            file.write_all(b"\n").context("write a row to sort")?;
        }
        let mut file = file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .context("write a run")?;
        file.rewind().context("rewind a run")?;
        self.runs.push(file);
        Ok(())
    }

    /// Hands the rows out in order.
    pub(crate) fn sorted(mut self) -> Result<Sorted<T>> {
        if self.runs.is_empty() {
            self.rows.sort_by_key(|(place, _)| *place);
            let rows = self.rows.into_iter().map(|((key, _), row)| (key, row));
            return Ok(Sorted::InMemory(rows.collect::<Vec<_>>().into_iter()));
        }
        if !self.rows.is_empty() {
            self.spill()?;
        }
        let mut merge = Merge {
            heads: BinaryHeap::new(),
            runs: self
                .runs
                .into_iter()
                .map(|run| (BufReader::new(run), None))
                .collect(),
        };
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(Sorted::OnDisk(merge))
    }
}

/// Rows by key, and by their place within it.
#[derive(Debug)]
pub(crate) enum Sorted<T> {
    InMemory(std::vec::IntoIter<(Uuid, T)>),
    OnDisk(Merge<T>),
}

#[derive(Debug)]
pub(crate) struct Merge<T> {
    heads: BinaryHeap<Reverse<(Place, usize)>>,
    runs: Vec<(BufReader<File>, Option<T>)>,
}

impl<T: DeserializeOwned> Merge<T> {
    fn advance(&mut self, run: usize) -> Result<()> {
        let Some((file, head)) = self.runs.get_mut(run) else {
            return Ok(());
        };
        let mut line = String::new();
        if file.read_line(&mut line).context("read a run")? == 0 {
            return Ok(());
        }
        let (place, row): (Place, T) = serde_json::from_str(&line).context("a sorted row is damaged")?;
        *head = Some(row);
        self.heads.push(Reverse((place, run)));
        Ok(())
    }
}

impl<T: DeserializeOwned> Sorted<T> {
    pub(crate) fn next(&mut self) -> Result<Option<(Uuid, T)>> {
        match self {
            Self::InMemory(rows) => Ok(rows.next()),
            Self::OnDisk(merge) => {
                let Some(Reverse(((key, _), run))) = merge.heads.pop() else {
                    return Ok(None);
                };
                let row = merge.runs.get_mut(run).and_then(|(_, head)| head.take());
                merge.advance(run)?;
                row.map(|row| (key, row)).context("a run lost its head").map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order_from_memory_and_from_disk() {
        for run_rows in [3, 1_000] {
            let mut sorter = Sorter::with_runs_of(run_rows);
            let mut expected = Vec::new();
            for number in 0_u64..50 {
                let (key, place) = (Uuid::from_u128(u128::from(number * 7 % 5)), number * 11 % 50);
                sorter.push(key, place, (number, "text\n".to_owned())).unwrap();
                expected.push(((key, place), number));
            }
            expected.sort_unstable();
            assert_eq!(sorter.len(), 50);
            let mut sorted = sorter.sorted().unwrap();
            let mut rows = Vec::new();
            while let Some((key, (number, _))) = sorted.next().unwrap() {
                rows.push((key, number));
            }
            let expected: Vec<_> = expected
                .into_iter()
                .map(|((key, _), number)| (key, number))
                .collect();
            assert_eq!(rows, expected, "runs of {run_rows}");
        }
    }
}

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

use super::{Word, words};

/// More than anybody keeps by hand.
const LINES_MAX: usize = 10_000;
const ALTERNATIVES_MAX: usize = 16;

/// Words that mean the same. A line of the list is a group, `earphones, earbuds`, each standing for all the
/// others, or goes one way: `sneaker => running shoe`. What follows `#` is a remark.
#[derive(Debug, Default)]
pub(crate) struct Synonyms {
    /// By stems, what else may be meant, in stems.
    alternatives: BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    longest: usize,
}

/// Words of a query that belong together, and what else they may mean.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    pub(crate) words: &'a [Word],
    pub(crate) alternatives: Vec<&'a [String]>,
}

impl Synonyms {
    pub(crate) fn builtin() -> anyhow::Result<Self> {
        Self::parse(include_str!("../../../synonyms.default.txt"))
    }

    pub(crate) fn parse(list: &str) -> anyhow::Result<Self> {
        if list.lines().count() > LINES_MAX {
            bail!("more than {LINES_MAX} lines");
        }
        let mut synonyms = Self::default();
        for (number, line) in (1..).zip(list.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (from, to) = line.split_once("=>").unwrap_or((line, line));
            let group = |part: &str| -> anyhow::Result<Vec<Vec<String>>> {
                let entries: Vec<_> = part.split(',').map(told).collect();
                if entries.iter().any(Vec::is_empty) {
                    bail!("line {number}: there is nothing beside a comma or an arrow");
                }
                if entries.len() > ALTERNATIVES_MAX {
                    bail!("line {number}: more than {ALTERNATIVES_MAX} words in one group");
                }
                Ok(entries)
            };
            let to = group(to)?;
            let from = group(from)?;
            if from == to && from.len() < 2 {
                bail!("line {number}: a word alone has no synonym");
            }
            for entry in from {
                synonyms.longest = synonyms.longest.max(entry.len());
                let others: Vec<_> = to.iter().filter(|other| **other != entry).cloned().collect();
                synonyms.alternatives.entry(entry).or_default().extend(others);
            }
        }
        Ok(synonyms)
    }

    /// The list in the file; without one, the one that comes with the service.
    pub(crate) fn load(file: &std::path::Path) -> anyhow::Result<Self> {
        if file.as_os_str().is_empty() {
            return Self::builtin();
        }
        let list = std::fs::read_to_string(file)
            .with_context(|| format!("synonyms_file: cannot read {}", file.display()))?;
        Self::parse(&list).with_context(|| format!("synonyms_file: {}", file.display()))
    }

    /// Cuts the words into slots, taking the longest that have synonyms. What stands in quotes is meant as
    /// it is.
    pub(crate) fn slots<'a>(&'a self, mut words: &'a [Word]) -> Vec<Slot<'a>> {
        let mut slots = Vec::new();
        while !words.is_empty() {
            let (len, alternatives) = self.longest_of(words).unwrap_or((1, Vec::new()));
            let (taken, rest) = words.split_at(len);
            slots.push(Slot {
                words: taken,
                alternatives,
            });
            words = rest;
        }
        slots
    }

    fn longest_of(&self, words: &[Word]) -> Option<(usize, Vec<&[String]>)> {
        (1..=self.longest.min(words.len())).rev().find_map(|len| {
            let run = words.get(..len)?;
            if run.iter().any(|word| word.quoted) {
                return None;
            }
            let key: Vec<String> = run.iter().map(|word| word.stem.clone()).collect();
            let found = self.alternatives.get(&key)?;
            Some((
                len,
                found.iter().take(ALTERNATIVES_MAX).map(Vec::as_slice).collect(),
            ))
        })
    }
}

/// The stems of the words that count in a query, too.
fn told(entry: &str) -> Vec<String> {
    words(entry).into_iter().map(|word| word.stem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alternatives(list: &str, text: &str) -> Vec<Vec<String>> {
        let synonyms = Synonyms::parse(list).unwrap();
        let words = words(text);
        let slots = synonyms.slots(&words);
        let of = |slot: &Slot<'_>| slot.alternatives.iter().map(|stems| stems.join(" ")).collect();
        slots.iter().map(of).collect()
    }

    #[test]
    fn groups_go_both_ways_and_arrows_one() {
        let list = "earbuds, earphones # in the ear\nsneakers => running shoe\n\n";
        assert_eq!(alternatives(list, "red earphone"), [vec![], vec!["earbud"]]);
        assert_eq!(alternatives(list, "earbud"), [["earphon"]]);
        assert_eq!(alternatives(list, "sneaker"), [["run shoe"]]);
        assert_eq!(alternatives(list, "running shoes"), [Vec::<&str>::new(), vec![]]);
    }

    #[test]
    fn the_longest_run_counts_and_quotes_are_literal() {
        let list = "power bank, portable charger\ncharger, plug";
        assert_eq!(
            alternatives(list, "small portable charger"),
            [vec![], vec!["power bank"]]
        );
        assert_eq!(alternatives(list, "\"charger\""), [Vec::<&str>::new()]);
    }

    #[test]
    fn mistakes_name_their_line() {
        for list in ["a, b\nalone", "a, b\nx,,y", "a, b\n => b"] {
            let error = Synonyms::parse(list).unwrap_err();
            assert!(error.to_string().starts_with("line 2"), "{list}: {error}");
        }
        Synonyms::builtin().unwrap();
    }
}

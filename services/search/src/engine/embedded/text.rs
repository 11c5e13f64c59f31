//! How a text becomes a query.

use std::collections::BTreeMap;

use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, FuzzyTermQuery, Occur, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Searcher, Term};

use super::schema::{Fields, TextFields};
use super::words::Word;
use crate::engine::EngineError;

/// Every word found as such is worth more than all that prefixes, guesses and frequencies can add up to.
const EXACT: Score = 1_000.0;
/// What a field tells when it holds a word, or a word that begins so.
const TITLE: (Score, Score) = (4.0, 60.0);
const BRAND: (Score, Score) = (3.0, 45.0);
const CATEGORY: (Score, Score) = (2.0, 30.0);
const ATTRIBUTES: (Score, Score) = (1.5, 20.0);
const DESCRIPTION: (Score, Score) = (1.0, 10.0);
/// A word one letter off counts by its frequencies alone, and little.
const MISSPELT: Score = 0.02;
/// How many words of the index one misspelt word may stand for, the most frequent first.
const GUESSES_MAX: usize = 32;

/// Whether a document must hold all the words or any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    All,
    Any,
}

pub(super) fn query(
    words: &[Word],
    mode: Mode,
    searcher: &Searcher,
    fields: &Fields,
) -> Result<Box<dyn Query>, EngineError> {
    if words.is_empty() {
        // Something was typed, but nothing that could be found.
        return Ok(Box::new(EmptyQuery));
    }
    let occur = match mode {
        Mode::All => Occur::Must,
        Mode::Any => Occur::Should,
    };
    let clauses = words
        .iter()
        .map(|word| Ok((occur, one_word(word, searcher, fields)?)))
        .collect::<Result<Vec<_>, EngineError>>()?;
    Ok(Box::new(BooleanQuery::new(clauses)))
}

fn one_word(word: &Word, searcher: &Searcher, fields: &Fields) -> Result<Box<dyn Query>, EngineError> {
    let weighed = weighed(&fields.stemmed).map(|(field, weights)| (term(field, &word.stem), weights.0));
    let anywhere = weighed.iter().map(|(query, _)| query.box_clone()).collect();
    let mut ways: Vec<Box<dyn Query>> = vec![Box::new(ConstScoreQuery::new(
        Box::new(BooleanQuery::union(anywhere)),
        EXACT,
    ))];
    for (query, weight) in weighed {
        ways.push(Box::new(BoostQuery::new(query, weight)));
    }
    if word.may_be_a_prefix() {
        ways.extend(beginnings(word, &fields.plain));
    }
    if word.may_be_misspelt() {
        ways.extend(guesses(word, searcher, &fields.plain)?);
    }
    Ok(Box::new(BooleanQuery::union(ways)))
}

fn weighed(fields: &TextFields) -> [(Field, (Score, Score)); 5] {
    [
        (fields.title, TITLE),
        (fields.brand, BRAND),
        (fields.category, CATEGORY),
        (fields.attributes, ATTRIBUTES),
        (fields.description, DESCRIPTION),
    ]
}

pub(super) fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, text),
        IndexRecordOption::WithFreqs,
    ))
}

/// What begins with the text; all are worth the same.
pub(super) fn prefix(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(FuzzyTermQuery::new_prefix(
        Term::from_field_text(field, text),
        0,
        true,
    ))
}

fn beginnings<'a>(word: &'a Word, fields: &TextFields) -> impl Iterator<Item = Box<dyn Query>> + use<'a> {
    weighed(fields)
        .into_iter()
        .map(|(field, weights)| -> Box<dyn Query> {
            Box::new(ConstScoreQuery::new(prefix(field, &word.typed), weights.1))
        })
}

/// The words of the index that are one letter off.
fn guesses(
    word: &Word,
    searcher: &Searcher,
    fields: &TextFields,
) -> Result<Vec<Box<dyn Query>>, EngineError> {
    let mut guesses: Vec<Box<dyn Query>> = Vec::new();
    for (field, (weight, _)) in weighed(fields) {
        let near = FuzzyTermQuery::new(Term::from_field_text(field, &word.typed), 1, true);
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for segment in searcher.segment_readers() {
            let failed = EngineError::during("reading the vocabulary");
            let index = segment.inverted_index(field).map_err(failed)?;
            let automaton = near.automaton().map_err(EngineError::during("guessing a word"))?;
            let stream = index.terms().search(automaton).into_stream();
            let mut stream = stream.map_err(EngineError::during("reading the vocabulary"))?;
            while let Some((bytes, info)) = stream.next() {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    *counts.entry(text.to_owned()).or_default() += u64::from(info.doc_freq);
                }
            }
        }
        counts.remove(&word.typed);
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words = counts
            .iter()
            .take(GUESSES_MAX)
            .map(|(text, _)| term(field, text))
            .collect::<Vec<_>>();
        if !words.is_empty() {
            let any = BoostQuery::new(Box::new(BooleanQuery::union(words)), weight);
            guesses.push(Box::new(BoostQuery::new(Box::new(any), MISSPELT)));
        }
    }
    Ok(guesses)
}

//! How a text becomes a query.

use std::collections::BTreeMap;

use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, FuzzyTermQuery, Occur, PhraseQuery, Query,
    TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Searcher, Term};

use super::schema::{Fields, TextFields};
use crate::engine::EngineError;
use crate::engine::language::{Slot, Synonyms, Typed, Word};
use crate::engine::weights::{
    EXACT, FIELDS, GUESSES_MAX, SIDE_BY_SIDE, SYNONYM_IN_TITLE, TWO_WRONG_FROM, misspelt, synonym,
};

/// Whether a document must hold all the words or any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    All,
    Any,
}

pub(super) fn query(
    typed: &Typed,
    mode: Mode,
    synonyms: &Synonyms,
    searcher: &Searcher,
    fields: &Fields,
) -> Result<Box<dyn Query>, EngineError> {
    if typed.words.is_empty() {
        // Something was typed, but nothing that could be found.
        return Ok(Box::new(EmptyQuery));
    }
    let occur = match mode {
        Mode::All => Occur::Must,
        Mode::Any => Occur::Should,
    };
    let slots = synonyms.slots(&typed.words);
    let slots = slots
        .iter()
        .map(|slot| Ok((occur, one_slot(slot, searcher, fields)?)))
        .collect::<Result<Vec<_>, EngineError>>()?;
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = match mode {
        Mode::All => slots,
        Mode::Any => vec![(Occur::Must, Box::new(BooleanQuery::new(slots)))],
    };
    for phrase in &typed.phrases {
        let anywhere = weighed(&fields.stemmed).map(|(field, _)| side_by_side(field, phrase));
        clauses.push((Occur::Must, Box::new(BooleanQuery::union(anywhere.into()))));
    }
    for pair in typed.words.windows(2) {
        let stems: Vec<String> = pair.iter().map(|word| word.stem.clone()).collect();
        let pair = side_by_side(fields.stemmed.title, &stems);
        clauses.push((Occur::Should, Box::new(ConstScoreQuery::new(pair, SIDE_BY_SIDE))));
    }
    Ok(Box::new(BooleanQuery::new(clauses)))
}

fn one_slot(slot: &Slot<'_>, searcher: &Searcher, fields: &Fields) -> Result<Box<dyn Query>, EngineError> {
    let words = slot
        .words
        .iter()
        .map(|word| one_word(word, searcher, fields))
        .collect::<Result<Vec<_>, EngineError>>()?;
    let itself: Box<dyn Query> = Box::new(BooleanQuery::intersection(words));
    if slot.alternatives.is_empty() {
        return Ok(itself);
    }
    let mut ways = vec![itself];
    for stems in &slot.alternatives {
        let title = fields.stemmed.title;
        let in_title = Box::new(BooleanQuery::intersection(
            stems.iter().map(|stem| term(title, stem)).collect(),
        ));
        let everywhere = stems.iter().map(|stem| -> Box<dyn Query> {
            let fields = weighed(&fields.stemmed);
            Box::new(BooleanQuery::union(
                fields.map(|(field, _)| term(field, stem)).into(),
            ))
        });
        let anywhere = Box::new(BooleanQuery::intersection(everywhere.collect()));
        ways.push(Box::new(ConstScoreQuery::new(
            anywhere,
            synonym(slot.words.len()),
        )));
        ways.push(Box::new(ConstScoreQuery::new(in_title, SYNONYM_IN_TITLE)));
    }
    Ok(Box::new(BooleanQuery::union(ways)))
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
    let [title, brand, category, attributes, description] = FIELDS;
    [
        (fields.title, title),
        (fields.brand, brand),
        (fields.category, category),
        (fields.attributes, attributes),
        (fields.description, description),
    ]
}

pub(super) fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, text),
        IndexRecordOption::WithFreqs,
    ))
}

fn side_by_side(field: Field, stems: &[String]) -> Box<dyn Query> {
    let terms = stems.iter().map(|stem| Term::from_field_text(field, stem));
    Box::new(PhraseQuery::new(terms.collect()))
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
        let mut counts = near(&word.typed, 1, searcher, field)?;
        counts.remove(&word.typed);
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words = counts
            .iter()
            .take(GUESSES_MAX)
            .map(|(text, _)| term(field, text))
            .collect::<Vec<_>>();
        if !words.is_empty() {
            let any = Box::new(BooleanQuery::union(words));
            guesses.push(Box::new(BoostQuery::new(any, misspelt(weight))));
        }
    }
    Ok(guesses)
}

/// The words of a field that are at most so many letters off, and how many documents hold each.
fn near(
    word: &str,
    distance: u8,
    searcher: &Searcher,
    field: Field,
) -> Result<BTreeMap<String, u64>, EngineError> {
    let near = FuzzyTermQuery::new(Term::from_field_text(field, word), distance, true);
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
    Ok(counts)
}

/// Whether anything holds the word, or, while it may still be typed, a word that begins so.
pub(super) fn is_known(word: &Word, searcher: &Searcher, fields: &Fields) -> Result<bool, EngineError> {
    for (field, _) in weighed(&fields.stemmed) {
        let term = Term::from_field_text(field, &word.stem);
        let count = searcher.doc_freq(&term);
        if count.map_err(EngineError::during("looking up a word"))? > 0 {
            return Ok(true);
        }
    }
    if !word.may_be_a_prefix() {
        return Ok(false);
    }
    for (field, _) in weighed(&fields.plain) {
        for segment in searcher.segment_readers() {
            let failed = EngineError::during("reading the vocabulary");
            let index = segment.inverted_index(field).map_err(failed)?;
            let stream = index.terms().range().ge(word.typed.as_bytes()).into_stream();
            let mut stream = stream.map_err(EngineError::during("reading the vocabulary"))?;
            if stream
                .next()
                .is_some_and(|(bytes, _)| bytes.starts_with(word.typed.as_bytes()))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What was probably meant by a word that nothing holds: the closest, of those the most frequent.
pub(super) fn meant(
    word: &Word,
    searcher: &Searcher,
    fields: &Fields,
) -> Result<Option<String>, EngineError> {
    let farthest = if word.typed.chars().count() < TWO_WRONG_FROM {
        1
    } else {
        2
    };
    for distance in 1..=farthest {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for (field, _) in weighed(&fields.plain) {
            for (text, count) in near(&word.typed, distance, searcher, field)? {
                *all.entry(text).or_default() += count;
            }
        }
        // Equal counts: the first by name.
        let best = all.into_iter().rev().max_by_key(|(_, count)| *count);
        if let Some((text, _)) = best {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

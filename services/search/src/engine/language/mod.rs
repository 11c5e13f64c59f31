//! How texts are understood, whatever holds the index: words, stems, synonyms, and what to point at in a hit.

mod highlight;
mod synonyms;
mod words;

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter,
    TextAnalyzer, TextAnalyzerBuilder, Tokenizer,
};

pub(crate) use highlight::Highlighter;
pub(crate) use synonyms::{Slot, Synonyms};
pub(crate) use words::{Typed, Word, typed, words};

/// Longer words are no words.
const WORD_BYTES_MAX: usize = 40;

/// All analyzers cut a text into the same words, so that the n-th stem belongs to the n-th word.
fn cut() -> TextAnalyzerBuilder<impl Tokenizer> {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
}

/// Words as they are typed: lower case, without accents.
pub(crate) fn plain_analyzer() -> TextAnalyzer {
    cut().build()
}

/// The same words, each cut to its English stem.
pub(crate) fn stemmed_analyzer() -> TextAnalyzer {
    cut().filter(Stemmer::new(Language::English)).build()
}

/// Leaves out words such as "the".
fn telling_analyzer() -> TextAnalyzer {
    match StopWordFilter::new(Language::English) {
        Some(filter) => cut().filter(filter).build(),
        None => plain_analyzer(),
    }
}

pub(crate) fn tokens(analyzer: &mut TextAnalyzer, text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut stream = analyzer.token_stream(text);
    stream.process(&mut |token| tokens.push(token.text.clone()));
    tokens
}

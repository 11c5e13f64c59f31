use std::collections::HashSet;

use tantivy::tokenizer::TextAnalyzer;

use super::schema::{plain_analyzer, stemmed_analyzer, telling_analyzer};

/// More words than anybody types; the rest of a text is passed over.
const WORDS_MAX: usize = 24;

/// One word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) typed: String,
    pub(super) stem: String,
    /// Stands last: it may still be typed.
    pub(super) unfinished: bool,
}

impl Word {
    /// Short words and numbers are too close to others to guess at.
    pub(super) fn may_be_misspelt(&self) -> bool {
        self.typed.chars().count() >= 4 && !self.typed.chars().all(|c| c.is_ascii_digit())
    }

    pub(super) fn may_be_a_prefix(&self) -> bool {
        self.unfinished && self.typed.chars().count() >= 2
    }
}

/// The words of whatever was typed. Punctuation, quotes and symbols only separate words: there is no query
/// syntax, hence no syntax error. Words such as "the" count only where there is nothing else.
pub(super) fn words(text: &str) -> Vec<Word> {
    let stems = tokens(&mut stemmed_analyzer(), text);
    let mut words: Vec<Word> = tokens(&mut plain_analyzer(), text)
        .into_iter()
        .zip(stems)
        .take(WORDS_MAX)
        .map(|(typed, stem)| Word {
            typed,
            stem,
            unfinished: false,
        })
        .collect();
    if let Some(last) = words.last_mut() {
        last.unfinished = true;
    }
    let telling: HashSet<String> = tokens(&mut telling_analyzer(), text).into_iter().collect();
    if words.iter().any(|word| telling.contains(&word.typed)) {
        words.retain(|word| telling.contains(&word.typed));
    }
    words
}

fn tokens(analyzer: &mut TextAnalyzer, text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut stream = analyzer.token_stream(text);
    stream.process(&mut |token| tokens.push(token.text.clone()));
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.typed).collect()
    }

    #[test]
    fn anything_typed_is_only_words() {
        assert_eq!(typed("Crème BRÛLÉE"), ["creme", "brulee"]);
        assert_eq!(
            typed("title:\"red -shoe\" AND (x OR"),
            ["title", "red", "shoe", "x"]
        );
        assert_eq!(typed("'; DROP TABLE products;--"), ["drop", "table", "products"]);
        assert!(typed("🙂 \" ' ( [ ~ * ?").is_empty());
        assert!(typed(&"x".repeat(200)).is_empty());
        assert_eq!(words(&"ab ".repeat(66)).len(), WORDS_MAX);
    }

    #[test]
    fn each_word_has_its_own_stem() {
        let words = words("running shoes");
        let stems: Vec<_> = words.iter().map(|word| word.stem.as_str()).collect();
        assert_eq!(stems, ["run", "shoe"]);
    }

    #[test]
    fn words_that_tell_nothing_count_only_alone() {
        assert_eq!(typed("shoes for the rain"), ["shoes", "rain"]);
        assert_eq!(typed("the"), ["the"]);
    }

    #[test]
    fn only_the_last_word_may_still_be_typed() {
        let words = words("red sho");
        assert!(!words[0].may_be_a_prefix());
        assert!(words[1].may_be_a_prefix());
    }
}

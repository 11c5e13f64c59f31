use std::collections::HashSet;

use super::{plain_analyzer, stemmed_analyzer, telling_analyzer, tokens};

/// More words than anybody types; the rest of a text is passed over.
const WORDS_MAX: usize = 24;

/// One word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) typed: String,
    pub(crate) stem: String,
    /// Stands last: it may still be typed.
    pub(crate) unfinished: bool,
    /// Stands in quotes: it is meant as it is.
    pub(crate) quoted: bool,
}

impl Word {
    /// Short words and numbers are too close to others to guess at.
    pub(crate) fn may_be_misspelt(&self) -> bool {
        !self.quoted && self.typed.chars().count() >= 4 && !self.typed.chars().all(|c| c.is_ascii_digit())
    }

    pub(crate) fn may_be_a_prefix(&self) -> bool {
        self.unfinished && self.typed.chars().count() >= 2
    }
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) words: Vec<Word>,
    /// What stood in quotes, in stems: must be found in this order, side by side.
    pub(crate) phrases: Vec<Vec<String>>,
}

/// The words of whatever was typed. Quotes hold a phrase; all else that is no word only separates words:
/// there is no query syntax, hence no syntax error. Words such as "the" count only where there is nothing
/// else.
pub(crate) fn typed(text: &str) -> Typed {
    let text = text.replace(['\u{201c}', '\u{201d}', '\u{201e}'], "\"");
    let parts: Vec<&str> = text.split('"').collect();
    let mut words = Vec::new();
    let mut phrases = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        // A quote that is never closed is none.
        let quoted = index % 2 == 1 && index + 1 < parts.len();
        let stems = tokens(&mut stemmed_analyzer(), part);
        let plain = tokens(&mut plain_analyzer(), part);
        words.extend(
            plain
                .into_iter()
                .zip(stems.iter().cloned())
                .map(|(typed, stem)| Word {
                    typed,
                    stem,
                    unfinished: false,
                    quoted,
                }),
        );
        if quoted && stems.len() > 1 {
            phrases.push(stems.into_iter().take(WORDS_MAX).collect());
        }
    }
    words.truncate(WORDS_MAX);
    phrases.truncate(WORDS_MAX);
    if let Some(last) = words.last_mut().filter(|last| !last.quoted) {
        last.unfinished = true;
    }
    let telling: HashSet<String> = tokens(&mut telling_analyzer(), &text).into_iter().collect();
    if words.iter().any(|word| telling.contains(&word.typed)) {
        words.retain(|word| telling.contains(&word.typed));
    }
    Typed { words, phrases }
}

pub(crate) fn words(text: &str) -> Vec<Word> {
    typed(text).words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.typed).collect()
    }

    #[test]
    fn anything_typed_is_only_words() {
        assert_eq!(seen("Crème BRÛLÉE"), ["creme", "brulee"]);
        assert_eq!(
            seen("title:\"red -shoe\" AND (x OR"),
            ["title", "red", "shoe", "x"]
        );
        assert_eq!(seen("'; DROP TABLE products;--"), ["drop", "table", "products"]);
        assert!(seen("🙂 \" ' ( [ ~ * ?").is_empty());
        assert!(seen(&"x".repeat(200)).is_empty());
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
        assert_eq!(seen("shoes for the rain"), ["shoes", "rain"]);
        assert_eq!(seen("the"), ["the"]);
    }

    #[test]
    fn only_the_last_word_may_still_be_typed() {
        let words = words("red sho");
        assert!(!words[0].may_be_a_prefix());
        assert!(words[1].may_be_a_prefix());
    }

    #[test]
    fn what_stands_in_quotes_is_a_phrase() {
        let asked = typed("red \u{201c}Running Shoes of the year\u{201d} big \"open");
        assert_eq!(asked.phrases, [["run", "shoe", "of", "the", "year"]]);
        let quoted: Vec<_> = asked.words.iter().map(|word| word.quoted).collect();
        assert_eq!(quoted, [false, true, true, true, false, false]);
        assert!(asked.words[5].unfinished);
        assert!(!words("\"red shoe\"")[1].unfinished);
        assert!(typed("\"shoe\"").phrases.is_empty(), "one word is no phrase");
    }
}

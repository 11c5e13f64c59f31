use std::ops::Range;

use super::{Synonyms, Typed, Word, plain_analyzer, stemmed_analyzer, typed};

/// Words of a text that are looked at, and those of a snippet.
const LOOKED_AT_MAX: usize = 2_000;
const SNIPPET_WORDS: usize = 30;
const BEFORE_THE_FIRST: usize = 5;

/// Points at the words of a text for which it was found.
pub(crate) struct Highlighter {
    typed: Typed,
    also: Vec<String>,
}

struct Seen {
    place: Range<usize>,
    meant: bool,
}

impl Highlighter {
    pub(crate) fn new(text: &str, synonyms: &Synonyms) -> Self {
        let typed = typed(text);
        let slots = synonyms.slots(&typed.words);
        let also = slots
            .iter()
            .flat_map(|slot| slot.alternatives.iter().copied().flatten())
            .cloned()
            .collect();
        Self { typed, also }
    }

    /// The whole text as HTML with what was meant in `<em>`; `None` if there is nothing to point at.
    pub(crate) fn whole(&self, text: &str) -> Option<String> {
        let seen = self.look(text);
        seen.iter()
            .any(|seen| seen.meant)
            .then(|| marked(text, 0..text.len(), &seen))
    }

    /// The same with the part of the text that says the most.
    pub(crate) fn snippet(&self, text: &str) -> Option<String> {
        let seen = self.look(text);
        let count = |start: usize| {
            let window = seen.iter().skip(start).take(SNIPPET_WORDS);
            window.filter(|seen| seen.meant).count()
        };
        // Some words before the first one that was meant make it readable. Of equals, the earliest.
        let start = (0..seen.len())
            .filter(|place| seen.get(*place).is_some_and(|seen| seen.meant))
            .map(|place| place.saturating_sub(BEFORE_THE_FIRST))
            .rev()
            .max_by_key(|start| count(*start))?
            .min(seen.len().saturating_sub(SNIPPET_WORDS));
        let end = seen.len().min(start + SNIPPET_WORDS);
        let from = if start == 0 {
            0
        } else {
            seen.get(start)?.place.start
        };
        let to = if end == seen.len() {
            text.len()
        } else {
            seen.get(end.checked_sub(1)?)?.place.end
        };
        let mut snippet = String::new();
        if start > 0 {
            snippet.push_str("… ");
        }
        snippet.push_str(&marked(text, from..to, seen.get(start..end)?));
        if end < seen.len() {
            snippet.push_str(" …");
        }
        Some(snippet)
    }

    fn look(&self, text: &str) -> Vec<Seen> {
        let (mut plain, mut stemmed) = (plain_analyzer(), stemmed_analyzer());
        let (mut plain, mut stemmed) = (plain.token_stream(text), stemmed.token_stream(text));
        let mut seen = Vec::new();
        while seen.len() < LOOKED_AT_MAX && plain.advance() && stemmed.advance() {
            let (word, stem) = (plain.token(), &stemmed.token().text);
            let meant = |asked: &Word| means(asked, &word.text, stem);
            seen.push(Seen {
                place: word.offset_from..word.offset_to,
                meant: self.also.contains(stem) || self.typed.words.iter().any(meant),
            });
        }
        seen
    }
}

fn means(asked: &Word, word: &str, stem: &str) -> bool {
    asked.stem == stem
        || (asked.may_be_a_prefix() && word.starts_with(&asked.typed))
        || (asked.may_be_misspelt() && strsim::osa_distance(&asked.typed, word) <= 1)
}

fn marked(text: &str, part: Range<usize>, seen: &[Seen]) -> String {
    let mut html = String::with_capacity(part.len() * 5 / 4);
    let mut done = part.start;
    for seen in seen.iter().filter(|seen| seen.meant) {
        escape(text.get(done..seen.place.start).unwrap_or_default(), &mut html);
        html.push_str("<em>");
        escape(text.get(seen.place.clone()).unwrap_or_default(), &mut html);
        html.push_str("</em>");
        done = seen.place.end;
    }
    escape(text.get(done..part.end).unwrap_or_default(), &mut html);
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            letter => html.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Highlighter {
        Highlighter::new(text, &Synonyms::parse("boots, wellies").unwrap())
    }

    #[test]
    fn forms_beginnings_mistakes_and_synonyms_are_pointed_at() {
        let marked = of("shoes watreproof boots run").whole("A Shoe, waterproof wellies for <runners> & co");
        assert_eq!(
            marked.unwrap(),
            "A <em>Shoe</em>, <em>waterproof</em> <em>wellies</em> for &lt;<em>runners</em>&gt; &amp; co"
        );
        assert!(of("hat").whole("A Shoe").is_none());
        assert_eq!(of("cafe").whole("Café 🙂").unwrap(), "<em>Café</em> 🙂");
    }

    #[test]
    fn a_snippet_is_the_part_that_says_the_most() {
        let filler = "word ".repeat(60);
        let text = format!("red {filler}red shoe and red hat {filler}");
        let snippet = of("red shoe").snippet(&text).unwrap();
        assert!(snippet.starts_with("… word"), "{snippet}");
        assert!(snippet.ends_with("word …"), "{snippet}");
        assert!(
            snippet.contains("<em>red</em> <em>shoe</em> and <em>red</em> hat"),
            "{snippet}"
        );
        assert_eq!(of("red").snippet("A red hat.").unwrap(), "A <em>red</em> hat.");
        assert!(of("red").snippet("").is_none());
    }
}

//! Words: handles, articles, descriptions.

use std::collections::BTreeMap;

use rand::Rng;

use crate::product::AttributeValue;
use crate::vocabulary::{Kind, Leaf, Making};

/// The most words a description may have; the third feature sentence is left out rather than exceed it.
pub(crate) const DESCRIPTION_WORDS_MAX: usize = 120;

/// Lower-case ASCII words joined by hyphens: `Chef's Knife` is `chefs-knife`.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for ch in text.chars() {
        if ch.is_ascii_alphanumeric() {
            slug.push(ch.to_ascii_lowercase());
        } else if ch != '\'' && ch != ',' && !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// What the sentences of one description are about.
pub(crate) struct Subject<'a> {
    pub(crate) leaf: &'a Leaf,
    pub(crate) kind: &'a Kind,
    pub(crate) making: &'a Making,
    pub(crate) brand: &'a str,
    pub(crate) model: &'a str,
    pub(crate) attributes: &'a BTreeMap<&'static str, AttributeValue>,
}

pub(crate) fn description(rng: &mut impl Rng, subject: &Subject<'_>) -> String {
    let leaf = subject.leaf;
    let features = three_distinct(rng, leaf.features.len());
    let closing = pick(rng, leaf.closings);
    let mut sentences = vec![
        opening(rng, subject),
        subject.making.sentence.to_owned(),
        leaf.features[features[0]].to_owned(),
        leaf.features[features[1]].to_owned(),
        fill(leaf.spec, subject.attributes),
        closing.to_owned(),
    ];
    let third = leaf.features[features[2]];
    let used: usize = sentences.iter().map(|sentence| words(sentence)).sum();
    if used + words(third) <= DESCRIPTION_WORDS_MAX && rng.random_bool(0.5) {
        sentences.insert(4, third.to_owned());
    }
    sentences.join(" ")
}

fn opening(rng: &mut impl Rng, subject: &Subject<'_>) -> String {
    let Subject {
        leaf,
        kind,
        brand,
        model,
        ..
    } = subject;
    let adjective = pick(rng, leaf.adjectives);
    let article = if adjective.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    let purpose = pick(rng, leaf.uses);
    let noun = kind.noun;
    match rng.random_range(0..3_u32) {
        0 => format!("The {brand} {model} is {article} {adjective} {noun} made for {purpose}."),
        1 => format!("Meet the {brand} {model}, {article} {adjective} {noun} for {purpose}."),
        _ => {
            format!("For {purpose}, the {brand} {model} is {article} {adjective} {noun} worth keeping close.")
        }
    }
}

/// Puts attribute values in the places of `{key}`.
fn fill(template: &str, attributes: &BTreeMap<&'static str, AttributeValue>) -> String {
    attributes.iter().fold(template.to_owned(), |text, (key, value)| {
        text.replace(&format!("{{{key}}}"), &value.to_string())
    })
}

pub(crate) fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

pub(crate) fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn three_distinct(rng: &mut impl Rng, len: usize) -> [usize; 3] {
    let first = rng.random_range(0..len);
    // Distances around the circle that differ and never come back to the start.
    let near = rng.random_range(1..len - 1);
    let far = rng.random_range(near + 1..len);
    [first, (first + near) % len, (first + far) % len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_keep_letters_and_digits_only() {
        assert_eq!(slug("Chef's Knife"), "chefs-knife");
        assert_eq!(slug("Over-Ear Headphones"), "over-ear-headphones");
        assert_eq!(slug("10,000 mAh"), "10000-mah");
        assert_eq!(slug(" Kettle & Crane "), "kettle-crane");
    }

    #[test]
    fn three_picks_never_repeat() {
        use rand::SeedableRng;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for len in 3..12 {
            for _ in 0..500 {
                let [a, b, c] = three_distinct(&mut rng, len);
                assert!(a != b && b != c && a != c, "{a} {b} {c} of {len}");
            }
        }
    }
}

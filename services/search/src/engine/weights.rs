//! What a hit is worth; the same in every engine.

/// Every word found as such is worth more than all that prefixes, guesses and frequencies can add up to.
pub(super) const EXACT: f32 = 1_000.0;
/// What means the same comes after it, and in the title before what holds it elsewhere.
const SYNONYM: f32 = 600.0;
pub(super) const SYNONYM_IN_TITLE: f32 = 100.0;
/// Two words that stand side by side in a title as they were typed.
pub(super) const SIDE_BY_SIDE: f32 = 60.0;
/// What title, brand, category, attributes and description tell when they hold a word, or a word that begins
/// so.
pub(super) const FIELDS: [(f32, f32); 5] = [(4.0, 60.0), (3.0, 45.0), (2.0, 30.0), (1.5, 20.0), (1.0, 10.0)];
/// A word one letter off counts by its frequencies alone, and little.
pub(super) const MISSPELT: f32 = 0.02;
/// How many words of the index one misspelt word may stand for, the most frequent first.
pub(super) const GUESSES_MAX: usize = 32;
/// Words of so many letters may have two wrong ones and still be recognised.
pub(super) const TWO_WRONG_FROM: usize = 6;

/// What holds a synonym of so many words, each of which counts.
#[expect(clippy::float_arithmetic, reason = "a score is no money")]
pub(super) fn synonym(words: usize) -> f32 {
    SYNONYM * f32::from(u8::try_from(words).unwrap_or(u8::MAX))
}

/// What a field tells in which a word stands one letter off.
#[expect(clippy::float_arithmetic, reason = "a score is no money")]
pub(super) fn misspelt(holds: f32) -> f32 {
    holds * MISSPELT
}

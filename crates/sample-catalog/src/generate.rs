//! The generator. Product `n` is drawn from its own stream of the seeded generator.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::product::{AttributeValue, Image, Money, Product, Variant};
use crate::text::{Subject, description, pick, slug};
use crate::vocabulary::{Attribute, Axis, DEPARTMENTS, Leaf, MODEL_STRIDE, MODELS};
use crate::{
    CURRENCY, SINGLE_UNIT_BRAND, SINGLE_UNIT_HANDLE, SINGLE_UNIT_SKU, SOLD_OUT_BRAND, SOLD_OUT_HANDLE,
    SOLD_OUT_SKUS,
};

const ON_HAND_MAX: u32 = 200;
const ROMAN: [&str; 6] = ["", " II", " III", " IV", " V", " VI"];

/// `products` products: the sold-out one, the single-unit one, then the leaf categories in turn.
/// The same seed gives the same products, and a longer catalog begins with the shorter one.
pub fn generate(seed: u64, products: usize) -> impl Iterator<Item = Product> {
    let leaves: Vec<&'static Leaf> = DEPARTMENTS
        .iter()
        .flat_map(|department| department.leaves)
        .collect();
    (0..products).map(move |index| match index {
        0 => sold_out(),
        1 => single_unit(),
        _ => {
            let position = index - 2;
            generated(seed, leaves[position % leaves.len()], position / leaves.len())
        }
    })
}

fn generated(seed: u64, leaf: &'static Leaf, ordinal: usize) -> Product {
    let mut rng = stream(seed, leaf, ordinal);
    let kind = pick(&mut rng, leaf.kinds);
    let brand = pick(&mut rng, leaf.brands);
    let making = pick(&mut rng, leaf.makings);
    let model = model(seed, leaf, ordinal);
    let mut attributes = attributes(&mut rng, leaf);
    attributes.insert(leaf.making_key, AttributeValue::Text(making.value));
    let description = description(
        &mut rng,
        &Subject {
            leaf,
            kind: &kind,
            making: &making,
            brand,
            model: &model,
            attributes: &attributes,
        },
    );
    mark_mentioned(&mut attributes, leaf, &description);
    let title = format!("{brand} {model} {}", kind.title);
    let handle = format!("{}-{}-{}", slug(kind.title), slug(&model), ordinal + 1);
    Product {
        images: images(&mut rng, &handle, &title),
        variants: variants(&mut rng, leaf, ordinal),
        handle,
        title,
        description,
        brand,
        category: leaf.slug,
        attributes,
    }
}

/// The leaf's code, not its position, names the stream: a category added later changes no other.
fn stream(seed: u64, leaf: &Leaf, ordinal: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ordinal = u64::try_from(ordinal).unwrap_or(u64::MAX);
    rng.set_stream(stream_code(leaf) << 32 | (ordinal & 0xffff_ffff));
    rng
}

fn stream_code(leaf: &Leaf) -> u64 {
    leaf.sku_code
        .bytes()
        .fold(0, |code, byte| (code << 8) | u64::from(byte))
}

/// Each model name once in a category before any comes again, with a Roman numeral.
fn model(seed: u64, leaf: &Leaf, ordinal: usize) -> String {
    let len = MODELS.len();
    let start = usize::try_from((seed % 64 + stream_code(leaf)) % 64).unwrap_or(0);
    let name = MODELS[(start + ordinal * MODEL_STRIDE) % len];
    let round = ordinal / len;
    ROMAN.get(round).map_or_else(
        || format!("{name} {}", round + 1),
        |numeral| format!("{name}{numeral}"),
    )
}

fn attributes(rng: &mut impl Rng, leaf: &Leaf) -> BTreeMap<&'static str, AttributeValue> {
    let values = leaf.attributes.iter().map(|(key, attribute)| {
        let value = match attribute {
            Attribute::Text(values) => AttributeValue::Text(pick(rng, values)),
            Attribute::Number { min, max, step } => {
                AttributeValue::Number(min + step * rng.random_range(0..=(max - min) / step))
            }
            Attribute::Flag => AttributeValue::Flag(rng.random_bool(0.5)),
            Attribute::Mentioned(_) => AttributeValue::Flag(false),
        };
        (*key, value)
    });
    values.collect()
}

fn mark_mentioned(attributes: &mut BTreeMap<&'static str, AttributeValue>, leaf: &Leaf, description: &str) {
    let text = description.to_lowercase().replace('-', " ");
    for (key, attribute) in leaf.attributes {
        if let Attribute::Mentioned(phrase) = attribute {
            attributes.insert(key, AttributeValue::Flag(text.contains(phrase)));
        }
    }
}

fn images(rng: &mut impl Rng, handle: &str, title: &str) -> Vec<Image> {
    const VIEWS: [&str; 4] = ["front", "side", "detail", "in use"];
    let count = rng.random_range(2..=VIEWS.len());
    let views = VIEWS.iter().take(count).enumerate();
    views
        .map(|(index, view)| Image {
            url: format!("https://images.example.com/products/{handle}/{}.jpg", index + 1),
            alt: format!("{title}, {view}"),
        })
        .collect()
}

/// Two to four neighbours on the first option, times one or two on the second: 2 to 8 variants.
fn variants(rng: &mut impl Rng, leaf: &Leaf, ordinal: usize) -> Vec<Variant> {
    let base_minor = base_price_minor(rng, leaf);
    let first = neighbours(rng, &leaf.first_option, 2, 4);
    let second = neighbours(rng, &leaf.second_option, 1, 2);
    let mut variants = Vec::with_capacity(first.len() * second.len());
    for (first_step, first_value) in (0_i64..).zip(&first) {
        for (second_step, second_value) in (0_i64..).zip(&second) {
            let extra_bps =
                first_step * leaf.first_option.step_bps + second_step * leaf.second_option.step_bps;
            variants.push(Variant {
                sku: format!(
                    "{}-{:04}-{}-{}",
                    leaf.sku_code,
                    ordinal + 1,
                    code(first_value),
                    code(second_value)
                ),
                options: BTreeMap::from([
                    (leaf.first_option.name, *first_value),
                    (leaf.second_option.name, *second_value),
                ]),
                price: usd(raised(base_minor, extra_bps)),
                on_hand: on_hand(rng),
            });
        }
    }
    variants
}

fn neighbours(rng: &mut impl Rng, axis: &Axis, least: usize, most: usize) -> Vec<&'static str> {
    let count = rng.random_range(least..=most.min(axis.values.len()));
    let start = rng.random_range(0..=axis.values.len() - count);
    axis.values[start..start + count].to_vec()
}

fn base_price_minor(rng: &mut impl Rng, leaf: &Leaf) -> i64 {
    let (low, high) = leaf.price_dollars;
    let cents = pick(rng, &[99, 99, 95, 50, 0]);
    rng.random_range(low..=high) * 100 + cents
}

/// `base` and so many hundredths of a percent more, rounded down to five cents once it was raised.
fn raised(base_minor: i64, extra_bps: i64) -> i64 {
    if extra_bps == 0 {
        base_minor
    } else {
        base_minor * (10_000 + extra_bps) / 10_000 / 5 * 5
    }
}

/// About 3 % sold out and 3 % with a single unit.
fn on_hand(rng: &mut impl Rng) -> u32 {
    match rng.random_range(0..100_u32) {
        0..3 => 0,
        3..6 => 1,
        _ => rng.random_range(2..=ON_HAND_MAX),
    }
}

fn code(option: &str) -> String {
    slug(option).to_ascii_uppercase()
}

fn usd(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: CURRENCY,
    }
}

fn sold_out() -> Product {
    let variant = |sku: &str, size, amount_minor| Variant {
        sku: sku.to_owned(),
        options: BTreeMap::from([("size", size), ("lid", "with lid")]),
        price: usd(amount_minor),
        on_hand: 0,
    };
    Product {
        handle: SOLD_OUT_HANDLE.to_owned(),
        title: "Emberline Foundry First Edition Cast Iron Skillet".to_owned(),
        description: "The Emberline Foundry First Edition is a heavy cast iron skillet, poured in a single run of \
                      numbered pieces. Cast iron holds its heat when cold food goes in and lasts for generations. \
                      The surface is ground smooth and seasoned three times, so it releases fried eggs with a spoon \
                      of butter. It works on every hob, over an open fire and in the oven. The whole edition was \
                      sold within a day; it stays listed for the owners who look up its care instructions."
            .to_owned(),
        brand: SOLD_OUT_BRAND,
        category: "cookware",
        attributes: BTreeMap::from([
            ("material", AttributeValue::Text("cast iron")),
            ("weight_g", AttributeValue::Number(2_950)),
            ("induction", AttributeValue::Flag(true)),
        ]),
        images: vec![image(SOLD_OUT_HANDLE, "Emberline Foundry First Edition Cast Iron Skillet")],
        variants: vec![variant(SOLD_OUT_SKUS[0], "26 cm", 14_900), variant(SOLD_OUT_SKUS[1], "30 cm", 17_900)],
    }
}

fn single_unit() -> Product {
    let variant = |sku: &str, colour, on_hand| Variant {
        sku: sku.to_owned(),
        options: BTreeMap::from([("colour", colour), ("size", "regular")]),
        price: usd(28_900),
        on_hand,
    };
    Product {
        handle: SINGLE_UNIT_HANDLE.to_owned(),
        title: "Lastpeak Archive Edition Hiking Backpack".to_owned(),
        description: "The Lastpeak Archive Edition is a rugged hiking backpack, sewn again from the patterns of the \
                      maker's first expedition pack. Waxed canvas ages with character and can be proofed again at \
                      home. The hip belt carries the load on the hips, and the ventilated back panel leaves a \
                      channel of air along the spine. Leather trim, brass buckles and a numbered label make it a \
                      piece for collectors who still go outdoors. A single one is left in the warehouse."
            .to_owned(),
        brand: SINGLE_UNIT_BRAND,
        category: "backpacks",
        attributes: BTreeMap::from([
            ("material", AttributeValue::Text("waxed canvas")),
            ("volume_l", AttributeValue::Number(42)),
            ("weight_g", AttributeValue::Number(1_850)),
            ("rain_cover", AttributeValue::Flag(true)),
        ]),
        images: vec![image(SINGLE_UNIT_HANDLE, "Lastpeak Archive Edition Hiking Backpack")],
        variants: vec![
            variant(SINGLE_UNIT_SKU, "forest green", 1),
            variant("LASTPEAK-ARCHIVE-SLATE", "slate", 0),
        ],
    }
}

fn image(handle: &str, title: &str) -> Image {
    Image {
        url: format!("https://images.example.com/products/{handle}/1.jpg"),
        alt: format!("{title}, front"),
    }
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;

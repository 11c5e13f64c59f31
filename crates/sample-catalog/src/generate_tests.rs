use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::text::words;
use crate::{DEMO_QUERY, categories};

const SEEDS: [u64; 3] = [0, 42, u64::MAX];

fn bytes(seed: u64, products: usize) -> Vec<u8> {
    generate(seed, products)
        .flat_map(|product| serde_json::to_vec(&product).unwrap())
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    assert_eq!(bytes(42, 400), bytes(42, 400));
    assert_ne!(bytes(42, 400), bytes(43, 400));
}

#[test]
fn a_longer_catalog_begins_with_the_shorter_one() {
    let short: Vec<Product> = generate(42, 150).collect();
    let long: Vec<Product> = generate(42, 1_200).take(150).collect();
    assert_eq!(short, long);
}

#[test]
fn the_bytes_stay_what_they_were() {
    // A change of this line means that every sample catalog changes: say so in the commit.
    let digest = bytes(42, 1_200)
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    assert_eq!(digest, DIGEST_OF_SEED_42, "{digest:#x}");
}

const DIGEST_OF_SEED_42: u64 = 0x20cd_d722_7b49_2013;

#[test]
fn handles_skus_and_titles_are_unique() {
    for seed in SEEDS {
        let (mut handles, mut skus, mut titles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for product in generate(seed, 12_000) {
            assert!(handles.insert(product.handle.clone()), "{}", product.handle);
            assert!(titles.insert(product.title.clone()), "{}", product.title);
            for variant in product.variants {
                assert!(skus.insert(variant.sku.clone()), "{}", variant.sku);
            }
        }
    }
}

#[test]
fn twenty_leaf_categories_in_five_departments_are_filled_evenly() {
    let all = categories();
    assert_eq!(all.iter().filter(|category| category.parent.is_none()).count(), 5);
    let leaves: BTreeSet<_> = all
        .iter()
        .filter(|category| category.parent.is_some())
        .map(|c| c.slug)
        .collect();
    assert_eq!(leaves.len(), 20);
    for (position, category) in all.iter().enumerate() {
        if let Some(parent) = category.parent {
            assert!(
                all[..position].iter().any(|earlier| earlier.slug == parent),
                "{}",
                category.slug
            );
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for product in generate(42, 1_200) {
        *counts.entry(product.category).or_default() += 1;
    }
    assert_eq!(counts.keys().copied().collect::<BTreeSet<_>>(), leaves);
    assert!(
        counts.values().all(|count| (59..=61).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn every_product_is_one_a_shop_could_list() {
    for seed in SEEDS {
        for product in generate(seed, 4_000) {
            let handle = &product.handle;
            let length = words(&product.description);
            assert!((40..=120).contains(&length), "{handle}: {length} words");
            assert!(
                !product.description.contains(['{', '}']),
                "{}",
                product.description
            );
            assert!(
                (2..=8).contains(&product.variants.len()),
                "{handle}: {}",
                product.variants.len()
            );
            assert!((3..=7).contains(&product.attributes.len()), "{handle}");
            assert!(
                handle
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{handle}"
            );
            assert!(handle.len() <= 80, "{handle}");
            assert!(!product.images.is_empty());
            for image in &product.images {
                assert!(
                    image.url.starts_with("https://images.example.com/products/"),
                    "{}",
                    image.url
                );
            }
            let options: BTreeSet<_> = product.variants.iter().map(|variant| &variant.options).collect();
            assert_eq!(options.len(), product.variants.len(), "{handle}: options repeat");
            for variant in &product.variants {
                assert!(
                    (100..=200_000).contains(&variant.price.amount_minor),
                    "{handle}: {:?}",
                    variant.price
                );
                assert_eq!(variant.price.currency, "USD");
                assert!(variant.on_hand <= ON_HAND_MAX);
                assert!(variant.sku.len() <= 60, "{}", variant.sku);
            }
        }
    }
}

#[test]
fn some_variants_are_sold_out_and_some_are_the_last_one() {
    let stock: Vec<u32> = generate(42, 1_200)
        .flat_map(|p| p.variants)
        .map(|v| v.on_hand)
        .collect();
    let per_mille =
        |wanted: u32| stock.iter().filter(|on_hand| **on_hand == wanted).count() * 1_000 / stock.len();
    assert!(
        (15..=50).contains(&per_mille(0)),
        "{} per mille sold out",
        per_mille(0)
    );
    assert!(
        (15..=50).contains(&per_mille(1)),
        "{} per mille with one unit",
        per_mille(1)
    );
}

#[test]
fn the_named_products_are_in_every_catalog() {
    for seed in SEEDS {
        let products: Vec<Product> = generate(seed, 1_200).collect();
        let named = |handle: &str| products.iter().find(|product| product.handle == handle).unwrap();
        let sold_out = named(SOLD_OUT_HANDLE);
        assert!(sold_out.variants.iter().all(|variant| variant.on_hand == 0));
        assert!(
            sold_out
                .variants
                .iter()
                .map(|variant| variant.sku.as_str())
                .eq(SOLD_OUT_SKUS)
        );
        let single = named(SINGLE_UNIT_HANDLE);
        assert_eq!(
            single.variants.iter().map(|variant| variant.on_hand).sum::<u32>(),
            1
        );
        assert!(
            single
                .variants
                .iter()
                .any(|v| v.sku == SINGLE_UNIT_SKU && v.on_hand == 1)
        );
        for brand in [SOLD_OUT_BRAND, SINGLE_UNIT_BRAND] {
            assert_eq!(
                products.iter().filter(|product| product.brand == brand).count(),
                1,
                "{brand}"
            );
        }
    }
}

#[test]
fn the_demo_query_finds_several_products_of_a_small_catalog() {
    let found = generate(42, 200).filter(|product| {
        let text = format!("{} {}", product.title, product.description).to_lowercase();
        DEMO_QUERY.split(' ').all(|word| text.contains(word))
    });
    assert!(found.count() >= 2);
}

#[test]
fn brands_belong_to_one_category_and_sku_codes_to_one_leaf() {
    let mut brands = BTreeSet::from([SOLD_OUT_BRAND, SINGLE_UNIT_BRAND]);
    let (mut codes, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for leaf in DEPARTMENTS.iter().flat_map(|department| department.leaves) {
        assert!(codes.insert(leaf.sku_code), "{}", leaf.sku_code);
        assert!(
            leaf.brands.iter().all(|brand| brands.insert(brand)),
            "{:?}",
            leaf.brands
        );
        assert!(
            leaf.kinds.iter().all(|kind| kinds.insert(slug(kind.title))),
            "{}",
            leaf.slug
        );
        assert!(leaf.features.len() >= 8, "{}", leaf.slug);
    }
}

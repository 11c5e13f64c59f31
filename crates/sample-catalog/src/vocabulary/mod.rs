//! What the generator knows about each category: words, sentences, options and price ranges.
//! Brands are invented. Sentences stand alone, so that any two of them read well in a row.

mod clothing;
mod electronics;
mod food;
mod kitchen;
mod sports;

pub(crate) struct Department {
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    pub(crate) leaves: &'static [Leaf],
}

pub(crate) struct Leaf {
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    /// Begins every SKU of the category; unique among the leaves.
    pub(crate) sku_code: &'static str,
    pub(crate) kinds: &'static [Kind],
    pub(crate) brands: &'static [&'static str],
    pub(crate) adjectives: &'static [&'static str],
    /// Completes "for …".
    pub(crate) uses: &'static [&'static str],
    /// The attribute that [`Leaf::makings`] fills: a material, an origin, a blend.
    pub(crate) making_key: &'static str,
    pub(crate) makings: &'static [Making],
    pub(crate) features: &'static [&'static str],
    /// A sentence with `{attribute}` in the places of values.
    pub(crate) spec: &'static str,
    pub(crate) closings: &'static [&'static str],
    pub(crate) attributes: &'static [(&'static str, Attribute)],
    /// Consecutive values of this one make up most variants …
    pub(crate) first_option: Axis,
    /// … times one or two of this one.
    pub(crate) second_option: Axis,
    /// Whole dollars, both ends included.
    pub(crate) price_dollars: (i64, i64),
}

#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// As in a title: "Trail Running Shoe".
    pub(crate) title: &'static str,
    /// As in a sentence, after an adjective: "trail running shoe".
    pub(crate) noun: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) struct Making {
    pub(crate) value: &'static str,
    pub(crate) sentence: &'static str,
}

pub(crate) enum Attribute {
    Text(&'static [&'static str]),
    Number {
        min: i64,
        max: i64,
        step: i64,
    },
    Flag,
    /// Whether the description speaks of it, so that the two never contradict each other.
    Mentioned(&'static str),
}

pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [&'static str],
    /// What each further value adds to the price, in hundredths of a percent.
    pub(crate) step_bps: i64,
}

const fn kind(title: &'static str, noun: &'static str) -> Kind {
    Kind { title, noun }
}

const fn making(value: &'static str, sentence: &'static str) -> Making {
    Making { value, sentence }
}

const fn number(min: i64, max: i64, step: i64) -> Attribute {
    Attribute::Number { min, max, step }
}

const fn axis(name: &'static str, values: &'static [&'static str], step_bps: i64) -> Axis {
    Axis {
        name,
        values,
        step_bps,
    }
}

pub(crate) const DEPARTMENTS: [Department; 5] = [
    Department {
        slug: "sports-outdoors",
        name: "Sports & Outdoors",
        leaves: &sports::LEAVES,
    },
    Department {
        slug: "electronics",
        name: "Electronics",
        leaves: &electronics::LEAVES,
    },
    Department {
        slug: "kitchen",
        name: "Kitchen",
        leaves: &kitchen::LEAVES,
    },
    Department {
        slug: "food-drink",
        name: "Food & Drink",
        leaves: &food::LEAVES,
    },
    Department {
        slug: "clothing-accessories",
        name: "Clothing & Accessories",
        leaves: &clothing::LEAVES,
    },
];

/// The names that brands give their models. As many as [`MODEL_STRIDE`] is coprime to.
pub(crate) const MODELS: [&str; 64] = [
    "Aurora", "Cinder", "Drift", "Fathom", "Gale", "Harbor", "Indigo", "Juniper", "Kestrel", "Lumen",
    "Meridian", "Nimbus", "Onyx", "Pioneer", "Quarry", "Ridge", "Solstice", "Tundra", "Umber", "Verge",
    "Willow", "Zenith", "Alder", "Basin", "Copper", "Dune", "Ember", "Fjord", "Glacier", "Heath", "Isle",
    "Jetty", "Kelp", "Larch", "Mesa", "Nova", "Orbit", "Prairie", "Quill", "River", "Summit", "Thistle",
    "Upland", "Vale", "Wander", "Yarrow", "Zephyr", "Atlas", "Birch", "Cove", "Delta", "Echo", "Flint",
    "Grove", "Hollow", "Ivory", "Linden", "Marlow", "Nocturne", "Oriel", "Pebble", "Rowan", "Sable", "Tarn",
];

/// Walks [`MODELS`] so that neighbours in the catalog do not stand in the order of the list.
pub(crate) const MODEL_STRIDE: usize = 17;

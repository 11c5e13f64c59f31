use super::{Attribute, Leaf, axis, kind, making, number};

pub(super) const LEAVES: [Leaf; 4] = [RUNNING_SHOES, BACKPACKS, TENTS, YOGA_MATS];

const RUNNING_SHOES: Leaf = Leaf {
    slug: "running-shoes",
    name: "Running Shoes",
    sku_code: "RUN",
    kinds: &[
        kind("Trail Running Shoe", "trail running shoe"),
        kind("Road Running Shoe", "road running shoe"),
        kind("Marathon Racing Shoe", "marathon racing shoe"),
        kind("Daily Training Shoe", "daily training shoe"),
    ],
    brands: &["Northfell", "Strydholm", "Velloria", "Pacewright", "Cairnrun"],
    adjectives: &[
        "cushioned",
        "lightweight",
        "responsive",
        "grippy",
        "stable",
        "waterproof",
    ],
    uses: &[
        "muddy hill paths and long weekend miles",
        "fast road sessions and tempo runs",
        "wet forest trails in every season",
        "the first ten kilometres and every race after them",
        "rocky ridges, loose gravel and steep descents",
        "early mornings on city pavements",
    ],
    making_key: "material",
    makings: &[
        making(
            "engineered mesh",
            "An engineered mesh upper breathes on hot days and dries quickly after a stream crossing.",
        ),
        making(
            "recycled knit",
            "The recycled knit upper stretches with the foot and leaves no seam to rub.",
        ),
        making(
            "ripstop nylon",
            "A ripstop nylon upper shrugs off thorns, scree and a winter of salted roads.",
        ),
        making(
            "waterproof membrane",
            "A waterproof membrane keeps rain and slush out while sweat finds its way out.",
        ),
    ],
    features: &[
        "Deep lugs bite into mud and shed it again on the next stride.",
        "The midsole foam returns energy at toe-off and stays soft below freezing.",
        "A rock plate under the forefoot protects against sharp stones on technical trails.",
        "The heel counter holds firmly without pressing on the Achilles tendon.",
        "A gusseted tongue keeps grit, sand and pine needles outside the shoe.",
        "Reflective details on the heel make you visible at dusk and dawn.",
        "The wide toe box lets toes spread naturally on long descents.",
        "Sticky rubber grips wet granite, painted kerbs and metal bridges alike.",
        "A waterproof lining and sealed seams keep feet dry through puddles and rain.",
    ],
    spec: "Each shoe weighs {weight_g} g and has a heel drop of {drop_mm} mm for {gait} runners.",
    closings: &[
        "Rinse with cold water, take out the insole and let it dry in the shade.",
        "Most runners choose half a size more than they wear in everyday shoes.",
        "Expect around eight hundred kilometres before the foam asks for a successor.",
    ],
    attributes: &[
        ("weight_g", number(195, 345, 5)),
        ("drop_mm", number(0, 10, 2)),
        (
            "gait",
            Attribute::Text(&["neutral", "overpronating", "supinating"]),
        ),
        ("lacing", Attribute::Text(&["laces", "quick laces"])),
        ("waterproof", Attribute::Mentioned("waterproof")),
    ],
    first_option: axis("size", &["US 7", "US 8", "US 9", "US 10", "US 11", "US 12"], 0),
    second_option: axis(
        "colour",
        &["black", "glacier blue", "moss green", "sunset orange", "white"],
        150,
    ),
    price_dollars: (74, 189),
};

const BACKPACKS: Leaf = Leaf {
    slug: "backpacks",
    name: "Backpacks",
    sku_code: "BPK",
    kinds: &[
        kind("Hiking Backpack", "hiking backpack"),
        kind("Commuter Backpack", "commuter backpack"),
        kind("Travel Backpack", "travel backpack"),
        kind("Rolltop Daypack", "rolltop daypack"),
    ],
    brands: &["Cragmoor", "Tarnpack", "Ostrava Trail", "Hollowpine", "Bergwend"],
    adjectives: &["rugged", "comfortable", "compact", "versatile", "weatherproof"],
    uses: &[
        "multi-day hut tours and summit attempts",
        "the office, the gym and the train in between",
        "a week of carry-on travel",
        "rainy commutes by bicycle",
        "school runs, picnics and short hikes",
    ],
    making_key: "material",
    makings: &[
        making(
            "recycled polyester",
            "The recycled polyester body is woven from old bottles and coated against rain.",
        ),
        making(
            "waxed canvas",
            "Waxed canvas ages with character and can be proofed again at home.",
        ),
        making(
            "ballistic nylon",
            "Ballistic nylon resists abrasion where packs usually wear through first.",
        ),
        making(
            "ripstop nylon",
            "Light ripstop nylon keeps small tears from growing into large ones.",
        ),
    ],
    features: &[
        "A padded sleeve suspends the laptop above the ground when you set the pack down.",
        "The hip belt carries the load on the hips and hides two zipped pockets.",
        "Load lifters bring the weight close to the back on steep ground.",
        "The ventilated back panel leaves a channel of air along the spine.",
        "A hidden pocket against the back keeps passport and wallet out of reach.",
        "The front opens like a suitcase, so nothing hides at the bottom.",
        "Side pockets hold a one-litre bottle and stay reachable while walking.",
        "A rain cover in a bright colour folds away into the base.",
    ],
    spec: "It holds {volume_l} litres, weighs {weight_g} g and fits laptops up to {laptop_inch} inches.",
    closings: &[
        "The zips run on oversized teeth that can be repaired on the road.",
        "Wipe it clean with a damp cloth and mild soap.",
        "Broken buckles are replaced free of charge for ten years.",
    ],
    attributes: &[
        ("volume_l", number(14, 65, 1)),
        ("weight_g", number(480, 1900, 20)),
        ("laptop_inch", number(13, 17, 1)),
        ("rain_cover", Attribute::Mentioned("rain cover")),
    ],
    first_option: axis(
        "colour",
        &["black", "forest green", "slate", "rust", "navy", "sand"],
        0,
    ),
    second_option: axis("size", &["regular", "long"], 600),
    price_dollars: (49, 239),
};

const TENTS: Leaf = Leaf {
    slug: "tents",
    name: "Tents",
    sku_code: "TNT",
    kinds: &[
        kind("Backpacking Tent", "backpacking tent"),
        kind("Family Dome Tent", "family dome tent"),
        kind("Tunnel Tent", "tunnel tent"),
        kind("Trekking Pole Shelter", "trekking pole shelter"),
    ],
    brands: &["Nordskog", "Windhalla", "Campstead", "Foldhaven", "Skarnvik"],
    adjectives: &["sturdy", "ultralight", "roomy", "storm-proof", "freestanding"],
    uses: &[
        "windy ridges above the tree line",
        "family weekends by the lake",
        "bicycle tours with little room to spare",
        "festivals, gardens and first nights outdoors",
        "four-season expeditions in snow and rain",
    ],
    making_key: "material",
    makings: &[
        making(
            "silicone-coated nylon",
            "The silicone-coated nylon fly sheds rain and packs smaller than a loaf of bread.",
        ),
        making(
            "recycled polyester",
            "A recycled polyester fly does not sag when it is wet and resists sunlight.",
        ),
        making(
            "polycotton",
            "Breathable polycotton keeps the inside cool by day and dry from condensation by night.",
        ),
    ],
    features: &[
        "Colour-coded poles and clips let one person pitch it in about five minutes.",
        "Two vestibules keep boots, packs and a stove dry through the night.",
        "Taped seams and a bathtub floor hold back puddles after a cloudburst.",
        "Large vents at both ends let condensation escape before it drips.",
        "Mesh panels look up at the stars and keep every mosquito outside.",
        "Guy lines glow in torchlight, so nobody trips on the way to bed.",
        "The fly and the inner tent pitch together, which matters in the rain.",
        "Aluminium poles bend in gusts and come back straight in the morning.",
    ],
    spec: "It sleeps {capacity_persons}, packs to {weight_g} g and withstands a water column of {water_column_mm} mm.",
    closings: &[
        "Dry it fully before storage and it will last for many summers.",
        "Pegs, repair sleeve and a patch of spare fabric are in the bag.",
        "A matching footprint is sold separately.",
    ],
    attributes: &[
        ("capacity_persons", number(1, 6, 1)),
        ("weight_g", number(980, 6900, 10)),
        ("water_column_mm", number(2000, 6000, 500)),
        ("seasons", Attribute::Text(&["three-season", "four-season"])),
        ("freestanding", Attribute::Mentioned("freestanding")),
    ],
    first_option: axis("colour", &["olive", "burnt orange", "stone grey", "lake blue"], 0),
    second_option: axis("footprint", &["without footprint", "with footprint"], 900),
    price_dollars: (119, 649),
};

const YOGA_MATS: Leaf = Leaf {
    slug: "yoga-mats",
    name: "Yoga Mats",
    sku_code: "YGM",
    kinds: &[
        kind("Yoga Mat", "yoga mat"),
        kind("Travel Yoga Mat", "travel yoga mat"),
        kind("Pilates Mat", "pilates mat"),
        kind("Alignment Mat", "alignment mat"),
    ],
    brands: &[
        "Stillbough",
        "Asanelle",
        "Lotuswick",
        "Calmfield",
        "Breathwell Studio",
    ],
    adjectives: &["non-slip", "supportive", "foldable", "soft", "dense"],
    uses: &[
        "daily practice at home",
        "hot yoga and vigorous flows",
        "gentle stretching after a run",
        "studios, hotel rooms and the park",
        "floor work that is kind to knees and spine",
    ],
    making_key: "material",
    makings: &[
        making(
            "natural rubber",
            "Natural rubber tapped from plantation trees gives a firm grip even in a sweat.",
        ),
        making(
            "cork",
            "A cork surface grips better the wetter it gets and is naturally free of odour.",
        ),
        making(
            "jute",
            "Woven jute adds texture under the hands and a warm look to the room.",
        ),
        making(
            "TPE foam",
            "Closed-cell TPE foam is light on the shoulder and wipes clean in seconds.",
        ),
    ],
    features: &[
        "Etched lines help to place hands and feet without looking up.",
        "The underside clings to wood, tile and concrete without leaving marks.",
        "Dense cushioning protects wrists and knees and still feels stable in balances.",
        "It lies flat the moment it is unrolled and never curls at the corners.",
        "A cotton strap carries the mat and doubles as a stretching aid.",
        "The surface is free of latex, phthalates and strong smells.",
        "Rounded edges keep their shape after hundreds of classes.",
        "It folds to the size of a magazine and fits into hand luggage.",
    ],
    spec: "The mat is {thickness_mm} mm thick, {width_cm} cm wide and weighs {weight_g} g.",
    closings: &[
        "Clean it with water and a drop of vinegar, then hang it to dry.",
        "The grip improves after the first five or six sessions.",
        "For every mat sold the maker plants a tree in a mixed forest.",
    ],
    attributes: &[
        ("thickness_mm", number(2, 10, 1)),
        ("width_cm", number(58, 84, 2)),
        ("weight_g", number(850, 3200, 50)),
        ("strap_included", Attribute::Mentioned("strap")),
    ],
    first_option: axis("colour", &["sage", "plum", "charcoal", "terracotta", "ocean"], 0),
    second_option: axis("length", &["standard", "extra long"], 1100),
    price_dollars: (24, 129),
};

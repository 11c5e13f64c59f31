use std::collections::HashMap;

use ferrocart_types::CategoryId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attributes::AttributeRules;
use super::text::{line, slug_text};

/// Levels of the tree at most.
pub(crate) const DEPTH_MAX: usize = 8;
/// The whole tree is read at once, and must therefore stay small.
pub(crate) const CATEGORIES_MAX: i64 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as the API names it")]
pub(crate) struct Category {
    pub(crate) category_id: CategoryId,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) parent_id: Option<CategoryId>,
    /// The slugs from the root down to this one.
    #[serde(skip)]
    pub(crate) path: Vec<String>,
}

/// A category to create.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCategory {
    /// Unique; stands in URLs. Lower-case letters and digits with single hyphens between.
    #[garde(custom(slug_text(100)))]
    #[schema(example = "trail-running-shoes", max_length = 100)]
    pub(crate) slug: String,
    #[garde(custom(line(100)))]
    #[schema(example = "Trail running shoes", max_length = 100)]
    pub(crate) name: String,
    /// Absent for a root.
    #[garde(skip)]
    #[serde(default)]
    pub(crate) parent_id: Option<CategoryId>,
}

/// What a product knows of its category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CategoryRef {
    pub(crate) id: CategoryId,
    pub(crate) slug: String,
    pub(crate) path: Vec<String>,
}

/// What a product is held to by its category.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuledCategory {
    pub(crate) category: CategoryRef,
    pub(crate) rules: AttributeRules,
}

/// All categories, for browsing.
#[derive(Debug, Default)]
pub(crate) struct CategoryTree {
    pub(crate) items: Vec<Category>,
    by_slug: HashMap<String, usize>,
}

impl CategoryTree {
    pub(crate) fn new(items: Vec<Category>) -> Self {
        let by_slug = items
            .iter()
            .enumerate()
            .map(|(at, item)| (item.slug.clone(), at))
            .collect();
        Self { items, by_slug }
    }

    /// The category with this slug or id, and all below it.
    pub(crate) fn with_descendants(&self, slug_or_id: &str) -> Option<Vec<CategoryId>> {
        let by_id = || {
            let id: CategoryId = slug_or_id.parse().ok()?;
            self.items.iter().find(|item| item.category_id == id)
        };
        let by_slug = self.by_slug.get(slug_or_id).and_then(|at| self.items.get(*at));
        let root = by_slug.or_else(by_id)?;
        let below = self.items.iter().filter(|item| item.path.starts_with(&root.path));
        Some(below.map(|item| item.category_id).collect())
    }
}

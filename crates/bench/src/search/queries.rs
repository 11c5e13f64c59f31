//! What is searched for: never the same twice, so that no answer comes from the cache of results.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use ferrocart_sample_catalog::Product;
use reqwest::Url;

use crate::wire::Template;
use crate::zipf::scattered;

/// How much cheaper than the highest price a product is, at most, in minor units.
const ABOVE: u64 = 20_000;

/// What people look for: something of that title, for less than so much.
pub(super) struct Wishes(Vec<(String, i64)>);

impl Wishes {
    pub(super) fn of(products: impl Iterator<Item = Product>) -> Self {
        let wishes = products.filter_map(|product| {
            let price = product.variants.first()?.price.amount_minor;
            Some((product.title, price))
        });
        Self(wishes.collect())
    }

    /// `count` searches, others for every seed.
    pub(super) fn requests(
        &self,
        (token, facets): (&str, &str),
        count: u64,
        seed: u64,
    ) -> Result<Arc<Vec<Vec<u8>>>> {
        let requests = (0..count).map(|number| {
            let url = self.search(seed * count + number, facets)?;
            Ok(Template::get(&url, token).with(&[]).to_vec())
        });
        Ok(Arc::new(requests.collect::<Result<_>>()?))
    }

    /// Two words of a title, and a highest price.
    fn search(&self, number: u64, facets: &str) -> Result<String> {
        let drawn = scattered(number);
        let count = u64::try_from(self.0.len()).context("a count")?;
        let index = drawn.checked_rem(count).context("no products")?;
        let wish = self.0.get(usize::try_from(index).context("an index")?);
        let (title, price) = wish.context("no products")?;
        let words: Vec<&str> = title.split_whitespace().collect();
        let last = words.len().saturating_sub(1);
        let skip = usize::try_from(scattered(drawn) % 7).context("a number")? % last.max(1);
        let text = match (words.get(skip), words.get(last)) {
            (Some(one), Some(other)) if skip < last => format!("{one} {other}"),
            _ => title.clone(),
        };
        let above = i64::try_from(scattered(drawn ^ number) % ABOVE).context("a price")?;
        let highest = (price + above).to_string();
        let mut url = Url::parse("http://search/v1/search").context("a URL")?;
        url.query_pairs_mut()
            .append_pair("q", &text)
            .append_pair("price_max", &highest);
        if !facets.is_empty() {
            url.query_pairs_mut().append_pair("facets", facets);
        }
        Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::search::events::products;

    #[test]
    fn hardly_a_search_comes_twice() {
        let wishes = Wishes::of(products(1_000));
        let searches: BTreeSet<String> = (0..20_000)
            .map(|number| wishes.search(number, "").unwrap())
            .collect();
        assert!(searches.len() > 19_950, "{} of 20,000", searches.len());
        for search in searches.iter().take(3) {
            let (_, query) = search.split_once("?q=").unwrap();
            assert!(query.contains('+') && query.contains("&price_max="), "{search}");
        }
        assert!(wishes.search(7, "brand").unwrap().ends_with("&facets=brand"));
    }
}

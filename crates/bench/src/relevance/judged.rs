//! The judged queries, and which product answers them how well.

use anyhow::{Context as _, Result, ensure};
use ferrocart_sample_catalog::Product;

const JUDGEMENTS: &str = include_str!("../../relevance.tsv");

#[derive(Debug)]
pub(super) struct Query {
    pub(super) text: String,
    /// The best first.
    grades: Vec<(u8, AnyOf)>,
}

/// Alternatives, each a list of rules that must all hold.
type AnyOf = Vec<Vec<Rule>>;

#[derive(Debug)]
struct Rule {
    field: String,
    value: String,
}

/// All judged queries.
pub(super) fn queries() -> Result<Vec<Query>> {
    parse(JUDGEMENTS)
}

fn parse(text: &str) -> Result<Vec<Query>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
    lines
        .map(|(number, line)| query(line).with_context(|| format!("relevance.tsv, line {number}")))
        .collect()
}

fn query(line: &str) -> Result<Query> {
    let mut columns = line.split('\t');
    let text = columns.next().unwrap_or_default().to_owned();
    let grades: Vec<(u8, AnyOf)> = columns.map(grade).collect::<Result<_>>()?;
    ensure!(!text.is_empty(), "there is no query");
    ensure!(!grades.is_empty(), "there is no grade");
    ensure!(
        grades.is_sorted_by(|(one, _), (next, _)| one > next),
        "the best grade stands first"
    );
    Ok(Query { text, grades })
}

fn grade(column: &str) -> Result<(u8, AnyOf)> {
    let (grade, rules) = column.split_once(' ').context("a grade has rules")?;
    let grade = grade.parse().context("a grade is a number")?;
    ensure!((1..=3).contains(&grade), "grades are from 1 to 3");
    let any_of = rules.split(" | ").map(|all| {
        // An ampersand in a value stands in no rule's place: what follows it has no `=`.
        let mut rules: Vec<Rule> = Vec::new();
        for part in all.split(" & ") {
            if let Some((field, value)) = part.split_once('=') {
                rules.push(Rule {
                    field: field.trim().to_owned(),
                    value: value.trim().to_owned(),
                });
            } else {
                let last = rules.last_mut().context("a rule is field=value")?;
                last.value = format!("{} & {part}", last.value);
            }
        }
        Ok(rules)
    });
    Ok((grade, any_of.collect::<Result<_>>()?))
}

impl Query {
    /// How well the product answers the query; 0 if it does not.
    pub(super) fn grade(&self, product: &Product) -> u8 {
        let fits = |any_of: &AnyOf| {
            any_of
                .iter()
                .any(|rules| rules.iter().all(|rule| rule.holds(product)))
        };
        let best = self.grades.iter().find(|(_, any_of)| fits(any_of));
        best.map_or(0, |(grade, _)| *grade)
    }
}

impl Rule {
    fn holds(&self, product: &Product) -> bool {
        let value = self.value.as_str();
        match self.field.as_str() {
            "kind" => product.title.ends_with(value),
            "brand" => product.brand == value,
            "category" => product.category == value,
            field => {
                let own = product.attributes.get(field);
                let mut options = product
                    .variants
                    .iter()
                    .filter_map(|variant| variant.options.get(field));
                own.is_some_and(|own| own.to_string() == value) || options.any(|option| *option == value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ferrocart_sample_catalog::generate;

    use super::*;
    use crate::relevance::{PRODUCTS, SEED};

    /// A rule with a typing error would fit nothing, and nobody would notice.
    #[test]
    fn every_grade_of_every_query_has_products() {
        let products: Vec<Product> = generate(SEED, PRODUCTS).collect();
        let queries = queries().unwrap();
        assert!(queries.len() >= 60, "{}", queries.len());
        let texts: BTreeSet<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        assert_eq!(texts.len(), queries.len(), "a query stands twice");
        for query in &queries {
            for (grade, any_of) in &query.grades {
                for rules in any_of {
                    let fits = |product: &&Product| rules.iter().all(|rule| rule.holds(product));
                    assert!(
                        products.iter().any(|product| fits(&product)),
                        "{}: grade {grade}: {rules:?}",
                        query.text
                    );
                }
            }
        }
    }

    #[test]
    fn answers_are_told_by_their_titles() {
        let titles: Vec<String> = generate(SEED, PRODUCTS).map(|product| product.title).collect();
        let each: BTreeSet<&String> = titles.iter().collect();
        assert_eq!(each.len(), titles.len());
    }

    #[test]
    fn the_best_grade_that_fits_counts() {
        let query = query("a\t3 kind=Skillet & brand=Purl & Pine\t2 kind=Skillet | brand=Lastpeak\t1 kind=e")
            .unwrap();
        let mut products = generate(SEED, 2);
        let mut skillet = products.next().unwrap();
        assert_eq!(query.grade(&skillet), 2);
        skillet.brand = "Purl & Pine";
        assert_eq!(query.grade(&skillet), 3);
        assert_eq!(query.grade(&products.next().unwrap()), 2);
        for wrong in [
            "a",
            "a\t4 kind=x",
            "a\t3 kind",
            "a\t1 kind=x\t2 kind=y",
            "\t1 kind=x",
        ] {
            assert!(super::query(wrong).is_err(), "{wrong}");
        }
    }
}

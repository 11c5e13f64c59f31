use std::collections::{BTreeMap, BTreeSet};

use ferrocart_http_kit::{define_examples, document_problem};
use serde_json::{Map, Value, json};

use crate::edge::{BodyRule, Deprecation, RULES, Rule, Service, Target, Verb, Who};

/// One document of the gateway's own endpoints and of those that it forwards to: what is not in the table
/// is not public, whatever a service documents.
pub(crate) fn merge(own: &Value, services: &BTreeMap<Service, Value>) -> Value {
    let mut merged = own.clone();
    for (service, document) in services {
        let mut document = document.clone();
        let renamed = take_components(&mut merged, &document, *service);
        rename(&mut document, &renamed);
        add_components(&mut merged, &document, &renamed);
        add_paths(&mut merged, &document, *service);
        add_tags(&mut merged, &document);
    }
    for rule in RULES {
        if let Some(operation) = operation(&mut merged, rule) {
            describe(operation, rule);
        }
    }
    define_examples(&mut merged);
    forget_unused(&mut merged);
    merged
}

/// Removes the schemas that no public call leads to: those of the services' internal calls.
fn forget_unused(merged: &mut Value) {
    let mut used = BTreeSet::new();
    follow(&merged["paths"], merged, &mut used);
    if let Some(schemas) = merged["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| used.contains(&reference("schemas", name)));
    }
}

/// Adds the references in a value, and all that these lead to.
fn follow(value: &Value, document: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref")
                && used.insert(target.clone())
                && let Some(place) = target.strip_prefix('#').and_then(|path| document.pointer(path))
            {
                follow(place, document, used);
            }
            for member in members.values() {
                follow(member, document, used);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| follow(item, document, used)),
        _ => {}
    }
}

/// The references of a document's components whose names others have taken for something else, with what
/// they are to be called.
fn take_components(merged: &mut Value, document: &Value, service: Service) -> BTreeMap<String, String> {
    let mut renamed = BTreeMap::new();
    for (section, name, component) in components(document) {
        let taken = &merged["components"][section][name];
        if !taken.is_null() && taken != component {
            let mut prefix = service.name().to_owned();
            if let Some(first) = prefix.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            renamed.insert(reference(section, name), format!("{prefix}{name}"));
        }
    }
    renamed
}

fn reference(section: &str, name: &str) -> String {
    format!("#/components/{section}/{name}")
}

fn components(document: &Value) -> Vec<(&String, &String, &Value)> {
    let sections = document["components"].as_object();
    sections
        .into_iter()
        .flatten()
        // The examples are written anew when all is joined.
        .filter(|(section, _)| !["securitySchemes", "examples"].contains(&section.as_str()))
        .flat_map(|(section, members)| {
            let members = members.as_object().into_iter().flatten();
            members.map(move |(name, component)| (section, name, component))
        })
        .collect()
}

fn rename(value: &mut Value, renamed: &BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = renamed.get(target)
                            && let Some((section, _)) = target.rsplit_once('/')
                        {
                            *target = format!("{section}/{name}");
                        }
                    }
                    member => rename(member, renamed),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        _ => {}
    }
}

fn add_components(merged: &mut Value, document: &Value, renamed: &BTreeMap<String, String>) {
    for (section, name, component) in components(document) {
        let name = renamed.get(&reference(section, name)).unwrap_or(name);
        object(object(merged, "components"), section).insert_value(name, component.clone());
    }
}

/// The member, made an object if it is none.
fn object<'a>(parent: &'a mut Value, name: &str) -> &'a mut Value {
    if !parent.is_object() {
        *parent = Value::Object(Map::new());
    }
    let member = &mut parent[name];
    if !member.is_object() {
        *member = Value::Object(Map::new());
    }
    member
}

trait InsertValue {
    fn insert_value(&mut self, name: &str, value: Value);
}

impl InsertValue for Value {
    fn insert_value(&mut self, name: &str, value: Value) {
        if let Self::Object(members) = self {
            members.insert(name.to_owned(), value);
        }
    }
}

fn add_paths(merged: &mut Value, document: &Value, service: Service) {
    let Some(paths) = document["paths"].as_object() else {
        return;
    };
    for rule in RULES {
        let is_there = match rule.target {
            Target::Forward(target) => target == service,
            Target::MergeCart => service == Service::Cart,
            Target::Own(_) => false,
        };
        let verb = verb(rule);
        let found = paths
            .iter()
            .find(|(path, operations)| shape(path) == shape(rule.path) && !operations[&verb].is_null());
        if let (true, Some((path, operations))) = (is_there, found) {
            let item = object(object(merged, "paths"), path);
            item.insert_value(&verb, operations[&verb].clone());
            if !operations["parameters"].is_null() {
                item.insert_value("parameters", operations["parameters"].clone());
            }
        }
    }
}

fn verb(rule: &Rule) -> String {
    rule.verb.method().as_str().to_lowercase()
}

/// A path without the names of its parameters.
fn shape(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part })
        .collect();
    parts.join("/")
}

fn add_tags(merged: &mut Value, document: &Value) {
    let Some(tags) = document["tags"].as_array() else {
        return;
    };
    if !merged["tags"].is_array() {
        merged["tags"] = json!([]);
    }
    if let Some(known) = merged["tags"].as_array_mut() {
        for tag in tags {
            if !known.iter().any(|other| other["name"] == tag["name"]) {
                known.push(tag.clone());
            }
        }
    }
}

fn operation<'a>(merged: &'a mut Value, rule: &Rule) -> Option<&'a mut Value> {
    let paths = merged["paths"].as_object_mut()?;
    let (_, operations) = paths
        .iter_mut()
        .find(|(path, _)| shape(path) == shape(rule.path))?;
    operations.get_mut(verb(rule))
}

/// Who may call, from the table itself, and the answers that the gateway gives in a service's place.
fn describe(operation: &mut Value, rule: &Rule) {
    operation["security"] = match rule.who {
        Who::Anyone => json!([{}, {"bearer": []}]),
        Who::Unchecked => json!([]),
        Who::LoggedIn | Who::Roles(_) => json!([{"bearer": []}]),
    };
    if let Who::Roles(roles) = rule.who {
        operation["x-roles"] = json!(roles);
    }
    let has_body = !operation["requestBody"].is_null();
    let mut answers = vec![(400, "VALIDATION_ERROR"), (429, "RATE_LIMITED")];
    if rule.who != Who::Unchecked {
        answers.push((401, "UNAUTHENTICATED"));
    }
    if matches!(rule.who, Who::Roles(_)) {
        answers.push((403, "FORBIDDEN"));
    }
    if rule.who != Who::Unchecked && rule.verb != Verb::Get {
        answers.push((403, "INSUFFICIENT_SCOPE"));
    }
    if has_body {
        answers.extend([(400, "MALFORMED_BODY"), (413, "PAYLOAD_TOO_LARGE")]);
    }
    if has_body && rule.body == BodyRule::Small {
        answers.push((408, "REQUEST_TIMEOUT"));
    }
    if !matches!(rule.target, Target::Own(_)) {
        answers.extend([(503, "DEPENDENCY_UNAVAILABLE"), (504, "DEPENDENCY_TIMEOUT")]);
    }
    for (status, code) in answers {
        document_problem(operation, status, code);
    }
}

/// What the configuration says is going away.
pub(crate) fn mark_deprecated(merged: &mut Value, deprecations: &[Deprecation]) {
    for rule in RULES {
        if deprecations.iter().any(|deprecation| deprecation.is_of(rule))
            && let Some(operation) = operation(merged, rule)
        {
            operation["deprecated"] = json!(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(paths: &Value, schemas: &Value) -> Value {
        json!({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}, "tags": [{"name": "x"}]})
    }

    fn merged() -> Value {
        let own = json!({"paths": {"/v1/users": {"post": {"responses": {"200": {"$ref": "#/components/schemas/Money"}}}}}, "components": {"schemas": {"Money": {"a": 1}, "Same": 1}}});
        let answer =
            json!({"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Money"}}}});
        let cart = service(
            &json!({
                "/v1/cart": {"get": {"responses": {"200": answer}}, "head": {}},
                "/v1/cart/items/{id}": {"put": {"summary": "set", "responses": {"200": {"$ref": "#/components/schemas/Line"}}}},
                "/v1/products": {"get": {"summary": "not the cart's"}},
                "/internal/v1/carts/{cart_id}": {"get": {}},
            }),
            &json!({"Money": {"b": 2, "of": {"$ref": "#/components/schemas/Same"}}, "Same": 1, "Line": {"$ref": "#/components/schemas/Money"}}),
        );
        merge(&own, &BTreeMap::from([(Service::Cart, cart)]))
    }

    #[test]
    fn only_what_is_in_the_table_is_public() {
        let merged = merged();
        let paths: Vec<&String> = merged["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/v1/cart", "/v1/cart/items/{id}", "/v1/users"]);
        assert!(merged["paths"]["/v1/cart"]["head"].is_null());
        assert_eq!(
            merged["paths"]["/v1/cart"]["get"]["x-roles"],
            json!(["guest", "customer"])
        );
        assert_eq!(
            merged["paths"]["/v1/cart"]["get"]["security"],
            json!([{"bearer": []}])
        );
        assert_eq!(merged["tags"], json!([{"name": "x"}]));
    }

    #[test]
    fn what_no_public_call_leads_to_is_not_told() {
        let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let answer = json!({"content": {"application/json": {"schema": schema("Cart")}}});
        let cart = service(
            &json!({
                "/v1/cart": {"get": {"responses": {"200": answer}}},
                "/internal/v1/carts/{cart_id}": {"get": {"responses": {"200": schema("Internal")}}},
            }),
            &json!({"Cart": {"of": schema("Line")}, "Line": {"of": schema("Cart")}, "Internal": {}}),
        );
        let merged = merge(&json!({}), &BTreeMap::from([(Service::Cart, cart)]));
        let schemas: Vec<&String> = merged["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(schemas, ["Cart", "Line"]);
    }

    #[test]
    fn two_things_of_one_name_stay_two() {
        let merged = merged();
        let schemas = &merged["components"]["schemas"];
        assert_eq!(schemas["Money"], json!({"a": 1}));
        assert_eq!(schemas["CartMoney"]["b"], 2);
        assert!(schemas["CartSame"].is_null());
        assert_eq!(schemas["Line"]["$ref"], "#/components/schemas/CartMoney");
        let body =
            &merged["paths"]["/v1/cart"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert_eq!(body["$ref"], "#/components/schemas/CartMoney");
        let untouched = &schemas["CartMoney"]["of"]["$ref"];
        assert_eq!(untouched, "#/components/schemas/Same");
    }
}

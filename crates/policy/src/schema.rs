//! The JSON Schema of the configuration (draft 7, which editors know), made from the table of keys.

use serde_json::{Map, Value as Json, json};

use crate::keys::{self, Default, Key, Kind};
use crate::yaml::{self, Node, Value};

/// The JSON Schema of the configuration file, as text. `docs/copal.schema.json` is the same, for editors.
#[must_use]
pub fn schema_json() -> String {
    let mut schema = object("");
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!("Configuration of Copal"));
    format!("{:#}\n", Json::Object(schema))
}

/// A mapping with the keys below `path`.
fn object(path: &str) -> Map<String, Json> {
    let properties: Map<String, Json> = keys::below(path).map(|key| (key.name().to_owned(), property(key))).collect();
    let required: Vec<&str> =
        keys::below(path).filter(|key| matches!(key.default, Default::Required)).map(Key::name).collect();
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Json::Object(properties));
    object.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    if path == "rules[]" {
        let one = ["cache", "pass", "respond"].map(|action| json!({ "required": [action] }));
        object.insert("oneOf".to_owned(), json!(one));
    }
    object
}

fn property(key: &Key) -> Json {
    let mut property = match key.kind {
        Kind::Section => object(key.path),
        Kind::SectionOr(short) => any_of([Json::Object(object(key.path)), kind(*short)]),
        Kind::Sections(short) => {
            let item = Json::Object(object(&key.inside()));
            let item = short.map_or(item.clone(), |short| Json::Object(any_of([item, kind(*short)])));
            any_of([json!({ "type": "array", "items": item }), item])
        }
        Kind::Named => {
            let value = keys::find(&format!("{}.NAME", key.path)).map(property);
            map(&json!({ "type": "object", "minProperties": 1, "additionalProperties": value }))
        }
        other => map(&kind(other)),
    };
    property.insert("description".to_owned(), json!(key.doc));
    if let (Default::Is(text), Some(node)) = (&key.default, default_node(key)) {
        debug_assert!(!text.is_empty());
        property.insert("default".to_owned(), to_json(&node, key.kind));
    }
    Json::Object(property)
}

fn default_node(key: &Key) -> Option<Node> {
    match key.default {
        Default::Is(text) => yaml::parse(text).0,
        Default::Absent(_) | Default::Required => None,
    }
}

/// The schema of a value that is no section.
fn kind(kind: Kind) -> Json {
    const SCALAR: [&str; 3] = ["string", "number", "boolean"];
    match kind {
        Kind::List(item) => {
            let item = self::kind(*item);
            Json::Object(any_of([item.clone(), json!({ "type": "array", "items": item })]))
        }
        Kind::Pairs(Kind::Status, value) => json!({
            "type": "object", "additionalProperties": false, "patternProperties": { "^[2-5][0-9][0-9]$": self::kind(*value) },
        }),
        Kind::Pairs(_, value) => {
            json!({ "type": "object", "additionalProperties": self::kind(Kind::List(value)) })
        }
        Kind::Conditions(_) => {
            let scalar = json!({ "type": SCALAR });
            let value = any_of([scalar.clone(), json!({ "type": "array", "items": scalar })]);
            Json::Object(any_of([
                scalar.clone(),
                json!({ "type": "array", "items": scalar }),
                json!({ "type": "object", "additionalProperties": value }),
            ]))
        }
        Kind::Text | Kind::HeaderValue => json!({ "type": SCALAR }),
        Kind::Name => json!({ "type": ["string", "number"], "pattern": "^[A-Za-z0-9_.-]{1,64}$" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::True => json!({ "const": true }),
        Kind::Word(words) => {
            json!({ "enum": words.iter().map(|word| word_json(word)).collect::<Vec<_>>() })
        }
        Kind::Count(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration => Json::Object(any_of([
            json!({ "type": "string", "pattern": "^(0|[0-9]+(ms|s|m|h|d))$" }),
            json!({ "const": 0 }),
        ])),
        Kind::Percent(..) => json!({ "type": "string", "pattern": "^[0-9]{1,4}%$" }),
        Kind::Size => Json::Object(any_of([
            json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$" }),
            json!({ "type": "integer", "minimum": 0 }),
        ])),
        Kind::Url => json!({ "type": "string", "pattern": "^(https?://[^/@]+/?|unix:/[^/].*)$" }),
        Kind::Target => json!({ "type": "string", "pattern": "^/" }),
        Kind::Check => json!({ "type": "string", "pattern": "^(/.*|tcp)$" }),
        Kind::StatusRange => Json::Object(any_of([
            json!({ "type": "integer", "minimum": 100, "maximum": 599 }),
            json!({ "type": "string", "pattern": "^([1-5]xx|[1-5][0-9][0-9](-[1-5][0-9][0-9])?)$" }),
        ])),
        Kind::PathGlob => json!({ "type": "string", "pattern": "^(/|\\*\\*|~)" }),
        Kind::Status => json!({ "type": "integer", "minimum": 200, "maximum": 599 }),
        Kind::StatusGlob => Json::Object(any_of([
            json!({ "type": "integer", "minimum": 200, "maximum": 599 }),
            json!({ "type": "string", "pattern": "^[2-5]xx$" }),
        ])),
        Kind::Address
        | Kind::NameServer
        | Kind::Network
        | Kind::Method
        | Kind::HeaderName
        | Kind::HostGlob
        | Kind::NameGlob => {
            json!({ "type": ["string", "number"] })
        }
        Kind::Section | Kind::SectionOr(_) | Kind::Sections(_) | Kind::Named => {
            json!({ "type": "object" })
        }
    }
}

/// `true` in a YAML file is a truth value to an editor.
fn word_json(word: &str) -> Json {
    match word {
        "true" => json!(true),
        "false" => json!(false),
        _ => json!(word),
    }
}

fn to_json(node: &Node, kind: Kind) -> Json {
    match (&node.value, kind) {
        (Value::Scalar(_), Kind::SectionOr(short)) => to_json(node, *short),
        (Value::Scalar(text), Kind::Bool) => json!(text == "true"),
        (Value::Scalar(text), Kind::Count(..)) => text.parse::<u64>().map_or(Json::Null, |number| json!(number)),
        (Value::Scalar(text), _) => json!(text),
        (Value::List(items), _) => items.iter().map(|item| to_json(item, kind)).collect(),
        (Value::Map(_) | Value::Null, _) => Json::Null,
    }
}

fn any_of<const N: usize>(choices: [Json; N]) -> Map<String, Json> {
    map(&json!({ "anyOf": choices.as_slice() }))
}

fn map(json: &Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap_or_default()
}

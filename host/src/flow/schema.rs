//! The input of a flow: which fields it takes, in a short form of JSON schema.

use super::document::{Node, Problem, Problems, unknown};
use serde_json::{Map, Value, json};

/// Types that a field may have.
const TYPES: &[&str] = &["string", "integer", "number", "boolean", "object", "array", "any"];
/// What may be said of a field.
const WORDS: &[&str] = &[
    "type",
    "required",
    "default",
    "description",
    "min",
    "max",
    "min_length",
    "max_length",
    "one_of",
    "format",
    "fields",
    "items",
];

/// The fields of an object.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    fields: Vec<(String, Field)>,
}

/// What one field may hold.
#[derive(Clone, Debug)]
struct Field {
    kind: String,
    required: bool,
    default: Option<Value>,
    description: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    one_of: Vec<Value>,
    email: bool,
    fields: Option<Schema>,
    items: Option<Box<Field>>,
}

/// An input that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The field, as a path: `address.street`.
    pub field: String,
    /// Why it does not fit.
    pub message: String,
}

impl Schema {
    /// Reads `[input]`: each field a type (`"integer"`, `"string?"` where it may be left out) or a table.
    pub fn read(node: &Node<'_>, problems: &mut Problems) -> Self {
        let fields = problems.keep(node.fields()).map(|fields| fields.in_order()).unwrap_or_default();
        let read = |(name, _, node): (&str, usize, Node<'_>)| {
            let field = Field::read(&node, problems);
            Some((name.to_owned(), problems.keep(field)?))
        };
        Self { fields: fields.into_iter().filter_map(read).collect() }
    }

    /// The names of the fields.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Checks an input and completes it: what was left out gets its default, or `null`.
    pub fn accept(&self, input: &Value) -> Result<Value, Misfit> {
        self.check("", input)
    }

    /// As JSON schema.
    pub fn json_schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.fields.iter().map(|(name, field)| (name.clone(), field.json_schema())).collect();
        let required: Vec<&str> =
            self.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| name.as_str()).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn check(&self, path: &str, input: &Value) -> Result<Value, Misfit> {
        let Some(given) = input.as_object() else {
            return Err(Misfit {
                field: path.to_owned(),
                message: format!("must be an object, but is {}", kind_of(input)),
            });
        };
        let names = self.names();
        if let Some(name) = given.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(Misfit { field: join(path, name), message: unknown("field", name, &names) });
        }
        let mut complete = Map::new();
        for (name, field) in &self.fields {
            let at = join(path, name);
            let value = match given.get(name) {
                None | Some(Value::Null) if field.required => {
                    return Err(Misfit { field: at, message: "is missing".to_owned() });
                }
                None | Some(Value::Null) => field.default.clone().unwrap_or(Value::Null),
                Some(value) => field.check(&at, value)?,
            };
            complete.insert(name.clone(), value);
        }
        Ok(Value::Object(complete))
    }
}

impl Field {
    fn read(node: &Node<'_>, problems: &mut Problems) -> Result<Self, Problem> {
        if let Ok(kind) = node.text() {
            let (kind, required) = kind.strip_suffix('?').map_or((kind, true), |kind| (kind, false));
            return Self::of_type(node, kind, required);
        }
        let table = node.fields()?;
        table.only(WORDS, problems);
        let default = table.get("default").map(|node| node.json()).transpose()?;
        let required =
            table.get("required").map(|node| node.flag()).transpose()?.unwrap_or(default.is_none());
        let kind = table.require("type")?;
        let number = |name| table.get(name).map(|node| number(&node)).transpose();
        let mut field = Self {
            default: None,
            description: table.get("description").map(|node| node.text().map(str::to_owned)).transpose()?,
            min: number("min")?,
            max: number("max")?,
            min_length: number("min_length")?.map(|length| length as u64),
            max_length: number("max_length")?.map(|length| length as u64),
            one_of: match table.get("one_of") {
                Some(node) => node.list()?.iter().map(Node::json).collect::<Result<_, _>>()?,
                None => Vec::new(),
            },
            email: match table.get("format") {
                Some(node) if node.text()? == "email" => true,
                Some(node) => return Err(node.problem(unknown("format", node.text()?, &["email"]))),
                None => false,
            },
            fields: table.get("fields").map(|node| Schema::read(&node, problems)),
            items: table.get("items").map(|node| Self::read(&node, problems).map(Box::new)).transpose()?,
            ..Self::of_type(&kind, kind.text()?, required)?
        };
        if let (Some(node), Some(default)) = (table.get("default"), default) {
            let complete = |misfit: Misfit| node.problem(format!("{}: {}", misfit.field, misfit.message));
            field.default = Some(field.check("default", &default).map_err(complete)?);
        }
        Ok(field)
    }

    fn of_type(node: &Node<'_>, kind: &str, required: bool) -> Result<Self, Problem> {
        if !TYPES.contains(&kind) {
            return Err(node.problem(unknown("type", kind, TYPES)));
        }
        Ok(Self {
            kind: kind.to_owned(),
            required,
            default: None,
            description: None,
            min: None,
            max: None,
            min_length: None,
            max_length: None,
            one_of: Vec::new(),
            email: false,
            fields: None,
            items: None,
        })
    }

    fn check(&self, at: &str, value: &Value) -> Result<Value, Misfit> {
        let misfit = |message: String| Err(Misfit { field: at.to_owned(), message });
        let found = kind_of(value);
        let fits = self.kind == "any" || self.kind == found || (self.kind == "number" && found == "integer");
        if !fits {
            return misfit(format!("must be of type {}, but is {found}", self.kind));
        }
        if !self.one_of.is_empty() && !self.one_of.contains(value) {
            let allowed: Vec<String> = self.one_of.iter().map(Value::to_string).collect();
            return misfit(format!("must be one of {}", allowed.join(", ")));
        }
        if let Some(number) = value.as_f64() {
            if let Some(min) = self.min.filter(|min| number < *min) {
                return misfit(format!("must be at least {min}"));
            }
            if let Some(max) = self.max.filter(|max| number > *max) {
                return misfit(format!("must be at most {max}"));
            }
        }
        let length = match value {
            Value::String(text) => Some(text.chars().count() as u64),
            Value::Array(items) => Some(items.len() as u64),
            _ => None,
        };
        if let Some(min) = self.min_length.filter(|min| length.is_some_and(|length| length < *min)) {
            return misfit(format!("is too short: at least {min}"));
        }
        if let Some(max) = self.max_length.filter(|max| length.is_some_and(|length| length > *max)) {
            return misfit(format!("is too long: at most {max}"));
        }
        if self.email && !value.as_str().is_some_and(is_email) {
            return misfit("must be an e-mail address".to_owned());
        }
        match (value, &self.fields, &self.items) {
            (Value::Object(_), Some(fields), _) => fields.check(at, value),
            (Value::Array(values), _, Some(items)) => {
                let check = |(index, value)| items.check(&format!("{at}[{index}]"), value);
                Ok(Value::Array(values.iter().enumerate().map(check).collect::<Result<_, _>>()?))
            }
            _ => Ok(value.clone()),
        }
    }

    fn json_schema(&self) -> Value {
        let mut schema = match &self.fields {
            Some(fields) => fields.json_schema(),
            None if self.kind == "any" => json!({}),
            None => json!({ "type": self.kind }),
        };
        let of_length =
            if self.kind == "array" { ("minItems", "maxItems") } else { ("minLength", "maxLength") };
        let words = [
            ("description", self.description.clone().map(Value::from)),
            ("default", self.default.clone()),
            ("minimum", self.min.map(Value::from)),
            ("maximum", self.max.map(Value::from)),
            (of_length.0, self.min_length.map(Value::from)),
            (of_length.1, self.max_length.map(Value::from)),
            ("enum", (!self.one_of.is_empty()).then(|| Value::from(self.one_of.clone()))),
            ("format", self.email.then(|| Value::from("email"))),
            ("items", self.items.as_ref().map(|items| items.json_schema())),
        ];
        for (word, value) in words {
            if let Some(value) = value {
                schema[word] = value;
            }
        }
        schema
    }
}

fn number(node: &Node<'_>) -> Result<f64, Problem> {
    node.json()?.as_f64().ok_or_else(|| node.problem("must be a number"))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Good enough to find a mistake; only the mail server knows.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && host.contains('.') && !host.contains('@') && !text.contains(char::is_whitespace)
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

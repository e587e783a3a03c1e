//! CEL expressions: compiled, and their names checked, when a flow is loaded.

use super::document::unknown;
use super::scope::Scope;
use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Env, IdedExpr, Program, extensions};
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// The standard library of CEL, with its extensions for strings and lists.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [extensions::strings, extensions::lists, extensions::math] {
        // Only a name that is declared twice can fail, and these three are made to be used together.
        let _ = env.add_extension(extension);
    }
    Arc::new(env)
});

/// Names of CEL's types, which stand where a variable may stand.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "optional",
    "math",
];

/// CEL reads, and evaluates, by recursion: what is longer or deeper than anybody writes would use up the stack, and end the host.
const LONGEST: usize = 1_000;
const DEEPEST: usize = 16;
/// The stack that the longest and the deepest need, unoptimised too. Of a thread's stack only what is used is ever had.
pub const STACK: usize = 64 << 20;

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
    steps: BTreeSet<String>,
    /// Of one that only takes a field: what it says, segment by segment. Most of a flow's are of that kind, and need no CEL where the
    /// field is there.
    path: Option<Box<[String]>>,
}

/// The names that an expression may use.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Fields of `input`.
    pub input: &'a [&'a str],
    /// Names of `steps`.
    pub steps: &'a [&'a str],
    /// What is known where it stands: `input`, `steps`, …
    pub roots: &'a [&'a str],
}

/// What every expression of a flow's steps and output knows.
pub const OF_RUN: &[&str] = &["input", "steps", "run", "roles"];
/// What stands for a name that is known elsewhere only.
const ELSEWHERE: &[(&str, &str)] = &[
    ("step", "is known in `check`, `output` and `undo` only"),
    ("item", "is known only where the step says `for_each`"),
    ("index", "is known only where the step says `for_each`"),
    ("message", "is known only in the `input` of a trigger of kind \"queue\""),
    ("request", "is known only in the `input` of a trigger of kind \"http\""),
    ("tick", "is known only in the `input` of a trigger of kind \"schedule\""),
];
/// The fields of names whose fields are the same everywhere.
const FIELDS: &[(&str, &[&str])] = &[
    ("run", &["id", "started_at"]),
    ("step", &["input", "output"]),
    ("message", &["body", "message_id", "headers", "exchange", "routing_key", "redelivered"]),
    ("request", &["body", "path", "query", "headers"]),
    ("tick", &["at"]),
];
/// The fields of each of `steps`.
const OF_STEP: &[&str] = &["input", "output", "skipped", "failed", "error"];

impl Expression {
    /// Compiles an expression; the error says what is wrong with it.
    pub fn compile(source: &str, names: Names<'_>) -> Result<Self, String> {
        if source.len() > LONGEST || nesting(source) > DEEPEST {
            let start: String = source.chars().take(40).collect();
            return Err(format!(
                "`{start}…` is longer than {LONGEST} bytes, or nested deeper than {DEEPEST} levels: take it apart, by steps or in `input`"
            ));
        }
        let program = ENV.compile(source).map_err(|errors| {
            let reason = errors.errors.first().map_or_else(|| errors.to_string(), |first| first.msg.clone());
            format!("`{source}` is not a CEL expression: {reason}")
        })?;
        let mut walk = Walk { names, locals: Vec::new(), steps: BTreeSet::new() };
        walk.expression(program.expression()).map_err(|reason| format!("`{source}`: {reason}"))?;
        let path = match program.expression().expr {
            Expr::Select(ref select) if select.test => None,
            ref expression => spelled(expression),
        };
        let path = path.map(|path| path.into_iter().map(str::to_owned).collect());
        Ok(Self { source: source.to_owned(), steps: walk.steps, path, program })
    }

    /// As it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it is made of.
    pub(super) fn ast(&self) -> &IdedExpr {
        self.program.expression()
    }

    /// The steps whose results it uses.
    pub fn steps(&self) -> &BTreeSet<String> {
        &self.steps
    }

    /// Its value.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, String> {
        if let Some(found) = self.path.as_deref().and_then(|path| scope.at(path)) {
            return Ok(sorted(found));
        }
        let mut context = Context::with_env(ENV.clone());
        context.set_variable_resolver(scope);
        let value = self.program.execute(&context).map_err(|error| format!("`{}`: {error}", self.source))?;
        json(&value).map_err(|reason| format!("`{}`: {reason}", self.source))
    }

    /// Its value, which must be true or false.
    pub fn holds(&self, scope: &Scope) -> Result<bool, String> {
        let value = self.evaluate(scope)?;
        value.as_bool().ok_or_else(|| format!("`{}` must be true or false, but is {value}", self.source))
    }
}

/// How deep brackets are nested. Those in strings count too, which does no harm.
fn nesting(source: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// A value as [`json`] would give it.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(object) => {
            let mut fields: Vec<(&String, &Value)> = object.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
        }
        plain => plain.clone(),
    }
}

/// A CEL value as JSON. Keys are sorted: the same value is always the same text.
fn json(value: &cel::Value) -> Result<Value, String> {
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(flag) => Value::Bool(*flag),
        cel::Value::Int(number) => Value::from(*number),
        cel::Value::UInt(number) => Value::from(*number),
        cel::Value::Float(number) => {
            Number::from_f64(*number).map(Value::Number).ok_or("JSON has no such number")?
        }
        cel::Value::String(text) => Value::String(text.to_string()),
        cel::Value::List(items) => Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        cel::Value::Map(map) => {
            let mut fields: Vec<(String, Value)> = map
                .map
                .iter()
                .map(|(key, value)| Ok((key.to_string(), json(value)?)))
                .collect::<Result<_, String>>()?;
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(fields))
        }
        other => other.json().map_err(|error| error.to_string())?,
    })
}

/// Looks at each name of an expression.
struct Walk<'a> {
    names: Names<'a>,
    /// Variables of macros (`map`, `filter`, …) around the place.
    locals: Vec<String>,
    steps: BTreeSet<String>,
}

impl Walk<'_> {
    fn expression(&mut self, expression: &IdedExpr) -> Result<(), String> {
        if let Some(path) = spelled(&expression.expr) {
            return self.name(&path);
        }
        match &expression.expr {
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Call(call) => {
                call.target.iter().try_for_each(|target| self.expression(target))?;
                call.args.iter().try_for_each(|argument| self.expression(argument))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(structure) => structure.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(comprehension) => {
                self.expression(&comprehension.iter_range)?;
                self.expression(&comprehension.accu_init)?;
                let outside = self.locals.len();
                self.locals.push(comprehension.iter_var.clone());
                self.locals.extend(comprehension.iter_var2.clone());
                self.locals.push(comprehension.accu_var.clone());
                self.expression(&comprehension.loop_cond)?;
                self.expression(&comprehension.loop_step)?;
                self.expression(&comprehension.result)?;
                self.locals.truncate(outside);
                Ok(())
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key)?;
                self.expression(&entry.value)
            }
        }
    }

    fn name(&mut self, path: &[&str]) -> Result<(), String> {
        let (root, rest) = (path[0], &path[1..]);
        if root.starts_with('@') || TYPES.contains(&root) || self.locals.iter().any(|local| local == root) {
            return Ok(());
        }
        if !self.names.roots.contains(&root) {
            return Err(match ELSEWHERE.iter().find(|(name, _)| *name == root) {
                Some((name, place)) => format!("`{name}` {place}"),
                None => unknown("name", root, self.names.roots),
            });
        }
        match (root, rest.first()) {
            ("input", Some(field)) => known("input field", field, self.names.input),
            ("step", None) => Err("write `step.input` or `step.output`".to_owned()),
            ("steps", Some(step)) => {
                known("step", step, self.names.steps)?;
                self.steps.insert((*step).to_owned());
                match rest.get(1) {
                    Some(field) => known("field of a step", field, OF_STEP),
                    None => Err(format!("write `steps.{step}.output` or `steps.{step}.skipped`")),
                }
            }
            ("steps", None) => Err("write `steps.NAME.output`".to_owned()),
            (_, Some(field)) => match FIELDS.iter().find(|(name, _)| *name == root) {
                Some((_, fields)) => known(&format!("field of `{root}`"), field, fields),
                None => Ok(()),
            },
            (_, None) => Ok(()),
        }
    }
}

fn known(kind: &str, name: &str, names: &[&str]) -> Result<(), String> {
    if names.contains(&name) { Ok(()) } else { Err(unknown(kind, name, names)) }
}

/// The segments of a name with its fields: `a.b.c`, also within `has(a.b.c)`.
fn spelled(mut expression: &Expr) -> Option<Vec<&str>> {
    let mut segments = Vec::new();
    loop {
        match expression {
            Expr::Ident(name) => {
                segments.push(name.trim_start_matches('.'));
                segments.reverse();
                return Some(segments);
            }
            Expr::Select(select) => {
                segments.push(select.field.as_str());
                expression = &select.operand.expr;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_would_use_up_the_stack_is_refused() {
        const NAMES: Names<'static> = Names { input: &[], steps: &[], roots: &["input"] };
        let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        let run = |text: &str| Expression::compile(text, NAMES)?.evaluate(&Scope::default());
        let worker = std::thread::Builder::new().stack_size(STACK);
        let deep = nested(DEEPEST);
        let long = vec!["1"; LONGEST / 2].join("+");
        worker
            .spawn(move || {
                assert_eq!(run(&deep), Ok(json!(1)));
                assert_eq!(run(&long), Ok(json!(LONGEST / 2)));
            })
            .unwrap()
            .join()
            .unwrap();
        for wrong in [nested(DEEPEST + 1), nested(4_000), vec!["1"; LONGEST].join("+")] {
            assert!(Expression::compile(&wrong, NAMES).unwrap_err().contains("take it apart"));
        }
    }

    #[test]
    fn a_field_is_taken_as_cel_would_take_it() {
        let input =
            json!({ "z": { "b": 1, "a": [{ "y": 2.5, "x": null }] }, "big": u64::MAX, "name": "Ada" });
        let mut scope = Scope::new(Arc::new(input.clone()), Arc::new(json!({ "id": "r" })), Arc::default());
        scope.step_ended("one", Some((Arc::new(json!({ "n": -1 })), json!({ "row": { "id": 7 } }))));
        scope.step_ended("two", None);
        let scope = scope.of_step(Arc::new(json!("in")), &json!(["out"]));
        let roots = ["input", "run", "steps", "step"];
        let names = Names { input: &["z", "big", "name", "none"], steps: &["one", "two"], roots: &roots };
        for path in [
            "input",
            "input.z",
            "input.z.a",
            "input.big",
            "input.name",
            "run.id",
            "steps.one.input.n",
            "steps.one.output.row.id",
            "steps.one.skipped",
            "steps.two.skipped",
            "steps.two.output",
            "steps.two.failed",
            "steps.one.error",
            "step.input",
            "step.output",
        ] {
            let direct = Expression::compile(path, names).unwrap();
            assert!(direct.path.is_some(), "{path}");
            let by_cel = Expression::compile(&format!("[{path}][0]"), names).unwrap();
            let (direct, by_cel) = (direct.evaluate(&scope).unwrap(), by_cel.evaluate(&scope).unwrap());
            assert_eq!(direct.to_string(), by_cel.to_string(), "{path}");
        }
        for missing in ["input.none", "input.name.none", "steps.one.output.none", "steps.two.output.none"] {
            assert!(Expression::compile(missing, names).unwrap().evaluate(&scope).is_err(), "{missing}");
        }
        assert!(Expression::compile("has(input.z)", names).unwrap().holds(&scope).unwrap());
        assert!(!Expression::compile("has(input.none)", names).unwrap().holds(&scope).unwrap());
    }
}

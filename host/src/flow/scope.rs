//! What the expressions of a run can see.

use cel::common::types::CelNull;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The values of a run, by the names that expressions use. Cheap to extend for one step, see [`Scope::of_step`].
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `input`, `run`, `step.output`: there are only a few.
    values: Vec<(&'static str, Arc<Slot>)>,
    steps: HashMap<Arc<str>, Arc<Step>>,
}

/// A value. Most expressions only take a field of one, so that it becomes CEL's own for the first that does more.
#[derive(Debug)]
struct Slot {
    json: Arc<Value>,
    cel: OnceLock<Arc<dyn Val>>,
}

/// What is known of a step that ended.
#[derive(Debug)]
struct Step {
    input: Slot,
    output: Slot,
    skipped: Slot,
    failed: Slot,
    error: Slot,
}

impl Scope {
    /// What is known when a run begins.
    pub fn new(input: Arc<Value>, run: Arc<Value>, roles: Arc<Value>) -> Self {
        let mut scope = Self::default();
        scope.set("input", input);
        scope.set("run", run);
        scope.set("roles", roles);
        scope
    }

    /// Makes the input and the result of a step known; `None` when it was skipped.
    pub fn step_ended(&mut self, step: &str, ended: Option<(Arc<Value>, Value)>) {
        let skipped = ended.is_none();
        let (input, output) = ended.unwrap_or_default();
        self.step(step, input, output, skipped, None);
    }

    /// The same for a step that failed, and whose `on_error` says that the run goes on. `error` has `code` and `message`.
    pub fn step_excused(&mut self, step: &str, input: Arc<Value>, output: Value, error: Value) {
        self.step(step, input, output, false, Some(error));
    }

    fn step(&mut self, step: &str, input: Arc<Value>, output: Value, skipped: bool, error: Option<Value>) {
        let known = Step {
            input: input.into(),
            output: Arc::new(output).into(),
            skipped: Arc::new(Value::Bool(skipped)).into(),
            failed: Arc::new(Value::Bool(error.is_some())).into(),
            error: Arc::new(error.unwrap_or_default()).into(),
        };
        self.steps.insert(step.into(), Arc::new(known));
    }

    /// The same, with `step.input` and `step.output` for the `check`, `output` and `undo` of one step.
    pub fn of_step(&self, input: Arc<Value>, output: &Value) -> Self {
        let mut scope = self.clone();
        scope.set("step.input", input);
        scope.set("step.output", Arc::new(output.clone()));
        scope
    }

    /// The same, with `item` and `index` for one item of a step's `for_each`.
    pub fn of_item(&self, item: &Value, index: usize) -> Self {
        let mut scope = self.clone();
        scope.set("item", Arc::new(item.clone()));
        scope.set("index", Arc::new(Value::from(index)));
        scope
    }

    /// One value by its name, for expressions that see no run: `input`, or what a trigger brings.
    pub fn with(mut self, name: &'static str, value: &Value) -> Self {
        self.set(name, Arc::new(value.clone()));
        self
    }

    /// The value at a path (`steps`, `user`, `output`, `row`, `id`), if it is all there.
    pub(super) fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Value> {
        let (slot, rest) = match path {
            [steps, step, field, rest @ ..] if steps.as_ref() == "steps" => {
                (self.steps.get(step.as_ref())?.field(field.as_ref())?, rest)
            }
            [root, field, rest @ ..] if root.as_ref() == "step" => match field.as_ref() {
                "input" => (self.slot("step.input")?, rest),
                "output" => (self.slot("step.output")?, rest),
                _ => return None,
            },
            [root, rest @ ..] => (self.slot(root.as_ref())?, rest),
            [] => return None,
        };
        rest.iter().try_fold(&*slot.json, |value, field| value.as_object()?.get(field.as_ref()))
    }

    fn set(&mut self, name: &'static str, value: Arc<Value>) {
        let slot = Arc::new(value.into());
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = slot,
            None => self.values.push((name, slot)),
        }
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, slot)| &**slot)
    }
}

impl VariableResolver for Scope {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let slot = match variable.strip_prefix("steps.").and_then(|rest| rest.rsplit_once('.')) {
            Some((step, field)) => self.steps.get(step)?.field(field)?,
            None => self.slot(variable)?,
        };
        Some(CowVal::Borrowed(slot.visible()))
    }
}

impl Step {
    fn field(&self, name: &str) -> Option<&Slot> {
        Some(match name {
            "input" => &self.input,
            "output" => &self.output,
            "skipped" => &self.skipped,
            "failed" => &self.failed,
            "error" => &self.error,
            _ => return None,
        })
    }
}

impl From<Arc<Value>> for Slot {
    fn from(json: Arc<Value>) -> Self {
        Self { json, cel: OnceLock::new() }
    }
}

impl Slot {
    fn visible(&self) -> &dyn Val {
        &**self.cel.get_or_init(|| {
            let value: Result<Box<dyn Val>, _> = cel_value(&self.json).try_into();
            // Every JSON value has its CEL value; the conversion can refuse kinds only that JSON does not have.
            value.map_or_else(|_| Arc::new(CelNull) as Arc<dyn Val>, Arc::from)
        })
    }
}

fn cel_value(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => cel::Value::Int(number),
            (None, Some(number)) => cel::Value::UInt(number),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(cel_value).collect())),
        Value::Object(fields) => {
            let fields: HashMap<String, cel::Value> =
                fields.iter().map(|(name, value)| (name.clone(), cel_value(value))).collect();
            cel::Value::Map(fields.into())
        }
    }
}
